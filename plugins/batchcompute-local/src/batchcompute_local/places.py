"""What the daemon looks at before it reads anything: is each place of the data folder what it has to be?

What is damaged and can be done without is put aside under a dated name, so that the service starts. The database and the
accounts are not: without them something would be lost or invented, so whoever reads them refuses, with the cure.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from batchcompute_local.damage import DamageError, clear_place, put_aside, read_whole
from batchcompute_local.errors import DaemonError
from batchcompute_local.jobs.copies import QUICK_BYTES
from batchcompute_local.own_key import mend_credentials
from batchcompute_local.paths import Layout
from batchcompute_local.process.patience import gives_answer

_ANSWER_SECONDS = 2.0
_MOST_NONCE_BYTES = 1 << 30


def mend_places(layout: Layout) -> list[str]:
    """Put aside what is damaged; return what was done, for the log. Only for the owner of `layout.lock`.

    Raises DaemonError for a file or folder that this user cannot read and write.
    """
    try:
        found = [*_mend_kinds(layout), *filter(None, [mend_credentials(layout.credentials)])]
        _refuse_without_rights(layout)
        found += _mend_nonces(layout.nonces)
        found += _mend_database(layout.kept_logs, "the logs of Finished jobs")
        if gives_answer(layout.oss, _ANSWER_SECONDS):
            found += _mend_database(layout.objects_database, "metadata of objects, odd keys and owners of buckets")
        return found
    except OSError as error:
        path = error.filename or layout.root
        raise DaemonError(
            f"{path} cannot be put in order: {error.strerror}; look at the rights of {layout.root}"
        ) from None


def _mend_kinds(layout: Layout) -> Iterator[str]:
    folders = [layout.work("x").parent, layout.packages, layout.nonces, layout.attempts, layout.copies]
    folders.append(layout.programs_socket.parent)
    files = [layout.kept_logs, layout.journal, layout.journal.with_suffix(".new"), layout.groups, layout.objects_ports]
    files.append(layout.log.with_suffix(".log.1"))
    databases = [layout.database, layout.kept_logs]
    if gives_answer(layout.oss, _ANSWER_SECONDS):  # it may be a network folder
        folders.append(layout.oss)
        files.append(layout.objects_database)
        databases.append(layout.objects_database)
    else:
        yield f"{layout.oss} gives no answer, as a network folder that hangs. Instances that need an object fail meanwhile"
    files += [path.with_name(f"{path.name}-shm") for path in databases]
    for kind, word, paths in ((stat.S_IFDIR, "folder", folders), (stat.S_IFREG, "file", files)):
        for path in paths:
            if path.is_symlink() and not path.exists():
                raise DaemonError(f"{path} is a link to nothing: is its disk mounted? Else remove the link")
            kept = clear_place(path, kind)
            if kept is not None:
                yield f"{path} is no {word}. It is kept as {kept.name}"


def _refuse_without_rights(layout: Layout) -> None:
    # not the objects: they may be on a disk that is read only
    folders = [layout.root, layout.work("x").parent, layout.packages, layout.nonces, layout.attempts, layout.copies]
    files = [
        layout.credentials,
        layout.accounts,
        layout.attempts_secret,
        layout.database,
        layout.kept_logs,
        layout.journal,
    ]
    for mode, rights, paths in ((0o700, os.R_OK | os.W_OK | os.X_OK, folders), (0o600, os.R_OK | os.W_OK, files)):
        for path in paths:
            if os.path.lexists(path) and not os.access(path, rights):
                raise DaemonError(f"{path} cannot be read and written by this user; its mode has to be {mode:04o}")


def _mend_nonces(folder: Path) -> Iterator[str]:
    """Put aside what is no record of nonces. Without some of them all requests from before this start are refused."""
    if not folder.is_dir():
        return
    damaged = []
    for name in os.listdir(folder):
        if name == "boot" or name.isdecimal():
            path = folder / name
            try:
                content = read_whole(path, _MOST_NONCE_BYTES)
                if name == "boot" and not content.isascii():
                    raise DamageError("is not a note of a boot")
            except FileNotFoundError:
                continue
            except DamageError as damage:
                damaged.append(f"{path} {damage}. It is kept as {put_aside(path).name}")
    if damaged:
        with suppress(FileNotFoundError):
            os.unlink(folder / "boot")  # as after a reboot: what came before this start may have been used
    yield from damaged


def _mend_database(path: Path, what: str) -> Iterator[str]:
    """Put aside a damaged database that the service can do without."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            whole = "ok"
            if path.stat().st_size <= QUICK_BYTES:
                whole = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
            fault = "" if whole == "ok" else whole
    except sqlite3.OperationalError:  # it is busy, for example
        return
    except sqlite3.DatabaseError as error:
        fault = str(error)
    if fault:
        for end in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                put_aside(path.with_name(f"{path.name}{end}"))
        yield f"{path}, {what}, is damaged: {fault}. It is kept as {put_aside(path).name}"
