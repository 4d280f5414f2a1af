"""Programs of tasks in their working folders, run without a service."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from batchcompute_local.executors.base import Launch
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.workspace import Workspaces
from batchcompute_local.settings import Settings, read_settings
from batchcompute_local.storage import ObjectStore

from .descriptions import pack_files


class Desk:
    """Working folders and the programs in them, without a service."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout.at(root)
        self.layout.create()
        self.store = ObjectStore(self.layout.oss)
        self.pack: Callable[[Mapping[str, str]], bytes] = pack_files

    def prepared(self, settings: Settings, files: dict[str, str], **task: Any) -> Any:
        self.store.put("oss://b/p", self.pack(files))
        plain: dict[str, Any] = {
            "name": "T", "instance_count": 1, "package_uri": "oss://b/p", "program_name": next(iter(files)),
            "program_type": "python", "program_arguments": "", "timeout": 9, "image_id": "img-local", "cpu": 1,
            "memory": 1, "stdout": "", "stderr": "", "environment": {},
        }  # fmt: skip
        return Workspaces(self.layout, settings).prepare(Launch("job-1.0.0.1", "job-1", TaskSpec(**plain | task), 0))

    def out(self, *arguments: Any, **task: Any) -> str:
        prepared = self.prepared(*arguments, **task)
        done = subprocess.run(
            prepared.argv, cwd=prepared.cwd, env=prepared.environment, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr


def make_tool(path: Path, text: str) -> str:
    """Write a shell script with its x bit, and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def write_settings(tmp_path: Path, text: str) -> Settings:
    """Write a service.toml and read it."""
    (tmp_path / "service.toml").write_text(text)
    return read_settings(tmp_path / "service.toml")
