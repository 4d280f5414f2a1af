"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.jobs.store`."""

from batchcompute_local.jobs.store import Store as Store
