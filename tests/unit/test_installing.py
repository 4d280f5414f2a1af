"""What a message says to install is what is missing, and comes from where this installation came from."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from batchcompute import installing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Makes this distribution one that was installed from what direct_url.json says; None for an index."""

    def make(origin: object) -> None:
        info = tmp_path / "batchcompute-3.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: batchcompute\nVersion: 3.1.0\n")
        if origin is not None:
            (info / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))
        found = metadata.PathDistribution(info)
        monkeypatch.setattr(metadata, "distribution", lambda name: found)

    return make


def command(text: str) -> list[str]:
    """The words behind `pip install`."""
    before, found, line = text.partition("install it with: ")
    assert (before, found) == ("", "install it with: "), text
    words = shlex.split(line)
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    return words[4:]


def test_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {
        extra: tuple(one.split(">")[0] if one.startswith("batchcompute-") else one for one in needs)
        for extra, needs in extras.items()
    } == installing.EXTRAS


def test_from_a_checkout(installed: Any, tmp_path: Path) -> None:
    checkout = tmp_path / "my checkout"
    plugin = checkout / "plugins/batchcompute-local"
    plugin.mkdir(parents=True)
    (plugin / "pyproject.toml").touch()
    installed({"url": checkout.as_uri(), "dir_info": {"editable": True}})
    assert command(installing.advise("local")) == [str(plugin)]
    said = installing.advise("alibabacloud")
    assert (
        said
        == f"install the distribution batchcompute-alibabacloud 3.1.0 from where batchcompute came from ({checkout.as_uri()})"
    )


def test_from_a_folder_of_wheels(installed: Any, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("batchcompute-3.1.0-py3", "batchcompute_local-3.0.0-py3", "batchcompute_local-3.1.0-py3"):
        (wheels / f"{name}-none-any.whl").touch()
    installed({"url": (wheels / "batchcompute-3.1.0-py3-none-any.whl").as_uri(), "archive_info": {}})
    assert command(installing.advise("local")) == [str(wheels / "batchcompute_local-3.1.0-py3-none-any.whl")]
    assert installing.advise("alibabacloud").startswith("install the distribution batchcompute-alibabacloud 3.1.0 from")


def test_pip_runs_the_command(installed: Any, tmp_path: Path) -> None:
    wheel = tmp_path / "with space/batchcompute_local-3.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    info = "batchcompute_local-3.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("batchcompute_local/__init__.py", "")
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: batchcompute-local\nVersion: 3.1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", f"batchcompute_local/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
    installed({"url": wheel.with_name("batchcompute-3.1.0-py3-none-any.whl").as_uri(), "archive_info": {}})
    line = installing.advise("local").partition(": ")[2]
    # the same line, but offline, and into a folder of its own
    offline = {"PIP_TARGET": str(tmp_path / "target"), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1"}
    done = subprocess.run(
        ["sh", "-c", line], env={**os.environ, **offline}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target/batchcompute_local/__init__.py").exists()


def test_from_a_repository(installed: Any) -> None:
    installed({"url": "https://git.example/b.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}})
    assert command(installing.advise("local")) == [
        "batchcompute-local @ git+https://git.example/b.git@abc#subdirectory=plugins/batchcompute-local"
    ]


@pytest.mark.parametrize("origin", [None, "not JSON", "[]", {"url": "https://example.com/batchcompute-3.1.0.whl"}])
def test_no_command_is_given_that_is_not_certain(installed: Any, origin: object) -> None:
    installed(origin)
    for extra in ("local", "alibabacloud", "oss"):
        said = installing.advise(extra)
        assert said.startswith(f"install the distribution batchcompute-{extra}")
        assert "pip" not in said


def test_nothing_is_installed_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert installing.advise("local") == "install the distribution batchcompute-local from where batchcompute came from"


@pytest.mark.parametrize("extra", installing.EXTRAS)
def test_no_command_names_the_other_project_of_the_index(extra: str) -> None:
    for word in command(installing.advise(extra)):
        assert word.partition("[")[0].partition(">")[0] != "batchcompute"


def test_messages_name_what_is_missing_and_no_other_way() -> None:
    files = [*(ROOT / "batchcompute").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
    assert [path for path in files if "pip install" in path.read_text(encoding="utf-8")] == []
