"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.jobs.engine`."""

from batchcompute_local.jobs.engine import Engine as Engine
