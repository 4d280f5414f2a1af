"""Which log a request asks for: the log of one instance, and a piece of it (protocol 1.2, ours)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from batchcompute_local.errors import invalid
from batchcompute_local.jobs.model import Job
from batchcompute_local.jobs.reading import Reading

MOST_BYTES = 256 << 10
"""Of a piece."""
_STREAMS = ("stdout", "stderr")
_LONGEST_FILE = 40


@dataclass(frozen=True, slots=True)
class LogChoice:
    """A piece of the log `stream` of an instance: at most `limit` bytes from `start` on.

    `missing`: why there is no such log, "" if there may be one. `attempt`: None for the newest one. `newest`: the newest attempt
    that began. `file`: the file that an earlier piece was of, "" if this is the first one.
    """

    job_id: str
    task: str
    number: int
    stream: str
    attempt: int | None = None
    newest: int | None = None
    start: int = 0
    limit: int = MOST_BYTES
    file: str = ""
    missing: str = ""


def choose_log(reading: Reading, job: Job, parameters: Mapping[str, str]) -> LogChoice:
    """Return what the parameters name. Raises ServiceError 400."""
    name, stream = parameters.get("Task", ""), parameters.get("Stream", "stderr")
    task = next((task for task in reading.tasks(job) if task.name == name), None)
    if task is None:
        raise invalid("Task", f"The job has no task {name[:100]!r}.")
    if stream not in _STREAMS:
        raise invalid("Stream", "It must be stdout or stderr.")
    number = _read_number(parameters, "Instance", 0)
    attempt = _read_number(parameters, "Attempt", 1) if "Attempt" in parameters else None
    described = reading.description(job)["TaskDag"]["TaskDescMap"][name]
    missing = ""
    if number >= task.counts.total:
        missing = f"task {name} has no instance {number}"
    elif redirect := described.get(f"{stream.title()}RedirectPath"):
        missing = f"the log is an object below {redirect}"
    return LogChoice(
        job.id,
        name,
        number,
        stream,
        attempt,
        None if attempt is None else reading.newest_attempt(job, task, number),
        _read_number(parameters, "Start", 0),
        min(_read_number(parameters, "Limit", MOST_BYTES), MOST_BYTES),
        parameters.get("File", "")[:_LONGEST_FILE],
        missing,
    )


def _read_number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid(name, "It must be a whole number of at most 18 digits.")
    return int(text)
