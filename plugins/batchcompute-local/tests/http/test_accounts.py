"""Accounts and nonces: on the disk, private, and effective at once."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from batchcompute_local.http import nonces as nonces_module
from batchcompute_local.http.accounts import Account, AccountError, Book, WatchedAccounts, ensure_credentials
from batchcompute_local.http.nonces import Nonces
from batchcompute_local.objects.buckets import create_bucket
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout

OWN = Account(1000, "OWN", "secret")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path / "data")
    made.create()
    return made


def test_credentials_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    account = ensure_credentials(path)
    assert ensure_credentials(path) == account
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert account.access_key_secret not in repr(account)
    assert os.listdir(tmp_path) == ["credentials.json"]
    for text in ("[]", "{", '{"access_key_id": "a"}'):
        path.write_text(text)
        with pytest.raises(AccountError, match="is not a credentials file"):
            ensure_credentials(path)


def test_a_running_service_sees_every_change(layout: Layout) -> None:
    watched, book = WatchedAccounts(OWN, layout), Book(layout)
    ann = book.add("ann")
    assert watched.lookup("OWN") == OWN
    assert watched.lookup(ann.access_key_id) == ann
    assert stat.S_IMODE(layout.accounts.stat().st_mode) == 0o600
    book.enable("ann", False)
    found = watched.lookup(ann.access_key_id)
    assert found is not None
    assert not found.enabled
    book.enable(ann.access_key_id, True)
    assert watched.lookup(ann.access_key_id) == ann
    book.remove("ann")
    assert watched.lookup(ann.access_key_id) is None
    assert watched.lookup("OWN") == OWN


def test_a_number_is_given_once(layout: Layout) -> None:
    book = Book(layout)
    assert [book.add(name).owner for name in ("a", "b")] == [1001, 1002]
    book.remove("b")
    assert book.add("b").owner == 1003
    assert [one.name for one in book.all()] == ["a", "b"]


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "x" * 65, "a\n", "\N{SNOWMAN}"])
def test_bad_names(layout: Layout, name: str) -> None:
    with pytest.raises(AccountError, match="is not an account name"):
        Book(layout).add(name)


def test_what_cannot_be_done(layout: Layout) -> None:
    book = Book(layout)
    book.add("alice")
    for name in ("alice", "local"):
        with pytest.raises(AccountError, match="there is an account"):
            book.add(name)
    with pytest.raises(AccountError, match="did you mean 'alice'"):
        book.remove("alicia")
    with pytest.raises(AccountError, match="there are: alice"):
        book.enable("zzz", False)
    with pytest.raises(AccountError, match="own account"):
        book.remove("local")


@pytest.mark.parametrize("text", ["[]", "{", '{"next_owner": 5, "accounts": [{"name": "hush"}]}', '{"next_owner": 1}'])
def test_a_file_that_cannot_be_understood_lets_nobody_in(layout: Layout, text: str) -> None:
    ann = Book(layout).add("ann")
    watched = WatchedAccounts(OWN, layout)
    layout.accounts.write_text(text)
    assert watched.lookup(ann.access_key_id) is None
    assert watched.lookup("OWN") == OWN
    with pytest.raises(AccountError, match="is not a file of accounts") as caught:
        WatchedAccounts(OWN, layout)
    assert "hush" not in str(caught.value)


def test_a_secret_of_the_wrong_kind(layout: Layout) -> None:
    one = {"name": "a", "owner": 1, "access_key_id": "x", "access_key_secret": "", "enabled": True}
    for change in ({}, {"access_key_secret": "s", "enabled": 1}, {"access_key_secret": "s", "owner": "1"}):
        layout.accounts.write_text(json.dumps({"next_owner": 9, "accounts": [one | change]}))
        with pytest.raises(AccountError):
            Book(layout).all()


def test_nonces_survive_a_crash_but_not_their_minute(layout: Layout) -> None:
    first = Nonces(layout.nonces, now=1000.0)
    assert first.use("key", "n", until=1900.0, now=1000.0)
    assert not first.use("key", "n", until=1930.0, now=1000.0)
    assert first.use("other", "n", until=1900.0, now=1000.0)
    # killed: nothing is closed
    up = Uptime(100.0)
    second = Nonces(layout.nonces, now=1100.0, uptime=up)
    assert second.floor(1100.0) == 0.0
    assert not second.use("key", "n", until=1900.0, now=1100.0)
    up.seconds += 1000.0
    assert second.use("key", "n", until=2900.0, now=1961.0)
    assert [path.name for path in sorted(layout.nonces.iterdir())] == ["48", "boot"]
    for each in (first, second):
        each.close()


class Uptime:
    """The seconds since a boot, as a test wants them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_was_ahead_for_a_while_lets_no_request_come_again(layout: Layout, restart: bool) -> None:
    up = Uptime(50.0)
    nonces = Nonces(layout.nonces, now=1000.0, uptime=up)
    assert nonces.use("key", "n", until=1900.0, now=1000.0)
    up.seconds += 10
    if restart:
        nonces.close()
        nonces = Nonces(layout.nonces, now=90_000.0, uptime=up)
    assert nonces.use("key", "of the wrong time", until=90_900.0, now=90_000.0)
    up.seconds += 10
    assert not nonces.use("key", "n", until=1900.0, now=1020.0)
    nonces.close()


