"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.process.workspace`."""

from batchcompute_local.process.workspace import (
    PreparationError as PreparationError,
    Prepared as Prepared,
    Workspaces as Workspaces,
    log_path as log_path,
)
