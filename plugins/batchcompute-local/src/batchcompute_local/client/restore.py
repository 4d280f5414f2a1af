"""Take a copy of the database back. Nothing runs afterwards until somebody starts it, and no name is used a second time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.client import control
from batchcompute_local.client.reset import end_programs, owned
from batchcompute_local.client.traces import Traces, find_traces, list_job_folders
from batchcompute_local.damage import DamageError, put_aside
from batchcompute_local.errors import DaemonError
from batchcompute_local.files import fsync_folder
from batchcompute_local.jobs import tables, transitions
from batchcompute_local.jobs.copies import Copy, check_database, connect, list_copies
from batchcompute_local.jobs.model import Changes, Instance, Job, Task, as_earlier, has_ended
from batchcompute_local.jobs.opening import describe_age
from batchcompute_local.jobs.states import ENDED, STOPPED
from batchcompute_local.jobs.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.removal import log_rest, remove_tree

_GAP = 1 << 20
"""The next id is behind the next multiple of this: more jobs than are made between two copies."""
_MOST_ID = 0xFF000000
_ENDS = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Restored:
    """What a restore did, or would do: the copy, jobs that come back Stopped, folders of jobs that it does not know."""

    copy: Copy
    stopped: list[str]
    unknown: list[str]
    damaged: Path | None
    """Where the database is that was in the place of the copy; None if there was none, or nothing was done."""


def list_choices(data_dir: Path) -> list[Copy]:
    """Return what can be restored: the copies, the newest first, and the database itself if it can be read, as the last one.

    The database is a choice if only the end of its write-ahead log is damaged, for example. Raises DaemonError while a
    service runs.
    """
    layout = Layout.at(data_dir)
    _refuse_running(layout)
    with _scratch(layout) as scratch:
        return [*list_copies(layout.copies), *_read_current(layout, scratch)]


def restore(data_dir: Path, name: str = "", *, dry_run: bool = False) -> Restored:
    """Put the copy with this file name in the place of the database; without a name the newest one.

    Programs that still run are ended first. The former database is kept under a dated name. With `dry_run` nothing is
    changed. Raises DaemonError while a service runs, and if there is no such copy; OSError.
    """
    layout = Layout.at(data_dir)
    _refuse_running(layout)
    with control.locked(layout.start_lock):  # so no client starts a daemon meanwhile
        _refuse_running(layout)
        with owned(layout), _scratch(layout) as scratch:
            return _restore(layout, name, scratch, dry_run)


def _refuse_running(layout: Layout) -> None:
    if not layout.root.is_dir():
        raise DaemonError(f"there is no data folder {layout.root}")
    found = control.status(layout.root)
    if found is not None:
        what = f"a service (pid {found.get('pid')}) runs in {layout.root} with {found.get('active_jobs')} active jobs"
        stop = f"`batchcompute local stop --data-dir {layout.root}`"
        raise DaemonError(f"{what}; end it first: {stop}. A restore then ends the programs that still run")


def _restore(layout: Layout, name: str, scratch: Path, dry_run: bool) -> Restored:
    current = _read_current(layout, scratch)
    copies = list_copies(layout.copies)
    copy = _choose(copies, current, name, layout)
    made = scratch / "restored"
    shutil.copyfile(copy.path, made)
    check_database(made, most=None)
    if not dry_run:
        end_programs(layout, _read_prefix(made))
    others = [one.path for one in copies]
    _copy_current(layout, scratch / "former")
    traces = find_traces(layout, [scratch / "former", *others])
    stopped, unknown = _change(made, layout, copy, traces)
    if dry_run:
        return Restored(copy, stopped, unknown, None)
    return Restored(copy, stopped, unknown, _put_in_place(layout, made))


def _choose(copies: list[Copy], current: list[Copy], name: str, layout: Layout) -> Copy:
    """Return the copy of that name, the newest one without a name. The database itself has to be named."""
    if not name and copies:
        return copies[0]
    for copy in (*copies, *current):
        if name == copy.path.name:
            return copy
    if name:
        names = ", ".join(copy.path.name for copy in (*copies, *current)) or "none"
        raise DaemonError(f"there is no good copy {name!r} in {layout.copies}; there are: {names}")
    rest = f"{layout.database} cannot be read"
    if current:
        rest = f"{layout.database} itself can be read: `--copy {layout.database.name}` takes what is whole of it"
    raise DaemonError(f"there is no good copy in {layout.copies}; {rest}")


@contextmanager
def _scratch(layout: Layout) -> Iterator[Path]:
    """A folder of ours below the data folder, for files that have to be renamed into it."""
    folder = layout.root / f"restore.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise DaemonError(f"{folder} cannot be made: {error.strerror}") from None
    try:
        yield folder
    finally:
        log_rest(remove_tree(folder))


def _copy_current(layout: Layout, target: Path) -> None:
    """Copy the database with its write-ahead log, since to open it changes both."""
    for end in ("", "-wal"):
        with suppress(OSError):
            shutil.copyfile(f"{layout.database}{end}", f"{target}{end}")


def _read_current(layout: Layout, scratch: Path) -> list[Copy]:
    """Return the database itself as a copy, without what follows a damaged frame; empty if it cannot be read."""
    path = scratch / layout.database.name
    try:
        when = int(layout.database.stat().st_mtime)
        _copy_current(layout, path)
        with closing(connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("PRAGMA journal_mode=DELETE")
        check_database(path, most=None)
        with closing(connect(path)) as db:
            jobs = db.execute("SELECT count(*) FROM jobs").fetchone()[0]
            active = db.execute(tables.COUNT_ACTIVE).fetchone()[0]
        return [Copy(path, when, path.stat().st_size, jobs, active)]
    except (OSError, sqlite3.Error, DamageError):
        return []


def _read_prefix(path: Path) -> str:
    with closing(connect(path)) as db:
        return str(db.execute(tables.SELECT_PREFIX).fetchone()[0])


def _change(path: Path, layout: Layout, copy: Copy, traces: Traces) -> tuple[list[str], list[str]]:
    """Make of the copy at `path` what can be the database. Return the jobs that are stopped, and folders it does not know."""
    now, age = time.time(), describe_age(time.time() - copy.time)
    store, changes = Store(path), Changes()
    try:
        stopped = _read_active(store, copy)
        for job in stopped:
            _stop(job, now, f"the state of all jobs was restored from a copy that was {age} old", changes)
        active = {job.id: job for job in stopped}
        for job_id, known in _by_job(traces).items():
            found = active.get(job_id) or store.summary(job_id)
            if found is not None:
                with suppress(
                    ValueError, LookupError, TypeError, AttributeError
                ):  # a job that cannot be read never runs
                    _raise_attempts(found if found.tasks else store.complete(found), known, changes)
        unknown = [folder.name for folder in list_job_folders(layout) if store.summary(folder.name) is None]
        logs = [job for job in traces.logs if store.summary(job) is None]
        store.commit(changes)
        prefix = store.prefix
    finally:
        store.close()
    with closing(connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("BEGIN IMMEDIATE")
        rows = [(f"{tables.UNKNOWN}{name}", "") for name in (*unknown, *logs)]
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        note = json.dumps({"at": now, "copy": copy.path.name, "made": copy.time})
        db.execute("INSERT OR REPLACE INTO meta VALUES ('restored', ?)", (note,))
        _raise_ids(db, prefix, traces)
        db.execute("COMMIT")
    return [job.id for job in stopped], unknown


def _read_active(store: Store, copy: Copy) -> list[Job]:
    try:
        return store.active(is_whole=True)
    except DamageError as damage:
        raise DaemonError(f"{copy.path.name} {damage}; name an earlier copy with --copy") from None


def _stop(job: Job, now: float, reason: str, changes: Changes) -> None:
    """Stop `job` for `reason`. A task none of whose instances was started has the reason at its first one."""
    instances = [one for task in job.tasks for one in task.instances.values() if one.state not in ENDED]
    if not instances:
        task = next((one for one in job.tasks if one.counts.waiting), job.tasks[0])
        number = next(number for number in range(task.counts.total + 1) if number not in task.instances)
        if number < task.counts.total:
            task.instances[number] = Instance(number)
            instances.append(task.instances[number])
    transitions.stop(job, now, changes)
    for one in instances:
        one.reason = reason


def _by_job(traces: Traces) -> dict[str, dict[tuple[int | str, int], int]]:
    found: dict[str, dict[tuple[int | str, int], int]] = {}
    for (job, task, number), attempt in traces.attempts.items():
        found.setdefault(job, {})[task, number] = attempt
    return found


def _raise_attempts(job: Job, known: dict[tuple[int | str, int], int], changes: Changes) -> None:
    """Have the next attempt of each instance come after those that are `known`, by task (position or name) and number."""
    tasks: dict[int | str, Task] = {task.position: task for task in job.tasks} | {task.name: task for task in job.tasks}
    for (name, number), attempt in known.items():
        task = tasks.get(name)
        if task is None or number >= task.counts.total:
            continue
        instance = task.instances.get(number)
        if instance is None:
            state = STOPPED if job.state is STOPPED else task.state_of(number, job.state)
            instance = task.instances[number] = Instance(number, state)
        if instance.attempt < attempt:
            if instance.started and has_ended(job) and instance.state is STOPPED:
                key = (job.seq, task.position, number, instance.attempt)
                changes.attempts[key] = as_earlier(instance, instance.state)
                reason, ended = instance.reason, instance.ended
                instance.reset()
                instance.state, instance.reason, instance.ended = STOPPED, reason, ended
            instance.attempt = attempt
            changes.touch(job, task, instance)


def _raise_ids(db: sqlite3.Connection, prefix: str, traces: Traces) -> None:
    """Have the next id come after all that are known, with a gap for those that left no trace."""
    last = int((db.execute(tables.SELECT_LAST).fetchone() or (0,))[0])
    for job in traces.jobs:
        number = int(job[len(prefix) :], 16) if job.startswith(prefix) else 0
        if number < _MOST_ID:  # else the damage is in the id itself
            last = max(last, number)
    last = (last // _GAP + 1) * _GAP
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'")
    db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (last,))


def _put_in_place(layout: Layout, made: Path) -> Path | None:
    """Put the database `made` in its place; keep what is there. Whenever this is cut off, the service refuses to start."""
    kept = None
    path = layout.database
    if os.path.lexists(path):
        kept = put_aside(path)
    for end in _ENDS[1:]:
        beside = path.with_name(f"{path.name}{end}")
        if os.path.lexists(beside):
            if kept is None:
                put_aside(beside)
            else:
                os.rename(beside, f"{kept}{end}")
    os.chmod(made, 0o600)
    with open(made, "rb") as file:
        os.fsync(file.fileno())
    os.replace(made, path)
    fsync_folder(path.parent)
    return kept
