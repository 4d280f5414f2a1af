"""Virtual environments with the packages under test, and shells that use them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import batchcompute_local
import urllib3

import batchcompute

_SOURCES = [Path(module.__file__ or "").parents[1] for module in (batchcompute, batchcompute_local, urllib3)]
_MAIN = "from batchcompute.cli import main; main()"


class Venv:
    """A virtual environment in `folder`. `modules` are text by name: modules that only it has."""

    def __init__(self, folder: Path, modules: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        self.packages = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        # without it each service would compile its sources
        bytecode = f"import sys; sys.pycache_prefix = {sys.pycache_prefix!r}"
        (self.packages / "tested.pth").write_text("\n".join([bytecode, *map(str, _SOURCES)]))
        for name, text in (modules or {}).items():
            (self.packages / f"{name}.py").write_text(text)

    def install(self, name: str, group: str) -> None:
        """Make a distribution with an entry point, which points nowhere."""
        info = self.packages / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nits = nowhere\n")


class Shell:
    """A user's shell: PATH begins with the folder of a Python; `variables` are set too. Everything else is plain."""

    def __init__(self, python: Path, data_dir: Path, cwd: Path, **variables: str) -> None:
        self.python, self.cwd = python, cwd
        path = f"{python.parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
        kept = {name: os.environ[name] for name in ("HOME", "PYTHONPYCACHEPREFIX") if name in os.environ}
        self.environment = {"PATH": path, "BATCHCOMPUTE_DATA_DIR": str(data_dir), **kept, **variables}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start its Python with these arguments."""
        pipe = subprocess.PIPE
        command = [str(self.python), *arguments]
        return subprocess.Popen(command, env=self.environment, cwd=self.cwd, stdout=pipe, stderr=pipe, text=True)

    def python_says(self, code: str, *arguments: str) -> str:
        """Run a script and return what it prints."""
        out, err = (process := self.start("-c", code, *arguments)).communicate(timeout=120)
        assert process.returncode == 0, err
        return out.strip()

    def batchcompute(self, *arguments: str, code: int = 0) -> str:
        """Run `batchcompute ...` and return what it prints."""
        out, err = (process := self.start("-c", _MAIN, *arguments)).communicate(timeout=120)
        assert process.returncode == code, err
        return out.strip()
