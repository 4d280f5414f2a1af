"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.jobs.descriptions`."""

from batchcompute_local.jobs.descriptions import read_description as read_description
