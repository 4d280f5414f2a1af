"""Damaged files of the data folder: the service starts, or says which file it is and what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from batchcompute_local.client import control, diagnosis
from batchcompute_local.errors import DaemonError, SettingsError
from batchcompute_local.http.accounts import AccountError, Book
from batchcompute_local.objects.buckets import give_bucket
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout
from batchcompute_local.settings import read_settings

from batchcompute import Client
from tests.support.service import Cloud
from tests.support.unprivileged import as_ordinary_user
from tests.support.waits import wait_for


def _kept(folder: Path) -> list[str]:
    return sorted(re.sub(r"-\d{4}-.*", "", path.name) for path in folder.iterdir() if ".damaged-" in path.name)


def _write_journal(cloud: Cloud) -> None:
    (cloud.root / "runner.journal").write_text('{"attempt":"x","event":"started"}\n')


def _empty_credentials(cloud: Cloud) -> None:
    (cloud.root / "credentials.json").write_bytes(b"")


def _write_note(cloud: Cloud) -> None:
    (cloud.root / "nonces/boot").write_bytes(b"\xff\xfe")


def _replace_socket(cloud: Cloud) -> None:
    (cloud.root / "daemon.sock").mkdir()


def _replace_log(cloud: Cloud) -> None:
    (cloud.root / "daemon.log").unlink()
    os.mkfifo(cloud.root / "daemon.log")


def _replace_minute(cloud: Cloud) -> None:
    (cloud.root / "nonces" / "99999999").mkdir()


def _shorten_secret(cloud: Cloud) -> None:
    (cloud.root / "attempts.key").write_bytes(b"short")


@pytest.mark.parametrize(
    ("spoil", "kept"),
    [
        (_write_journal, "runner.journal.damaged"),
        (_empty_credentials, "credentials.json.damaged"),
        (_write_note, "boot.damaged"),
        (_replace_socket, "daemon.sock.damaged"),
        (_replace_log, "daemon.log.damaged"),
        (_replace_minute, "99999999.damaged"),
        (_shorten_secret, "attempts.key.damaged"),
    ],
)
def test_the_service_starts_and_keeps_what_was_damaged(cloud: Cloud, spoil: Callable[[Cloud], None], kept: str) -> None:
    cloud.up()
    cloud.call("GET", "/jobs")
    control.stop(cloud.root)
    wait_for(lambda: cloud.runner_pid() is None, "the runner's end")
    spoil(cloud)
    cloud.up()
    assert cloud.call("GET", "/jobs")[0] == 200
    assert [*_kept(cloud.root), *_kept(cloud.root / "nonces")] == [kept]
    found = {one.name: one for one in diagnosis.findings(Layout.at(cloud.root))}
    assert kept in found["damage"].what


@as_ordinary_user
def test_a_read_only_data_folder_is_an_error_with_its_path(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir(mode=0o500)
    made = root / "x"
    with pytest.raises(PermissionError):
        made.touch()
    # an owner may change the mode of the folder, so somebody else has to own what is in it
    (tmp_path / "closed").mkdir(exist_ok=True)
    closed = tmp_path / "closed" / "data"
    (tmp_path / "closed").chmod(0o500)
    with pytest.raises(DaemonError, match=f"{closed} cannot be used: Permission denied"):
        control.ensure_running(closed)
    root.chmod(0o700)
    (root / "start.lock").touch(mode=0o000)
    with pytest.raises(DaemonError, match=f"the lock {root}/start.lock cannot be used: Permission denied"):
        control.ensure_running(root)


@as_ordinary_user
def test_a_file_without_rights_is_named_and_left_alone(cloud: Cloud, tmp_path: Path) -> None:
    cloud.up()
    control.stop(cloud.root)
    for name in ("state.sqlite3", "credentials.json", "accounts.json", "runner.journal"):
        path = cloud.root / name
        path.touch()
        path.chmod(0)
        with pytest.raises(DaemonError, match=re.escape(str(path))):
            control.ensure_running(cloud.root)
        path.chmod(0o600)
        if name == "accounts.json":
            path.unlink()
    cloud.up()
    assert not _kept(cloud.root)


@pytest.mark.parametrize("name", ["daemon.lock", "start.lock"])
def test_a_folder_in_the_place_of_a_lock_is_named(cloud: Cloud, name: str) -> None:
    (cloud.root / name).mkdir(parents=True)
    with pytest.raises(DaemonError, match=rf"{name} cannot be used: Is a directory; move it away: mv .*{name} "):
        control.ensure_running(cloud.root)
    (cloud.root / name).rmdir()
    cloud.up()


def test_a_client_never_sees_a_bare_error_of_a_damaged_key(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.up()
    for content in (b"", b"[]", b'{"access_key_id": 5}', b"\xff", b"[" * 100_000, b'{"access_key_id": "a\\nb"}'):
        (cloud.root / "credentials.json").write_bytes(content)
        with (
            Client("local") as client,
            pytest.raises(DaemonError, match=r"credentials\.json is not a credentials file") as seen,
        ):
            client.list_jobs()
        assert "`batchcompute local stop`" in str(seen.value)
    control.stop(cloud.root)
    with Client("local") as client:
        assert client.list_jobs() is not None  # the next start makes a new key


def test_damaged_accounts_keep_the_service_from_starting_and_no_number_is_used_twice(cloud: Cloud) -> None:
    layout = Layout.at(cloud.root)
    ann = Book(layout).add("ann")
    path = cloud.root / "accounts.json"
    good = path.read_text()
    for bad in ("", "[]", '{"next_owner": 1, "accounts": []}', good.replace("1002", "1001"), good.replace("true", "3")):
        path.write_text(bad)
        with pytest.raises(DaemonError, match=r"accounts.json is not a file of accounts \(\w+\); put an earlier"):
            control.ensure_running(cloud.root)
        with pytest.raises(AccountError, match="move it away"):
            Book(layout).add("bob")
    path.write_text(good)
    cloud.up()
    cloud.program("print(1)")
    visitor = Cloud(cloud.root)
    visitor.client.credentials = lambda: (ann.access_key_id, ann.access_key_secret)
    give_bucket(Store(cloud.root / "oss"), "tests", ann.owner)
    visitor.ended(visitor.create({"A": {}}))
    visitor.client.close()
    control.stop(cloud.root)
    path.rename(cloud.root / "accounts.json.old")
    assert Book(layout).add("bob").owner > ann.owner


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"slots = 1\nidle_seconds = nan\n", "line 2: idle_seconds must be finite"),
        (b"slots = 1\n\n[program]\npython = 'x'\n", "line 3: unknown setting 'program'; did you mean 'programs'"),
        (b"# \xc3\xa4\nslots = 1 # \xff\n", "line 2: it is not UTF-8"),
        (b"slots = [1\n", "line 2|at end of document"),
        (b"slots = " + b"[" * 5000, "nested too deep"),
        (b"images.x = 5", "line 1: "),
        (None, "is a folder, not a file"),
    ],
)
def test_settings_are_an_error_with_path_and_line(tmp_path: Path, text: bytes | None, message: str) -> None:
    path = tmp_path / "service.toml"
    if text is None:
        path.mkdir()
    else:
        path.write_bytes(text)
    with pytest.raises(SettingsError, match=message) as seen:
        read_settings(path)
    assert str(path) in str(seen.value)


def test_settings_that_are_a_fifo_or_a_link(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    os.mkfifo(path)
    with pytest.raises(SettingsError, match="is not a regular file"):
        read_settings(path)  # and does not wait for a writer
    path.unlink()
    (tmp_path / "mine.toml").write_text("slots = 7")
    path.symlink_to("mine.toml")
    assert read_settings(path).slots == 7


def test_damaged_logs_of_finished_jobs_are_put_aside(cloud: Cloud) -> None:
    cloud.root.mkdir(mode=0o700)
    (cloud.root / "logs.sqlite3").write_bytes(b"no database" * 1000)
    cloud.up()
    assert _kept(cloud.root) == ["logs.sqlite3.damaged"]
    assert "the logs of Finished jobs, is damaged" in (cloud.root / "daemon.log").read_text()


def test_a_link_to_nothing_in_the_place_of_the_objects_is_not_replaced(cloud: Cloud) -> None:
    cloud.root.mkdir(mode=0o700)
    (cloud.root / "oss").symlink_to(cloud.root / "disk" / "objects")
    with pytest.raises(DaemonError, match="oss is a link to nothing: is its disk mounted"):
        control.ensure_running(cloud.root)
    (cloud.root / "disk" / "objects").mkdir(parents=True)
    cloud.up()


def test_caches_are_made_again(cloud: Cloud) -> None:
    cloud.program("print(1)")
    for name in ("packages", "attempts", "copies", "work"):
        (cloud.root / name).write_text("a file")
    cloud.up()
    assert cloud.ended(cloud.create({"A": {}}))["State"] == "Terminated"


def test_a_number_that_no_database_takes_is_left_out_of_the_journal(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("print(1)")
    job_id = cloud.create({"A": {}})
    cloud.ended(job_id)
    control.stop(cloud.root)
    wait_for(lambda: cloud.runner_pid() is None, "the runner's end")
    record = {
        "event": "exited", "attempt": f"{job_id}.0.0.1", "code": 0, "signal": None, "reason": "", "timed_out": False,
        "started": 1.0, "ended": 2.0, "host": "h", "cwd": "",
    }  # fmt: skip
    bad = [{**record, "code": 10**30}, {**record, "reason": "\ud800"}]
    lines = [json.dumps(one) for one in bad] + [json.dumps(record).replace("2.0", each) for each in ("1e999", "NaN")]
    lines.append(json.dumps({**record, "attempt": f"{job_id}.{'9' * 30}.0.1"}))
    (cloud.root / "runner.journal").write_text("\n".join(lines) + "\n")
    cloud.up()
    assert cloud.ended(cloud.create({"A": {}}))["State"] == "Terminated"  # turns can be committed
    log = (cloud.root / "daemon.log").read_text()
    assert [f"left out, line {number}" in log for number in range(1, 5)] == [True] * 4
    assert "a turn could not be committed" not in log


def test_what_was_put_aside_is_never_overwritten(cloud: Cloud) -> None:
    cloud.up()
    for _ in range(3):
        control.stop(cloud.root)
        shutil.copyfile("/dev/null", cloud.root / "credentials.json")
        cloud.up()
    assert _kept(cloud.root) == ["credentials.json.damaged"] * 3
