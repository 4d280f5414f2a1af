"""Where a node has its files, and what it offers: from variables, which `worker` sets from its options."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from batchcompute_local.images import Image

ENV_FOLDER = "BATCHCOMPUTE_NODE_DIR"
ENV_NAME = "BATCHCOMPUTE_NODE_NAME"
ENV_SLOTS = "BATCHCOMPUTE_NODE_SLOTS"
ENV_CPU = "BATCHCOMPUTE_NODE_CPU"
ENV_MEMORY = "BATCHCOMPUTE_NODE_MEMORY"
_MOST_NODES = 1000


@dataclass(frozen=True)
class Place:
    """The folder of a node, locked by `lock` while this process lives; its name; what it offers (see executors.base.Node)."""

    folder: Path
    lock: int
    name: str
    host: str
    slots: int
    cpu: int
    memory: int


def take_place(prefix: str, name: str, threads: int) -> Place:
    """Take the folder of a node for the service `prefix`: that of an earlier process of this name, if there was one.

    `name` is that of the Dask worker, "" if it has none of its own: then the first folder that nobody uses. A worker that is
    started again finds its runner there, with the programs that still run. Raises OSError; RuntimeError if the folder is in use.
    """
    host = socket.gethostname()
    base = _base() / prefix
    base.mkdir(mode=0o700, exist_ok=True)
    for each in _names(host, os.environ.get(ENV_NAME) or name):
        folder = base / each
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / "node.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        slots = _number(ENV_SLOTS, threads)
        return Place(folder, lock, each, host, slots, _number(ENV_CPU, 0), _number(ENV_MEMORY, 0))
    raise RuntimeError(f"another process of this machine is the node {name or host} already")


def find_images(images: Mapping[str, Image]) -> frozenset[str]:
    """Return the ids of the images that can be used here: their interpreters are there, or the program of their command."""
    return frozenset(
        image.id
        for image in images.values()
        if all(shutil.which(each) for each in (image.command[:1] or image.programs.values()))
    )


def _base() -> Path:
    named = os.environ.get(ENV_FOLDER)
    folder = Path(named) if named else Path(tempfile.gettempdir()) / f"batchcompute-nodes-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o022:
        raise PermissionError(f"{folder} belongs to somebody else, or others may write there; set {ENV_FOLDER}")
    return folder


def _names(host: str, name: str) -> Iterator[str]:
    if name:
        yield _as_folder(name if name.startswith(host) else f"{host}-{name}")
        return
    for number in count(1):
        if number > _MOST_NODES:
            return
        yield _as_folder(f"{host}-{number}")


def _as_folder(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")[:80]


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    try:
        return int(text) if text else default
    except ValueError:
        raise RuntimeError(f"{variable} must be a whole number, not {text!r}") from None
