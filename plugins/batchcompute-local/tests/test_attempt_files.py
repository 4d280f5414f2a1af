"""The attempt file and the keys of attempts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from batchcompute_local.attempt_files import AttemptFiles, AttemptKeys, read_attempt_file
from batchcompute_local.paths import Layout, default_data_dir


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout.at(tmp_path / "data")
    made.create()
    return made


def test_a_key_follows_from_owner_attempt_and_secret(layout: Layout, tmp_path: Path) -> None:
    key, secret = AttemptKeys.of(layout).make(1001, "job-1.0.0.1")
    assert key == "ATTEMPT.1001.job-1.0.0.1"
    assert AttemptKeys.parse(key) == (1001, "job-1.0.0.1")
    assert AttemptKeys.of(layout).make(1001, "job-1.0.0.1") == (key, secret), "also after a restart"
    others = {
        AttemptKeys.of(layout).make(owner, name)[1] for owner, name in ((1000, "job-1.0.0.1"), (1001, "job-1.0.0.2"))
    }
    assert len({*others, secret}) == 3
    (tmp_path / "other").mkdir()
    assert AttemptKeys.of(Layout.at(tmp_path / "other")).make(1001, "job-1.0.0.1")[1] != secret
    assert layout.attempts_secret.stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    "name", ["LOCAL1234", "ATTEMPT.1", "ATTEMPT.x.job", "ATTEMPT.1.a/b", "ATTEMPT.1.a\n", "ATTEMPT.²3.a"]
)
def test_ids_of_another_kind(name: str) -> None:
    assert AttemptKeys.parse(name) is None


@pytest.mark.parametrize("torn", [b"", b"short"])
def test_a_torn_secret_is_made_again(layout: Layout, torn: bytes) -> None:
    """An empty one would be known to everybody."""
    layout.attempts_secret.write_bytes(torn)
    layout.attempts_secret.with_suffix(".part").write_bytes(b"left by a crash")
    AttemptKeys.of(layout)
    assert len(layout.attempts_secret.read_bytes()) == 32


def test_files_from_the_beginning_to_the_end(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    files = AttemptFiles(layout)
    files.write(1000, "a")
    path = Path(files.path("a"))
    assert (path.stat().st_mode & 0o7777, path.parent.stat().st_mode & 0o7777) == (0o600, 0o700)
    found = read_attempt_file(str(path))
    assert (found.socket, found.objects) == (str(layout.programs_socket), str(layout.oss))
    assert (found.access_key_id, found.access_key_secret) == AttemptKeys.of(layout).make(1000, "a")
    assert found.access_key_secret not in repr(found)
    monkeypatch.setenv("BATCHCOMPUTE_LOCAL_ATTEMPT", str(path))
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", "/elsewhere")
    assert default_data_dir() == layout.root
    files.write(1000, "b")
    files.tidy(["b"])
    assert os.listdir(layout.attempts) == ["b"]
    files.remove("b")
    files.remove("b")
    assert os.listdir(layout.attempts) == []


def test_what_a_program_put_in_the_place_of_a_file_is_replaced(layout: Layout, tmp_path: Path) -> None:
    files = AttemptFiles(layout)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, files.path("a"))
    files.write(1000, "a")
    assert victim.read_text() == "mine"
    assert read_attempt_file(files.path("a")).socket == str(layout.programs_socket)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"socket": "s"}', json.dumps({"socket": 1, "objects": "o"})])
def test_what_is_not_an_attempt_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match="it is not an attempt file"):
        read_attempt_file(str(tmp_path / "file"))