def test_a_clock_that_was_ahead_at_the_first_start_locks_nobody_out(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = Uptime(50.0)
    Nonces(layout.nonces, now=0.0, uptime=up).close()
    monkeypatch.setattr(nonces_module, "boot_id", lambda: "another")
    nonces = Nonces(layout.nonces, now=4600.0, uptime=up)
    assert nonces.floor(4600.0) == 4600.0
    up.seconds += 5
    assert nonces.floor(1005.0) == 1000.0, "the clock was put right, by an hour"
    assert nonces.floor(90_000.0) == 89_995.0


def test_a_torn_nonce(layout: Layout) -> None:
    first = Nonces(layout.nonces, now=0.0)
    first.use("key", "n", until=100.0, now=0.0)
    first.close()
    with (layout.nonces / "1").open("ab") as file:
        file.write(b"torn")
    second = Nonces(layout.nonces, now=0.0)
    assert not second.use("key", "n", until=100.0, now=0.0)
    assert second.use("key", "m", until=100.0, now=0.0)
    second.close()
    third = Nonces(layout.nonces, now=0.0)
    assert not third.use("key", "m", until=100.0, now=0.0)


def test_after_another_boot_nothing_older_counts(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    up = Uptime(50.0)
    Nonces(layout.nonces, now=1000.0, uptime=up).use("key", "n", until=1900.0, now=1000.0)
    monkeypatch.setattr(nonces_module, "boot_id", lambda: "another")
    assert Nonces(layout.nonces, now=2100.7, uptime=up).floor(2100.7) == 2100.0
    assert [path.name for path in layout.nonces.iterdir()] == ["boot"]
    up.seconds += 100
    assert Nonces(layout.nonces, now=2200.7, uptime=up).floor(2200.7) == 2100.0


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00", b"", b"another 12", b"%s x"])
def test_a_damaged_boot_note_counts_as_one_of_another_boot(layout: Layout, damage: bytes) -> None:
    Nonces(layout.nonces, now=1000.0).close()
    note = layout.nonces / "boot"
    note.write_bytes(damage.replace(b"%s", note.read_bytes()))
    assert Nonces(layout.nonces, now=1100.0, uptime=Uptime(7.0)).floor(1100.0) == 1100.0


def test_a_full_memory_and_a_full_disk(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    up = Uptime(0.0)
    few = Nonces(most=2, uptime=up)
    for nonce in "ab":
        assert not few.full
        few.use("key", nonce, until=100.0, now=0.0)
    assert few.full
    up.seconds += 1000
    few.use("key", "c", until=900.0, now=200.0)
    assert not few.full
    nonces = Nonces(layout.nonces, now=0.0)
    layout.nonces.rename(layout.root / "gone")
    assert nonces.use("key", "n", until=100.0, now=0.0)
    assert not nonces.use("key", "n", until=100.0, now=0.0)
    assert "cannot be written" in caplog.text


def test_a_key_that_there_is(layout: Layout) -> None:
    book = Book(layout)
    given = book.add("old", ("LTAI.old-1", "s3cret/+="))
    assert book.find("LTAI.old-1") == book.find("old") == given
    assert "s3cret" not in repr(given)
    assert WatchedAccounts(OWN, layout).lookup("LTAI.old-1") == given
    own = ensure_credentials(layout.credentials).access_key_id
    for key in ("LTAI.old-1", own):
        with pytest.raises(AccountError, match="already"):
            book.add("other", (key, "x"))
    for key in ("", "a b", "x" * 129, "a:b", "ATTEMPT.1000.job-1.0.0.1"):
        with pytest.raises(AccountError, match="is not an access key id"):
            book.add("other", (key, "hush"))
    for secret in ("", "two words", "x" * 257, "line\nline", "é"):
        with pytest.raises(AccountError, match="the secret has to be") as caught:
            book.add("other", ("LTAI2", secret))
        assert not secret or secret not in str(caught.value)
    assert [one.name for one in book.all()] == ["old"]


def test_a_number_that_a_bucket_has_is_not_used_again(layout: Layout) -> None:
    ann = Book(layout).add("ann")
    store = Store(layout.oss)
    create_bucket(store, "of-ann", ann.owner + 5)
    store.database.close()
    layout.accounts.unlink()
    assert Book(layout).add("bob").owner == ann.owner + 6
