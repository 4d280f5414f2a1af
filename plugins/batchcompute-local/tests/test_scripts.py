"""Tasks of type shell and command: scripts and any other program. Real processes, but no service."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.process.workspace import PreparationError
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe
from tests.support.programs import Desk, make_tool, write_settings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "data")


WORDS = ["two words", "", "quo'te\"s", "line\nbreak", "$HOME `id` \\ *", "数据 é"]
COUNT = "for word; do printf '%s|' \"$word\"; done"


@pytest.mark.parametrize(
    ("program_type", "files", "name"),
    [
        ("shell", {"a.sh": COUNT}, "a.sh"),
        ("shell", {"a": f"#! /bin/sh \n{COUNT}"}, "./a"),
        ("shell", {"a": f"#!/usr/bin/env bash\nset -o pipefail; {COUNT}"}, "a"),
        ("shell", {"a": f"#!{sys.executable} -u\nimport sys\nfor word in sys.argv[1:]: print(end=word + '|')"}, "a"),
        ("command", {}, "printf"),
        ("command", {}, "/usr/bin/printf"),
        ("command", {"other": ""}, "printf"),
    ],
)
def test_commands_keep_every_word(desk: Desk, program_type: str, files: dict[str, str], name: str) -> None:
    words = ["%s|", *WORDS] if program_type == "command" else WORDS
    task = {"program_type": program_type, "program_name": name, "program_arguments": shlex.join(words)}
    package = {} if files else {"package_uri": ""}
    out = desk.out(Settings(), files or {"unused": ""}, **task, **package)
    assert out == "".join(f"{word}|" for word in WORDS)


def test_a_command_of_the_package(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "tools"
    folder.mkdir()
    make_tool(folder / "ls", "echo own $1")
    (folder / "plain").write_text("#!/bin/sh\n")
    from batchcompute import pack as pack_folder

    desk.pack = lambda files: pack_folder(folder)
    for name in ("ls", "./ls"):
        assert desk.out(Settings(), {name: ""}, program_type="command", program_arguments="x") == "own x\n"
    for name, message in (
        ("plain", "'plain' of the package is not executable; set its x bit, or use ProgramType shell"),
        ("./absent", "the package has no program './absent'"),
        ("absent-here", "there is no program 'absent-here': it is neither a file of the package nor on PATH"),
    ):
        with pytest.raises(PreparationError, match=message):
            desk.prepared(Settings(), {name: ""}, program_type="command")


def test_path_of_the_task_finds_a_command(desk: Desk, tmp_path: Path) -> None:
    make_tool(tmp_path / "mine", "echo mine")
    task = {"program_type": "command", "package_uri": "", "environment": {"PATH": str(tmp_path)}}
    assert desk.out(Settings(), {"mine": ""}, **task) == "mine\n"


def test_scripts_without_a_package(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text("pwd; ls -A")
    task = {"program_type": "shell", "package_uri": "", "program_name": str(tmp_path / "a.sh")}
    cwd = desk.layout.instance("job-1", "T", 0)
    assert desk.out(Settings(), {"unused": ""}, **task) == f"{cwd}\n"
    (cwd / "left by an attempt").touch()
    assert desk.out(Settings(), {"unused": ""}, **task) == f"{cwd}\n"
    with pytest.raises(PreparationError, match=r"the package has no program 'b\.sh'"):
        desk.prepared(Settings(), {"b.sh": ""}, program_type="shell", package_uri="")


def test_what_runs_a_script_by_settings_and_images(desk: Desk, tmp_path: Path) -> None:
    tool = make_tool(tmp_path / "ksh", "echo ksh $(basename $1)")
    other = make_tool(tmp_path / "zsh", "echo zsh $(basename $1)")
    text = f'[programs]\nshell = "{tool}"\n[images."img-zsh"]\nshell = "{other}"\n'
    settings = write_settings(tmp_path, text)
    assert desk.out(settings, {"a.sh": "#!/bin/sh"}, program_type="shell") == "ksh a.sh\n"
    assert desk.out(settings, {"a.sh": "#!/bin/sh"}, program_type="shell", image_id="img-zsh") == "zsh a.sh\n"
    with pytest.raises(PreparationError, match=r"this machine has no '/nowhere/sh' to run 'a\.sh' with"):
        desk.prepared(Settings(), {"a.sh": "#!/nowhere/sh"}, program_type="shell")


def test_commands_in_an_image(desk: Desk, tmp_path: Path) -> None:
    engine = make_tool(tmp_path / "podman", 'for word in "$@"; do echo "$word"; done')
    settings = write_settings(tmp_path, f'[images."img-box"]\ncommand = ["{engine}", "{{argv}}"]\n')

    def words(**task: Any) -> list[str]:
        name = task.get("program_name", "a.sh")
        return desk.out(settings, {name: "#!/only/there -e x\n"}, image_id="img-box", **task).splitlines()

    cwd = desk.layout.instance("job-1", "T", 0)
    assert words(program_type="shell") == ["/only/there", "-e x", f"{cwd}/a.sh"]
    assert words(program_type="command", program_name="only-there", package_uri="") == ["only-there"]
    assert words(program_type="command", program_name="/only/there", program_arguments="x") == ["/only/there", "x"]


def test_which_types_need_a_package() -> None:
    for kind in ("shell", "command"):
        task = {"ProgramType": kind, "ProgramName": "ls", "PackageUri": ""}
        assert read_description(describe({"A": task}), Settings()).tasks[0].package_uri == ""
    with pytest.raises(ServiceError, match="PackageUri: is missing"):
        read_description(describe({"A": {"ProgramType": "python", "PackageUri": ""}}), Settings())
    with pytest.raises(ServiceError, match="ProgramName: is missing"):
        read_description(describe({"A": {"ProgramType": "command", "ProgramName": "", "PackageUri": ""}}), Settings())
