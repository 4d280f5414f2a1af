"""What is known of jobs and attempts besides the database: the journal, job folders, logs, and what a damaged file still says.

A restore needs it: no id of a job and no name of an attempt may be used a second time.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from batchcompute_local.damage import MARK, DamageError, read_whole
from batchcompute_local.paths import Layout

_ID = re.compile(rb"job-[0-9A-F]{32}(?![0-9A-F])")
_ATTEMPT = re.compile(rb"(job-[0-9A-F]{32})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})(?!\d)")
_LOG = re.compile(
    r"(?:stdout|stderr)\.(job-[0-9A-F]{32})\.(.+)\.(\d{1,9})(?:\.attempt-(\d{1,9}))?", re.ASCII | re.DOTALL
)
_FOLDER = re.compile(r"(.+)@(\d{1,9})", re.ASCII | re.DOTALL)
_EXIT = re.compile(rb"^batchcompute: .*, attempt (\d{1,9}) on \S+$", re.MULTILINE)
_TAIL_BYTES = 4096
_MOST_BYTES = 1 << 34
_SELECT = "SELECT j.id, i.task, i.number, i.attempt FROM instances i JOIN jobs j ON j.seq = i.job"


@dataclass
class Traces:
    """Jobs by id, and the largest known attempt of each instance: by job, task (position, or name) and number.

    `logs` are the jobs with logs in the file of the logs of Finished jobs.
    """

    jobs: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    attempts: dict[tuple[str, int | str, int], int] = field(default_factory=dict)

    def note(self, job: str, task: int | str, number: int, attempt: int) -> None:
        """There was this attempt, and so all before it."""
        self.jobs.add(job)
        key = (job, task, number)
        self.attempts[key] = max(attempt, self.attempts.get(key, 0))


def find_traces(layout: Layout, databases: Iterable[Path]) -> Traces:
    """Look everywhere, in `databases` too, which may be damaged. What cannot be read is left out."""
    found = Traces()
    for path in _records(layout):
        with suppress(OSError, DamageError):
            _scan(read_whole(path, _MOST_BYTES), found)
    for path in databases:
        _read_database(path, found)
    with suppress(OSError):
        _scan("\n".join(os.listdir(layout.attempts)).encode(errors="replace"), found)
    for folder in list_job_folders(layout):
        found.jobs.add(folder.name)
        _read_folder(folder, found)
    _read_objects(layout.oss, found)
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{layout.kept_logs.as_uri()}?mode=ro", uri=True)) as db:
        found.logs.update(str(row[0]) for row in db.execute("SELECT DISTINCT job FROM logs"))
    found.jobs |= {job for job in found.logs if _ID.fullmatch(job.encode(errors="replace"))}
    return found


def list_job_folders(layout: Layout) -> list[Path]:
    """Return the folders of jobs, in order of their names. Empty if they cannot be read."""
    work = layout.work("x").parent
    try:
        return [work / name for name in sorted(os.listdir(work)) if _ID.fullmatch(os.fsencode(name))]
    except OSError:
        return []


def _records(layout: Layout) -> Iterator[Path]:
    for path in (layout.journal, layout.log, layout.log.with_suffix(".log.1")):
        yield path
        yield from path.parent.glob(f"{path.name}{MARK}*")


def _scan(content: bytes, found: Traces) -> None:
    found.jobs.update(one.decode() for one in _ID.findall(content))
    for job, task, number, attempt in _ATTEMPT.findall(content):
        found.note(job.decode(), int(task), int(number), int(attempt))


def _read_database(path: Path, found: Traces) -> None:
    for end in ("", "-wal"):
        with suppress(OSError, DamageError):
            _scan(read_whole(path.with_name(f"{path.name}{end}"), _MOST_BYTES), found)
    with (
        suppress(sqlite3.Error, ValueError, TypeError),
        closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as db,
    ):
        for job, task, number, attempt in db.execute(_SELECT):
            if _ID.fullmatch(str(job).encode(errors="replace")):
                found.note(job, int(task), int(number), int(attempt))


def _read_folder(folder: Path, found: Traces) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            place = _FOLDER.fullmatch(entry.name)
            if place:
                found.note(folder.name, place[1], int(place[2]), 1)
            _read_log(entry, found)


def _read_objects(oss: Path, found: Traces) -> None:
    """Logs of tasks with a redirect path are objects, and stay when their job is deleted."""
    for root, _, _ in os.walk(oss):
        with suppress(OSError), os.scandir(root) as entries:
            for entry in entries:
                _read_log(entry, found)


def _read_log(entry: os.DirEntry[str], found: Traces) -> None:
    log = _LOG.fullmatch(entry.name)
    if log is None:
        return
    job, task, number = log[1], log[2], int(log[3])
    if log[4]:  # an earlier attempt; the newest log is of a later one
        found.note(job, task, number, int(log[4]) + 1)
        return
    found.note(job, task, number, 1)
    if entry.is_file(follow_symlinks=False):
        with open(entry.path, "rb") as file:
            file.seek(max(0, entry.stat().st_size - _TAIL_BYTES))
            for attempt in _EXIT.findall(file.read()):
                found.note(job, task, number, int(attempt))
