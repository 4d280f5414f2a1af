"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.jobs.service`."""

from batchcompute_local.jobs.service import Service as Service
