"""Runs the code blocks of one page in order: `python run_page.py < blocks.json`, in an empty working directory.

Python blocks share one namespace, and shell blocks one folder and one environment, as a reader who types them in would have it.
On a page that is a transcript, the console blocks show what the commands print, `...` standing for anything.
"""

from __future__ import annotations

import configparser
import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TRANSCRIPTS = ("quickstart.md",)
# Commands that are not run here, and where they are.
ELSEWHERE = {
    "make demo": ".ci/run",
    "make lint test": ".ci/run",
    ".venv/bin/python -m pytest -n0 tests/unit/test_operations.py::test_all_are_here": "test_contributing.py",
    ".venv/bin/python -m benchmarks help --quick": "test_contributing.py",
    ".venv/bin/python plugins/batchcompute-local/stress/crash.py --kills 3": "test_contributing.py",
    "pip install ./ ./plugins/batchcompute-local": "the Makefile installs both, in .ci/run",
    "pip install ./plugins/batchcompute-alibabacloud": "the Makefile installs it, in .ci/run",
    "pip install ./plugins/batchcompute-oss": "the Makefile installs it, in .ci/run",
    "pip install ./plugins/batchcompute-dask": "the Makefile installs it, in .ci/run",
}
# A venv takes 3 s with pip and 0.1 s without. Nobody misses it here, since all that is installed is installed elsewhere.
VENV = ("python3 -m venv ", "python3 -m venv --without-pip ")


def print_and_compare(*values: object, **how: Any) -> None:
    """In place of print: when the line ends in a comment that is what is printed, `...` standing for anything."""
    print(*values, **how)
    frame = sys._getframe(1)
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    _, found, comment = line.rstrip().rpartition("  # ")
    shown = " ".join(" ".join(map(str, values)).split())
    if found and not re.fullmatch(".*".join(map(re.escape, comment.split("..."))), shown):
        raise AssertionError(f"{frame.f_code.co_filename}:{frame.f_lineno} prints {shown!r}, not {comment!r}")


def run_python(block: dict[str, Any], names: dict[str, Any]) -> None:
    """Run it as __main__; a traceback shows the lines of the page."""
    code = "\n" * block["line"] + block["text"]
    linecache.cache[block["page"]] = (len(code), None, code.splitlines(keepends=True), block["page"])
    exec(compile(code, block["page"], "exec"), names)


class Shell:
    """Runs commands in bash, each in the folder and with the exported variables that the one before has left."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._folder = os.getcwd()

    def run(self, script: str, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run the lines of a script that are not run elsewhere. One that fails or asks is an error."""
        lines = [line for line in script.splitlines() if line.strip() not in ELSEWHERE]
        with tempfile.NamedTemporaryFile() as left:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", "\n".join([*lines, 'env -0 > "$0"']).replace(*VENV), left.name],
                check=True,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env=self._environment,
                text=True,
                **how,
            )
            pairs = left.read().decode().rstrip("\0").split("\0")
        self._environment = dict(pair.split("=", 1) for pair in pairs)
        self._folder = self._environment["PWD"]
        return done


def run_shell(block: dict[str, Any], shell: Shell) -> None:
    """Run the commands; in a console block those are the lines that begin with `$ `."""
    lines = block["text"].splitlines()
    if block["language"] == "console":
        lines = [line[2:] for line in lines if line.startswith("$ ")]
        assert lines, "a console block without a command; commands begin with `$ `"
    shell.run("\n".join(lines))


def run_transcript(block: dict[str, Any], shell: Shell) -> None:
    """Run each command, and compare what it prints."""
    for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        done = shell.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not re.fullmatch(".*".join(map(re.escape, shown.split("..."))), done.stdout, flags=re.DOTALL):
            raise AssertionError(f"{block['page']}:{block['line']}: {command} prints\n{done.stdout}\nnot\n{shown}")


def read_toml(block: dict[str, Any]) -> None:
    """It must parse; what shows settings must be settings that are taken, by the service or by the Client.

    On docs/configuration.md a block is the user's config.toml, or the project's file if its first line has that name.
    """
    text = block["text"]
    tomllib.loads(text)
    if block["page"] == "docs/service-settings.md":
        from batchcompute_local.settings import read_settings

        with _file(Path("service.toml"), text) as file:
            read_settings(file)
    elif block["page"] in ("docs/cluster.md", "plugins/batchcompute-dask/README.md"):
        from batchcompute_dask.settings import read_options

        read_options(tomllib.loads(text)["executors"]["dask"])
    elif block["page"] == "docs/configuration.md":
        from batchcompute import configuration

        of_project = "batchcompute.toml" in text.partition("\n")[0]
        where = Path("batchcompute.toml" if of_project else configuration.files.user_file())
        with _file(where, text), warnings.catch_warnings():
            warnings.simplefilter("error")
            configuration.load()


@contextmanager
def _file(path: Path, text: str) -> Iterator[Path]:
    """A file for a while; what the page itself wrote there comes back."""
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    try:
        yield path
    finally:
        path.unlink()
        if before is not None:
            path.write_bytes(before)


def read_ini(block: dict[str, Any]) -> None:
    """It must parse."""
    configparser.ConfigParser(interpolation=None).read_string(block["text"])


def main() -> None:
    """Run all blocks; the first failure ends it."""
    names: dict[str, Any] = {"__name__": "__main__", "print": print_and_compare}
    shell = Shell()
    for block in json.load(sys.stdin):
        print(f"--- {block['page']}:{block['line']} {block['language']}", flush=True)
        match block["language"]:
            case "python":
                run_python(block, names)
            case "console" if Path(block["page"]).name in TRANSCRIPTS:
                run_transcript(block, shell)
            case "sh" | "console":
                run_shell(block, shell)
            case "toml":
                read_toml(block)
            case "json":
                json.loads(block["text"])
            case "ini":
                read_ini(block)
            case "text":
                pass
            case language:
                raise SystemExit(
                    f"{block['page']}:{block['line']}: blocks in {language or 'no language'!r} are not known"
                )


if __name__ == "__main__":
    main()
