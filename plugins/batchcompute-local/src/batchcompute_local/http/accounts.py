"""Accounts: the daemon's own, and those that `batchcompute local account` adds.

Both are files of mode 0600 in the data folder, with plain secrets: a signature can only be checked with the secret
itself. A change replaces the file; a running daemon notices the new file by its stat.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.damage import DamageError, clear_place, read_whole
from batchcompute_local.files import fsync_folder, is_lock_held
from batchcompute_local.own_key import KEYS, read_key
from batchcompute_local.paths import Layout

OWN_NAME = "local"
_OWN_OWNER = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_SECRET = re.compile(r"[!-~]{1,256}")
_NEW_KEY = "the next start of the service makes a new key: `batchcompute local stop`"


class AccountError(ValueError):
    """The change of accounts is not possible; the message says why."""


@dataclass(frozen=True)
class Account:
    """An account. `owner` is the OwnerId on the wire; a number is never used twice."""

    owner: int
    access_key_id: str
    access_key_secret: str = field(repr=False)
    enabled: bool = True
    name: str = OWN_NAME
    attempt: str = ""
    """The running attempt whose key it is; empty for a key of the account itself."""


class Accounts(Protocol):
    """A source of accounts."""

    def lookup(self, access_key_id: str) -> Account | None:
        """Return the account with this key; None if absent. Raises ServiceError if nobody may use the key now."""


def ensure_credentials(path: Path) -> Account:
    """Return the daemon's own account from the file at `path`. Create the file, mode 0600, if it is absent.

    Daemon or command, the first one creates it. Raises OSError, AccountError.
    """
    if not os.path.lexists(path):
        key, secret = _new_key()
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            _write(part, dict(zip(KEYS, (key, secret), strict=True)))
            with suppress(FileExistsError):
                os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    try:
        return Account(_OWN_OWNER, *read_key(path))
    except DamageError as damage:
        raise AccountError(f"{path} {damage}; {_NEW_KEY}") from None
    except OSError as error:
        raise AccountError(
            f"{path} cannot be read: {error.strerror}; its owner has to be this user, its mode 0600"
        ) from None


class Book:
    """The accounts in a data folder. A change is on the disk when the method returns."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.accounts
        self._layout = layout

    def all(self) -> list[Account]:
        """Return all accounts but the daemon's own. Raises AccountError if the file is not a file of accounts."""
        return self._read()[1]

    def add(self, name: str, given: tuple[str, str] | None = None) -> Account:
        """Create an account with a new key, or the `given` one: its id and its secret.

        Raises AccountError if the name or the key is taken, or is none.
        """
        if not _NAME.fullmatch(name):
            raise AccountError(
                f"{name!r} is not an account name: 1 to 64 letters, digits, '.', '_', '-', first a letter or digit"
            )
        key = _new_key() if given is None else _check_key(*given)
        with self._changing() as (owner, others):
            if given is not None and key[0] in {one.access_key_id for one in others} | self._own_key():
                raise AccountError(f"there is an account with the access key id {key[0]!r} already")
            if name == OWN_NAME or any(name == one.name for one in others):
                raise AccountError(f"there is an account {name!r} already")
            owner = owner or _first_owner(self._layout)
            created = Account(owner, *key, name=name)
            self._save(owner + 1, [*others, created])
        return created

    def enable(self, which: str, enabled: bool) -> Account:
        """Accept or refuse requests of the account with this name or key id. Raises AccountError."""
        with self._changing() as (owner, others):
            found = _find(which, others)
            changed = replace(found, enabled=enabled)
            self._save(owner, [changed if one is found else one for one in others])
        return changed

    def remove(self, which: str) -> Account:
        """Remove the account with this name or key id. Its jobs stay; its number is not used again. Raises AccountError."""
        with self._changing() as (owner, others):
            found = _find(which, others)
            self._save(owner, [one for one in others if one is not found])
        return found

    def find(self, which: str) -> Account:
        """Return the account with this name or key id. Raises AccountError."""
        return _find(which, self.all())

    def _own_key(self) -> set[str]:
        return {ensure_credentials(self._layout.credentials).access_key_id}

    @contextmanager
    def _changing(self) -> Iterator[tuple[int, list[Account]]]:
        lock = self._layout.accounts_lock
        try:
            self._layout.create()
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise AccountError(
                f"the lock {lock} cannot be used: {error.strerror}; move it away if it is no file"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(handle)

    def _read(self) -> tuple[int, list[Account]]:
        """Return the number of the next account, 0 if there is no file yet, and the accounts."""
        try:
            values = json.loads(read_whole(self._path))
            owner, accounts = values["next_owner"], [_account(one) for one in values["accounts"]]
            _check(owner, accounts)
        except FileNotFoundError:
            return 0, []
        except DamageError as damage:
            raise AccountError(f"{self._path} {damage}; {_cure(self._path)}") from None
        except OSError as error:
            raise AccountError(f"{self._path} cannot be read: {error.strerror}; {_cure(self._path)}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            # the error's text may contain a part of the file, and so of a secret
            what = f"is not a file of accounts ({type(error).__name__})"
            raise AccountError(f"{self._path} {what}; {_cure(self._path)}") from None
        return owner, accounts

    def _save(self, next_owner: int, accounts: Iterable[Account]) -> None:
        part = self._path.with_suffix(".part")
        clear_place(part)
        part.unlink(missing_ok=True)
        _write(part, {"next_owner": next_owner, "accounts": [asdict(one) for one in accounts]})
        part.replace(self._path)
        fsync_folder(self._path.parent)


class WatchedAccounts:
    """The daemon's view: its own account and those of the book. A changed file is read again.

    `__init__` raises AccountError for a file that is not a file of accounts. If the file becomes one later, `lookup` finds
    only the daemon's own account.
    """

    def __init__(self, own: Account, layout: Layout) -> None:
        self._own = own
        self._book = Book(layout)
        self._path = layout.accounts
        self._stamp: tuple[int, ...] | None = None
        self._by_key: dict[str, Account] = {}
        self._read(self._file_stamp())

    def lookup(self, access_key_id: str) -> Account | None:
        """Return the account with this key; None if absent."""
        if access_key_id == self._own.access_key_id:
            return self._own
        return self._others().get(access_key_id)

    def find_owner(self, owner: int) -> Account | None:
        """Return the account with this OwnerId; None if absent."""
        if owner == self._own.owner:
            return self._own
        return next((one for one in self._others().values() if one.owner == owner), None)

    def _others(self) -> dict[str, Account]:
        stamp = self._file_stamp()
        if stamp != self._stamp:
            self._by_key = {}
            with suppress(AccountError, OSError):
                self._read(stamp)
        return self._by_key

    def _file_stamp(self) -> tuple[int, ...] | None:
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size

    def _read(self, stamp: tuple[int, ...] | None) -> None:
        self._stamp = stamp
        self._by_key = {one.access_key_id: one for one in self._book.all()}


def _find(which: str, accounts: Iterable[Account]) -> Account:
    if which == OWN_NAME:
        raise AccountError(f"{OWN_NAME!r} is the service's own account, which local clients use; it cannot be changed")
    by_word = {word: one for one in accounts for word in (one.access_key_id, one.name)}
    if which not in by_word:
        near = get_close_matches(which, by_word, n=1)
        names = ", ".join(one.name for one in accounts) or "none"
        raise AccountError(
            f"there is no account {which!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {names}")
        )
    return by_word[which]


def _check_key(key: str, secret: str) -> tuple[str, str]:
    if not _KEY.fullmatch(key) or AttemptKeys.parse(key) is not None:
        text = "1 to 128 letters, digits, '.', '_', '-', and no key of an attempt"
        raise AccountError(f"{key!r} is not an access key id: {text}")
    if not _SECRET.fullmatch(secret):
        raise AccountError("the secret has to be one line of 1 to 256 printable ASCII characters without spaces")
    return key, secret


def _cure(path: Path) -> str:
    # the daemon does not put it aside: it would lock out everybody, and a number of an account could be used again
    return (
        f"put an earlier {path.name} in its place, or move it away (`mv {path} {path}.old`) and add the accounts again: "
        "they get new numbers, and the jobs of the old ones stay with nobody"
    )


def _first_owner(layout: Layout) -> int:
    """Return the number of the first account of a new file: above those that own jobs or buckets, since an earlier file may be
    lost.
    """
    return max(_OWN_OWNER, _highest_of_jobs(layout), _highest_of_buckets(layout)) + 1


def _highest_of_buckets(layout: Layout) -> int:
    import sqlite3

    from batchcompute_local.objects.buckets import find_highest_owner
    from batchcompute_local.objects.store import Store

    store = Store(layout.oss)
    try:
        return find_highest_owner(store)
    except (OSError, sqlite3.Error) as error:
        what = f"{store.database.path} cannot be read ({error})"
        raise AccountError(f"{what}, so a number of an account could be used twice") from None
    finally:
        store.database.close()


def _highest_of_jobs(layout: Layout) -> int:
    if not layout.database.exists():
        return _OWN_OWNER
    import sqlite3

    from batchcompute_local.jobs.copies import check_database, connect

    try:
        # a service that runs writes while we look, and has checked it
        if not is_lock_held(os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)):
            check_database(layout.database)  # first, since to open a damaged one changes it
        with closing(connect(layout.database)) as db:
            row = db.execute("SELECT max(owner) FROM jobs").fetchone()
    except (OSError, sqlite3.Error, DamageError) as error:
        what = f"{layout.database} cannot be read ({error})"
        raise AccountError(f"{what}, so a number of an account could be used twice") from None
    return int(row[0] or _OWN_OWNER)


def _check(next_owner: object, accounts: list[Account]) -> None:
    """Raise ValueError if two accounts have the same name, key or number, or the next number is taken."""
    if type(next_owner) is not int or next_owner <= max([_OWN_OWNER, *(one.owner for one in accounts)]):
        raise ValueError
    for values in zip(*((one.owner, one.access_key_id, one.name) for one in accounts), strict=True):
        if len(set(values)) < len(accounts):
            raise ValueError


def _new_key() -> tuple[str, str]:
    return f"LOCAL{secrets.token_hex(10).upper()}", secrets.token_hex(20)


def _account(values: Mapping[str, Any]) -> Account:
    read = Account(**values)
    texts = (read.name, read.access_key_id, read.access_key_secret)
    if (
        not all(isinstance(text, str) and text for text in texts)
        or type(read.owner) is not int
        or read.owner <= _OWN_OWNER
    ):
        raise TypeError
    if not isinstance(read.enabled, bool):
        raise TypeError
    return read


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
