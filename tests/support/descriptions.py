"""Packages and descriptions of jobs for the local service."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any

PACKAGE = "oss://tests/worker.tar.gz"


def pack_files(files: Mapping[str, str]) -> bytes:
    """A tar.gz of these texts; `batchcompute.pack` packs a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            info.mode = 0o755
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def describe(
    tasks: Mapping[str, Mapping[str, Any]], dependencies: Mapping[str, Sequence[str]] | None = None, **more: Any
) -> bytes:
    """The body of a create. A task names only what is special about it; `more` are properties of the job."""
    plain = {"PackageUri": PACKAGE, "ProgramName": "main.py", "ProgramType": "python"}
    dag = {
        "TaskDescMap": {name: plain | dict(task) for name, task in tasks.items()},
        "Dependencies": dependencies or {},
    }
    return json.dumps({"JobName": "test", "Priority": 1, "TaskDag": dag} | more).encode()


def describe_find(**task: Any) -> dict[str, Any]:
    """A description without problems; `task` changes its only task, Find."""
    find = {
        "PackageUri": "oss://bucket/worker.tar.gz",
        "ProgramName": "find.py",
        "ImageId": "img-1",
        "Timeout": 60,
        **task,
    }
    return {"JobName": "find-prime", "Priority": 0, "TaskDag": {"TaskDescMap": {"Find": find}, "Dependencies": {}}}
