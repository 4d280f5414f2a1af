"""Findings of `batchcompute doctor` for region local: the service, the interpreters, the free space."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator

from batchcompute.hooks import Finding
from batchcompute_local import __version__
from batchcompute_local.client import control
from batchcompute_local.errors import SettingsError
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings, read_settings

_LITTLE, _TOO_LITTLE = 1 << 30, 50 << 20


def findings(layout: Layout) -> Iterator[Finding]:
    """Check the service, the data folder and the interpreters. Changes nothing."""
    yield _service(layout)
    yield from _storage(layout)
    try:
        settings = read_settings(layout.settings)
    except SettingsError as error:
        yield Finding("service.toml", "problem", str(error), "correct the file; the service does not start with it")
    else:
        yield from _interpreters(settings)


def _service(layout: Layout) -> Finding:
    found = control.status(layout.root)
    if found is None:
        cure = "the next call starts one; if that fails, `batchcompute local logs` shows why"
        return Finding("daemon", "note", f"no service runs in {layout.root}", cure)
    what = f"version {found['version']} runs as pid {found['pid']} with {found['active_jobs']} active jobs"
    if found["version"] != __version__:
        cure = "it is replaced when it has no jobs; or stop it now with `batchcompute local stop`: jobs continue"
        return Finding("daemon", "note", f"{what}, but {__version__} is installed", cure)
    return Finding("daemon", "ok", what)


def _storage(layout: Layout) -> Iterator[Finding]:
    folder = layout.root
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        cure = f"change the rights of {existing}, or name another folder with BATCHCOMPUTE_DATA_DIR"
        yield Finding("storage", "problem", f"{folder} is not writable", cure)
        return
    free = shutil.disk_usage(existing).free
    size = f"{folder} has {free / 1e9:.1f} GB left"
    cure = "delete unused jobs and objects, or name another folder with BATCHCOMPUTE_DATA_DIR"
    if free < _TOO_LITTLE:
        yield Finding("storage", "problem", size, cure)
    elif free < _LITTLE:
        yield Finding("storage", "note", size, cure)
    else:
        yield Finding("storage", "ok", size)


def _interpreters(settings: Settings) -> Iterator[Finding]:
    for kind in ("python", "php", "java"):
        named = settings.programs.get(kind)
        wanted = named or {"python": settings.interpreter or sys.executable}.get(kind, kind)
        found = shutil.which(wanted)
        if found:
            yield Finding("interpreter", "ok", f"{kind} programs run with {os.path.abspath(found)}")
        else:
            cure = f'install it, or name another with [programs] {kind} = "..." in service.toml'
            what = f"{kind} programs cannot run: there is no {wanted}"
            yield Finding("interpreter", "problem" if named or kind == "python" else "note", what, cure)
