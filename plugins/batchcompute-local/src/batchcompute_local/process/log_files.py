"""The log of an instance, wherever it is: a file beside its working folder or below the objects, a packed log, or elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

from batchcompute_local.files import open_regular
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.paths import Layout
from batchcompute_local.process.attempt_logs import find_log, list_logs
from batchcompute_local.process.kept_logs import KeptLogs
from batchcompute_local.process.remote_logs import open_remote_log
from batchcompute_local.process.workspace import log_path


def open_log(
    layout: Layout,
    redirect: str,
    stream: str,
    job: str,
    task: str,
    number: int,
    attempt: int | None = None,
    newest: int | None = None,
    buckets: Mapping[str, BucketElsewhere] = MappingProxyType({}),
) -> BinaryIO | None:
    """Open the log of an instance, also while it runs; None if it never started.

    attempt: None for the newest one. newest: see `choose_log`. buckets: those that are elsewhere. Raises OSError if its program
    replaced the log by something else than a regular file; LookupError for an attempt without a log, with those that have one.
    """
    path = log_path(layout, redirect, stream, job, task, number, buckets)
    if layout.unsent in path.parents:
        bucket, _, key = str(path.relative_to(layout.unsent)).partition("/")
        return open_remote_log(layout.unsent, buckets[bucket], key, attempt, newest)
    try:
        found = path if attempt is None else find_log(path, attempt, newest)
        return os.fdopen(open_regular(found, os.O_RDONLY), "rb")
    except (FileNotFoundError, LookupError) as missing:
        logs = None if redirect else KeptLogs(layout.kept_logs)
        kept = None if logs is None else logs.open(job, path.name, attempt, newest)
        if kept is None and isinstance(missing, LookupError):
            raise
        return kept


def open_again(layout: Layout, stream: str, job: str, task: str, number: int, file: str) -> BinaryIO | None:
    """Open the log of an instance that `name_file` named `file`, under any name; None if no file has that name any more."""
    for path in list_logs(log_path(layout, "", stream, job, task, number)):
        try:
            found = os.fdopen(open_regular(path, os.O_RDONLY), "rb")
        except OSError:
            continue
        if name_file(found) == file:
            return found
        found.close()
    return None


def name_file(log: BinaryIO) -> str:
    """Return a name of an open log that stays when the next attempt renames it; "" for a packed one, which never changes."""
    try:
        return str(os.fstat(log.fileno()).st_ino)
    except OSError:
        return ""
