"""Findings of `batchcompute doctor` about damaged files: those put aside, and those that keep the service from starting."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from batchcompute.hooks import Finding
from batchcompute_local.client import control
from batchcompute_local.damage import DamageError, list_damaged
from batchcompute_local.errors import DaemonError
from batchcompute_local.http.accounts import AccountError, Book
from batchcompute_local.jobs.copies import check_database, list_copies
from batchcompute_local.jobs.opening import describe_age, describe_damage
from batchcompute_local.paths import Layout

_MOST_NAMED = 5


def find_damage(layout: Layout) -> Iterator[Finding]:
    """Check the files of the service. Changes nothing."""
    kept = list_damaged(layout.root)
    if kept:
        names = ", ".join(path.name for path in kept[-_MOST_NAMED:])
        what = f"{len(kept)} damaged files were put aside in {layout.root}, the last of them: {names}"
        yield Finding("damage", "note", what, "daemon.log says what was in them; remove what you do not need any more")
    yield from _accounts(layout)
    yield from _own_key(layout)
    if control.status(layout.root) is None:  # a database that is in use may change while it is checked
        yield from _database(layout)
    copies = list_copies(layout.copies)
    if copies:
        age = describe_age(time.time() - copies[0].time)
        yield Finding(
            "copies", "ok", f"{len(copies)} copies of the state, the newest {age} old with {copies[0].jobs} jobs"
        )


def _accounts(layout: Layout) -> Iterator[Finding]:
    if layout.accounts.is_symlink() or layout.accounts.exists():
        try:
            Book(layout).all()
        except AccountError as error:
            what, _, cure = str(error).partition("; ")
            yield Finding("accounts", "problem", what, cure)


def _own_key(layout: Layout) -> Iterator[Finding]:
    try:
        control.read_credentials(layout.root)
    except FileNotFoundError:
        return
    except DaemonError as error:
        what, _, cure = str(error).partition("; ")
        yield Finding("credentials", "problem", what, cure)


def _database(layout: Layout) -> Iterator[Finding]:
    try:
        if layout.database.is_symlink() or layout.database.exists():
            check_database(layout.database)
    except DamageError as damage:
        what, _, cure = str(describe_damage(layout, str(damage))).partition(". Nothing was changed. ")
        yield Finding("database", "problem", what, cure)
    except (OSError, sqlite3.Error) as error:
        cure = "look at its rights; its owner has to be this user"
        yield Finding("database", "problem", f"{layout.database} cannot be used: {error}", cure)
