"""The answer to get_log: a piece of a log, read from its file."""

from __future__ import annotations

from base64 import b64encode
from contextlib import closing
from typing import Any

from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.log_choice import LogChoice
from batchcompute_local.paths import Layout
from batchcompute_local.process.log_files import name_file, open_again, open_log

_NONE = "the instance has not started, or its log is not kept any more"
_REPLACED = "the instance runs again, and the log that was being read is not kept"


def read_piece(layout: Layout, choice: LogChoice) -> dict[str, Any]:
    """Return {Data, Size, File} with Data in base64, or {Missing}. Waits for the file. Raises ServiceError."""
    if choice.missing:
        return {"Missing": choice.missing}
    what = choice.stream, choice.job_id, choice.task, choice.number
    try:
        log = open_again(layout, *what, choice.file) if choice.file else None
        if log is None:
            log = open_log(layout, "", *what, choice.attempt, choice.newest)
        if log is None:
            return {"Missing": _NONE}
        if choice.file and name_file(log) not in ("", choice.file):
            log.close()
            return {"Missing": _REPLACED}
        with closing(log):
            size = log.seek(0, 2)
            log.seek(min(choice.start, size))
            data = log.read(choice.limit)
            return {"Data": b64encode(data).decode("ascii"), "Size": size, "File": name_file(log)}
    except LookupError as missing:
        return {"Missing": str(missing)}
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ServiceError(409, "LogNotReadable", f"Specified log cannot be read: {reason}.") from error
