"""Open the database at the start of the service. A damaged or lost one is never replaced by an empty one in silence."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from batchcompute_local.damage import DamageError
from batchcompute_local.errors import DaemonError
from batchcompute_local.files import NotRegularError, fsync_folder
from batchcompute_local.jobs.copies import check_database, is_damage, list_copies
from batchcompute_local.jobs.store import Store
from batchcompute_local.paths import Layout


def open_store(layout: Layout, kept_attempts: int = 10) -> Store:
    """Open the store of the data folder; create it if the folder has never had one. Raises DaemonError with the cure."""
    path = layout.database
    try:
        if os.path.lexists(path):
            check_database(path)
        else:
            _refuse_lost(layout)
            _create(path)
        return Store(path, kept_attempts)
    except DamageError as damage:
        raise describe_damage(layout, str(damage)) from None
    except sqlite3.Error as error:
        if is_damage(error):
            raise describe_damage(layout, f"is damaged: {error}") from None
        raise DaemonError(f"{path} cannot be used: {error}; look at its rights and at the space on the disk") from error
    except (NotRegularError, IsADirectoryError) as error:
        raise describe_damage(layout, (error.strerror or "").lower()) from None
    except OSError as error:
        raise DaemonError(
            f"{path} cannot be used: {error.strerror}; its owner has to be this user, its mode 0600"
        ) from None


def describe_failure(layout: Layout, error: BaseException) -> BaseException:
    """Return the error to be raised for one that came while the jobs were read: with the cure if it means damage."""
    if isinstance(error, DamageError):
        return describe_damage(layout, str(error))
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return describe_damage(layout, f"is damaged: {error}")
    return error


def describe_damage(layout: Layout, what: str) -> DaemonError:
    """Make the error for a database that `what` is said of; it names the newest copy and the command."""
    copies = list_copies(layout.copies)
    where = f"--data-dir {layout.root}"
    if not copies:
        cure = (
            f"There is no copy of it. `batchcompute local restore --dry-run {where}` says whether a part can be read; "
            f"`batchcompute local reset --force {where}` begins anew, objects and keys stay"
        )
    else:
        newest = copies[0]
        cure = (
            f"The newest good copy is {newest.path.name}, {describe_age(time.time() - newest.time)} old, with {newest.jobs} "
            f"jobs: `batchcompute local restore {where}` takes it, `--dry-run` shows what that means"
        )
    return DaemonError(f"the state of all jobs, {layout.database}, {what}. Nothing was changed. {cure}")


def describe_age(seconds: float) -> str:
    """Say how long that is, in words: 3 minutes."""
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {word}s"
    return f"{max(0, int(seconds))} seconds"


def _refuse_lost(layout: Layout) -> None:
    """Raise DamageError if the folder has had a database."""
    traces = []
    if os.path.lexists(f"{layout.database}-wal"):
        traces.append("its write-ahead log is there")
    if list_copies(layout.copies):
        traces.append("there are copies of it")
    with suppress(OSError):
        jobs = sum(name.startswith("job-") for name in os.listdir(layout.work("x").parent))
        if jobs:
            traces.append(f"there are folders of {jobs} jobs")
    if traces:
        raise DamageError(f"is missing, but {' and '.join(traces)}")


def _create(path: Path) -> None:
    """Create it under another name first: a file at `path` without tables is a damaged one, not one that is being made."""
    part = path.with_name(f"{path.name}.new")
    ends = ("", "-wal", "-shm", "-journal")
    for end in ends:
        Path(f"{part}{end}").unlink(missing_ok=True)
    Store(part).close()
    os.replace(part, path)
    for end in ends[1:]:
        Path(f"{part}{end}").unlink(missing_ok=True)
    fsync_folder(path.parent)
