"""OssMapping: objects at a local path, read-only (protocol 2.10), by private mounts, else by symlinks.

Those of this machine are shown as they are, those of a bucket elsewhere as they were when the instance was prepared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.objects.backing import Backing
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process import binder
from batchcompute_local.process.fetching import FOLDER, Fetcher
from batchcompute_local.process.patience import access
from batchcompute_local.process.sources import Sources
from batchcompute_local.storage import split_uri

_HELPER = (sys.executable, "-I", "-S", "-B", binder.__file__)
_PROBE_SECONDS = 10.0


class MappingError(Exception):
    """An OssMapping is not possible; the message says why. The instance fails before its program starts."""


class Mapper:
    """Creates mapped paths. Does I/O; one per daemon."""

    def __init__(self, layout: Layout, sources: Sources) -> None:
        self._sources = sources
        self._fetcher = Fetcher(layout)
        self._root = layout.root
        self._oss = layout.oss

    @cached_property
    def can_mount(self) -> bool:
        """Check if the kernel allows this user a mount namespace. Tried once, at the first use."""
        command = [*_HELPER, "--", sys.executable, "-I", "-S", "-c", ""]
        try:
            return subprocess.run(command, capture_output=True, timeout=_PROBE_SECONDS, check=False).returncode == 0  # noqa: S603  # fixed words
        except (OSError, subprocess.TimeoutExpired):
            return False

    def is_elsewhere(self, task: TaskSpec) -> bool:
        """Check if a mapping of the task has to be downloaded, so that it may differ from instance to instance."""
        return any(self._sources.elsewhere(uri) for uri in task.mapping)

    def folders(self, task: TaskSpec, job: str) -> dict[str, str]:
        """Return the task's local paths by their source file or folder. Raises MappingError."""
        found: dict[str, str] = {}
        for uri, target in task.mapping.items():
            elsewhere = self._sources.elsewhere(uri)
            if elsewhere is not None:
                source = self._fetch(job, uri, *elsewhere)
            else:
                with access(self._oss / uri.removeprefix("oss://")):
                    source = self._source(uri)
            if task.mapping_locale != "UTF-8":
                _check_names(source, uri, task.mapping_locale)
            if str(source) in found:
                raise MappingError(f"OssMapping maps {uri} twice")
            found[str(source)] = target.rstrip("/")
        return found

    def prepare(self, folders: Mapping[str, str]) -> list[str]:
        """Return the words that go before a command line to show `folders`; none if symlinks are used. Raises MappingError."""
        for source, target in folders.items():
            inside = f"{target}/".startswith(f"{self._root}/") or f"{self._root}/".startswith(f"{target}/")
            if inside:
                raise MappingError(f"OssMapping cannot use {target}: the service's data folder is {self._root}")
            can_mount = self.can_mount  # tried once, not while it is the target that is waited for
            try:
                with access(target):
                    _make_place(source, target, can_mount, f"{self._root}/")
            except OSError as error:
                raise MappingError(f"OssMapping cannot use {target}: {error.strerror}") from None
        if not self.can_mount or not folders:
            return []
        return [*_HELPER, *(word for pair in folders.items() for word in pair), "--"]

    def _fetch(self, job: str, uri: str, backing: Backing, key: str) -> Path:
        try:
            return self._fetcher.fetch(job, backing, key)
        except OSError as error:
            if is_exhausted(error):
                raise
            raise MappingError(f"OssMapping cannot show {uri}: {error.strerror or error}") from None

    def _source(self, uri: str) -> Path:
        bucket, key = split_uri(uri)
        source = self._oss / bucket / key
        if not os.path.realpath(source).startswith(os.path.realpath(self._oss) + os.sep):
            raise MappingError(f"{uri} leads out of the object store")
        try:
            if not source.is_file():  # show a prefix without objects as an empty folder
                source.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MappingError(f"OssMapping cannot show {uri}: {error.strerror}") from None
        return source


def _make_place(source: str, target: str, can_mount: bool, own: str) -> None:
    if not can_mount:
        _link(source, target, own)
    elif os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "a"):
            pass


def _link(source: str, target: str, own: str) -> None:
    """Make the symlink `target`. One to an earlier copy below the folder `own` is replaced."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.symlink(source, target)
    except FileExistsError:
        there = os.readlink(target) if os.path.islink(target) else ""
        if there.startswith(own) and f"/{FOLDER}/" in there and there != source:
            new = f"{target}.{os.getpid()}-{threading.get_ident()}"
            os.symlink(source, new)
            os.replace(new, target)
        elif there != source:
            raise


def _check_names(source: Path, uri: str, locale: str) -> None:
    """Check that names are ASCII: names here are UTF-8, and ASCII is the same in every allowed charset."""
    walk = os.walk(source)
    while True:
        with access(source):
            step = next(walk, None)
        if step is None:
            return
        _, folders, files = step
        for name in (*folders, *files):
            if not name.isascii():
                message = f"OssMappingLocale is {locale}, but {name!r} in {uri} is shown in UTF-8 here; use UTF-8"
                raise MappingError(message)
