"""The table of commands, their helps, and what a help costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from batchcompute.cli import cli, remembered
from batchcompute.cli.session import Command
from batchcompute.cli.table import COMMANDS
from tests.support.command_line import Run


def every() -> list[tuple[str, ...]]:
    """The words of every built-in command."""
    found: list[tuple[str, ...]] = []
    for name, entry in COMMANDS.items():
        found += [(name, verb) for verb in entry.verbs] if entry.verbs else [(name,)]
    return found


def command(words: tuple[str, ...]) -> click.Command:
    found: click.Command | None = cli
    for word in words:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), word)
    assert found is not None
    return found


@pytest.mark.parametrize("words", every(), ids=" ".join)
def test_every_command_has_its_name_a_help_and_examples(words: tuple[str, ...]) -> None:
    one = command(words)
    assert isinstance(one, Command)
    assert one.name == words[-1]
    assert one.help
    assert one.help[0].isupper()
    assert any(" ".join(("batchcompute", *words)) in example for example in one.examples)
    options = {option for param in one.params for option in param.opts}
    assert {"--endpoint", "--profile", "--format", "--verbose"} <= options


@pytest.mark.parametrize(
    "words", [("job", "list"), ("job", "submit"), ("image", "list"), ("oss", "cp"), ("config", "init")]
)
def test_helps_tell_the_json(words: tuple[str, ...]) -> None:
    assert "JSON:" in (command(words).help or "")


def test_help_shows_commands_and_examples(bc: Run) -> None:
    shown = bc("--help").out
    for name, entry in COMMANDS.items():
        assert f"\n  {name} " in shown
        assert entry.summary.split()[0] in shown
    assert "batchcompute job show last" in shown
    shown = bc("job", "submit", "--help").out
    assert shown.index("Options:") < shown.index("--set") < shown.index("Global options:") < shown.index("--endpoint")
    assert shown.index("Global options:") < shown.index("Examples:")
    assert bc("--version").out.startswith("batchcompute")


@pytest.mark.parametrize("noun", [name for name, entry in COMMANDS.items() if entry.verbs])
def test_the_help_of_a_noun_fits_on_a_screen(bc: Run, monkeypatch: pytest.MonkeyPatch, noun: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = bc(noun, "--help").out.splitlines()
    assert len(shown) < 24, "the prompt has a line too"
    assert shown[-1] == "Options of all commands, as --endpoint and --format: batchcompute --help"


def test_global_options_stand_anywhere(bc: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = (
        ("--format", "json", "config", "show"),
        ("config", "--format", "json", "show"),
        ("config", "show", "--format", "json"),
    )
    assert len({bc(*line).out for line in lines}) == 1
    assert json.loads(bc(*lines[0]).out)


def test_commands_of_plugins_take_the_format_too(bc: Run, data_dir: Path) -> None:
    lines = ("--format", "json", "local", "status"), ("local", "status", "--format", "json")
    assert [bc(*line).json["running"] for line in lines] == [False, False]
    assert bc("local", "status").out.startswith("No service runs")


def test_profile(bc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "home/.config/batchcompute/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[profiles.work]\nendpoint = "cn-qingdao"\n')
    assert 'endpoint = "cn-qingdao"' in bc("-p", "work", "config", "show").out
    assert "BATCHCOMPUTE_PROFILE" not in os.environ
    assert "endpoint = null" in bc("config", "show").out
    done = bc("config", "show", "--profile", "wrok")
    assert done.code == 2
    assert "did you mean 'work'?" in done.err


def test_the_endpoint_is_the_one_given_else_configured_else_local(
    bc: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    class Recorder:
        def __init__(self, endpoint: str) -> None:
            seen.append(endpoint)

        def __enter__(self) -> Recorder:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def list_images(self) -> list[object]:
            return []

    monkeypatch.setattr("batchcompute.client.Client", Recorder)
    monkeypatch.chdir(tmp_path)
    bc("image", "list")
    monkeypatch.setenv("BATCHCOMPUTE_ENDPOINT", "cn-shenzhen")
    bc("image", "list")
    bc("image", "list", "-e", "cn-qingdao")
    assert seen == ["local", "cn-shenzhen", "cn-qingdao"]


def test_verbose_shows_the_calls(bc: Run, data_dir: Path) -> None:
    assert "list_images" in bc("-v", "image", "list").err
    assert bc("image", "list").err == "", "and only those of that command"


GUARD = """
import sys
from batchcompute.cli import main
sys.argv = ["batchcompute", *sys.argv[1:]]
try:
    main()
finally:
    import json
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def test_a_help_imports_nothing_that_it_does_not_need() -> None:
    def loaded() -> set[str]:
        done = subprocess.run([sys.executable, "-c", GUARD, "--help"], capture_output=True, check=True, timeout=60)
        return set(json.loads(done.stderr))

    loaded()  # the first one asks the plugins
    heavy = {
        "batchcompute.client",
        "batchcompute.config",
        "pluggy",
        "urllib3",
        "rich",
        "structlog",
        "importlib.metadata",
    }
    assert loaded() & heavy == set()


def test_what_is_remembered_of_plugins() -> None:
    assert remembered.load() is None
    remembered.save({"lab": "Show the lab."})
    assert remembered.load() == {"lab": "Show the lab."}


def test_it_is_forgotten_when_something_was_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    remembered.save({"lab": "Show the lab."})
    os.utime(folder, (1, 1))
    assert remembered.load() is None
    remembered.save({"lab": "Show the lab."})
    monkeypatch.setenv("BATCHCOMPUTE_PLUGINS", "-lab")
    assert remembered.load() is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"of": 1}'])
def test_a_damaged_memory_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "home/.cache/batchcompute/commands.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert remembered.load() is None


def test_a_home_that_cannot_be_written_to_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "home/.cache").write_text("a file")
    remembered.save({"lab": "Show the lab."})
    assert remembered.load() is None
