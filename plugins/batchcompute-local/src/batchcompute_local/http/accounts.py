"""Who may use the service: the daemon's own account, and those that `batchcompute local account` adds.

Both are files of mode 0600 in the data folder, with the secrets as they are: a signature can only be checked with the
secret itself. A change replaces the file, and a running daemon sees by its stat that it is another one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

from batchcompute_local.files import fsync_folder
from batchcompute_local.paths import Layout

OWN_NAME = "local"
_OWN_OWNER = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYS = ("access_key_id", "access_key_secret")


class AccountError(ValueError):
    """What was asked of the accounts cannot be done; the message says why."""


@dataclass(frozen=True)
class Account:
    """One who may use the service. `owner` is the OwnerId on the wire; no number is ever given twice."""

    owner: int
    access_key_id: str
    access_key_secret: str = field(repr=False)
    enabled: bool = True
    name: str = OWN_NAME


class Accounts(Protocol):
    """Where accounts are looked up."""

    def lookup(self, access_key_id: str) -> Account | None:
        """The account of that key; None if there is none."""


def ensure_credentials(path: Path) -> Account:
    """The daemon's own account in the file at `path`, made with mode 0600 if there is none.

    Whoever comes first makes it, daemon or command. Raises OSError, AccountError.
    """
    if not path.exists():
        key, secret = _new_key()
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            _write(part, dict(zip(_KEYS, (key, secret), strict=True)))
            with suppress(FileExistsError):
                os.link(part, path)
        finally:
            part.unlink(missing_ok=True)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        values = None  # the error's own text may hold a part of the file
    if not isinstance(values, dict) or not all(isinstance(values.get(key), str) for key in _KEYS):
        raise AccountError(f"{path} is not a credentials file")
    return Account(_OWN_OWNER, *(values[key] for key in _KEYS))


class Book:
    """The accounts in a data folder. Every change is on the disk when it returns."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.accounts
        self._layout = layout

    def all(self) -> list[Account]:
        """All but the daemon's own. Raises AccountError for a file that cannot be understood."""
        return self._read()[1]

    def add(self, name: str) -> Account:
        """A new account with a new key. Raises AccountError if the name is taken or is none."""
        if not _NAME.fullmatch(name):
            raise AccountError(
                f"{name!r} is not an account name: 1 to 64 letters, digits, '.', '_', '-', no sign first"
            )
        with self._changing() as (owner, known):
            if name == OWN_NAME or any(name == one.name for one in known):
                raise AccountError(f"there is an account {name!r} already")
            made = Account(owner, *_new_key(), name=name)
            self._save(owner + 1, [*known, made])
        return made

    def enable(self, which: str, enabled: bool) -> Account:
        """Let the account of that name or key id in, or refuse it. Raises AccountError."""
        with self._changing() as (owner, known):
            found = self._find(which, known)
            changed = replace(found, enabled=enabled)
            self._save(owner, [changed if one is found else one for one in known])
        return changed

    def remove(self, which: str) -> Account:
        """Forget the account of that name or key id; its jobs stay, and nobody else gets its number. Raises AccountError."""
        with self._changing() as (owner, known):
            found = self._find(which, known)
            self._save(owner, [one for one in known if one is not found])
        return found

    def _find(self, which: str, known: Iterable[Account]) -> Account:
        if which == OWN_NAME:
            raise AccountError(f"{OWN_NAME!r} is the service's own account, which its local clients use; it stays")
        by_word = {word: one for one in known for word in (one.access_key_id, one.name)}
        if which not in by_word:
            near = get_close_matches(which, by_word, n=1)
            names = ", ".join(one.name for one in known) or "none"
            raise AccountError(
                f"there is no account {which!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {names}")
            )
        return by_word[which]

    @contextmanager
    def _changing(self) -> Iterator[tuple[int, list[Account]]]:
        self._layout.create()
        handle = os.open(self._layout.accounts_lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(handle)

    def _read(self) -> tuple[int, list[Account]]:
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
            return int(values["next_owner"]), [_account(one) for one in values["accounts"]]
        except FileNotFoundError:
            return _OWN_OWNER + 1, []
        except (ValueError, KeyError, TypeError) as error:
            # the error's own text may hold a part of the file, and so of a secret
            raise AccountError(f"{self._path} is not a file of accounts ({type(error).__name__})") from None

    def _save(self, next_owner: int, known: Iterable[Account]) -> None:
        part = self._path.with_suffix(".part")
        part.unlink(missing_ok=True)
        _write(part, {"next_owner": next_owner, "accounts": [asdict(one) for one in known]})
        part.replace(self._path)
        fsync_folder(self._path.parent)


class WatchedAccounts:
    """The daemon's view: its own account and the book's, read again whenever the file is another one.

    Raises AccountError when made over a file that cannot be understood; if it becomes so later, nobody in it is known.
    """

    def __init__(self, own: Account, layout: Layout) -> None:
        self._own = own
        self._book = Book(layout)
        self._path = layout.accounts
        self._stamp: tuple[int, ...] | None = None
        self._known: dict[str, Account] = {}
        self._read(self._look())

    def lookup(self, access_key_id: str) -> Account | None:
        """See Accounts."""
        if access_key_id == self._own.access_key_id:
            return self._own
        stamp = self._look()
        if stamp != self._stamp:
            self._known = {}
            with suppress(AccountError, OSError):
                self._read(stamp)
        return self._known.get(access_key_id)

    def _look(self) -> tuple[int, ...] | None:
        try:
            facts = os.stat(self._path)
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size

    def _read(self, stamp: tuple[int, ...] | None) -> None:
        self._stamp = stamp
        self._known = {one.access_key_id: one for one in self._book.all()}


def _new_key() -> tuple[str, str]:
    return f"LOCAL{secrets.token_hex(10).upper()}", secrets.token_hex(20)


def _account(values: Mapping[str, Any]) -> Account:
    made = Account(**values)
    texts = (made.name, made.access_key_id, made.access_key_secret)
    if not all(isinstance(text, str) and text for text in texts) or not isinstance(made.owner, int):
        raise TypeError
    if not isinstance(made.enabled, bool):
        raise TypeError
    return made


def _write(path: Path, values: Mapping[str, Any]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
