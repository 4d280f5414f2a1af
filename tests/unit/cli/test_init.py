"""`config init`."""

from __future__ import annotations

import re
import stat
import tomllib
from pathlib import Path

import pytest

from batchcompute.cli.init import template
from batchcompute.config import SECTIONS, Config
from batchcompute.configuration import load
from batchcompute.schema import keys_of
from tests.support.command_line import Run


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home/.config/batchcompute/config.toml"


def test_a_file_for_nobody_else(bc: Run, path: Path) -> None:
    done = bc("config", "init")
    assert (done.code, done.out) == (0, f"{path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {item.source for item in load().settings()} == {"default"}, "as it is, it changes nothing"


def test_it_never_replaces_one_unless_forced(bc: Run, path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("timeout = 5\n")
    done = bc("config", "init")
    assert done.code == 2
    assert "replace it with --force" in done.err
    assert path.read_text() == "timeout = 5\n"
    done = bc("config", "init", "--force", "--endpoint", "cn-qingdao", "--format", "json")
    assert done.json == {"path": str(path)}
    assert load().config.endpoint == "cn-qingdao"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_every_setting_is_in_it_and_may_be_uncommented(path: Path) -> None:
    text = re.sub(r"(?m)^# (?=[a-z_]+ = |\[)", "", template())
    given = tomllib.loads(text)
    assert set(keys_of(Config)) <= set(given)
    for name, kind in SECTIONS.items():
        assert set(given[name]) == set(keys_of(kind))
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)
    assert load().config.endpoint == "cn-qingdao"
