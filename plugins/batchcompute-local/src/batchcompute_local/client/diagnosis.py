"""Findings of `batchcompute doctor` for region local: the service and its venv, the interpreters, the free space.

What concerns the service is asked from it: it may run from another venv than the command.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from batchcompute.cli.caller import describe_caller
from batchcompute.hooks import Finding
from batchcompute_local import __version__, known_state
from batchcompute_local.client import control
from batchcompute_local.client.bucket_report import find_buckets
from batchcompute_local.client.damage_report import find_damage
from batchcompute_local.errors import SettingsError
from batchcompute_local.extensions import check_names
from batchcompute_local.installation import describe_installation
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings, read_settings

_LITTLE, _TOO_LITTLE = 1 << 30, 50 << 20


def findings(layout: Layout) -> Iterator[Finding]:
    """Check the service, the data folder and the interpreters. Changes nothing."""
    found = control.status(layout.root)
    yield _service(layout, found)
    yield from _installations(layout)
    if found is not None and "containment" in found:
        yield _containment(str(found["containment"]))
    yield from _storage(layout)
    yield from find_damage(layout)
    try:
        settings = read_settings(layout.settings)
        check_names(settings, layout.settings)
    except SettingsError as error:
        yield Finding("service.toml", "problem", str(error), "correct the file; the service does not start with it")
    else:
        yield from find_buckets(layout, settings)
        yield from _interpreters(settings)


def _service(layout: Layout, found: Mapping[str, Any] | None) -> Finding:
    silent = control.find_silent(layout.root) if found is None else ""
    if silent:
        cure = "it may be stopped or busy; `kill -9` ends it, its programs keep running, and the next call starts another one"
        return Finding("daemon", "problem", f"the service in {layout.root} is {silent}, and it does not answer", cure)
    if found is None:
        cure = "the next call starts one; if that fails, `batchcompute local logs` shows why"
        return Finding("daemon", "note", f"no service runs in {layout.root}", cure)
    what = f"version {found['version']} runs as pid {found['pid']} with {found['active_jobs']} active jobs"
    if "slots" in found:  # a service of an earlier version does not say it
        what += f", {found['slots']['taken']} of {found['slots']['total']} slots taken"
    if found.get("gone"):
        cure = "the next call starts one with the Python of its caller" if not found.get("url") else "start it again"
        return Finding("daemon", "note", f"{what}, but its Python {found['interpreter']} or its package is gone", cure)
    if found["version"] != __version__:
        cure = "it is replaced when it has no jobs; or stop it now with `batchcompute local stop`: jobs continue"
        return Finding("daemon", "note", f"{what}, but {__version__} is installed", cure)
    if found.get("troubles"):
        return Finding("daemon", "problem", "; ".join([what, *found["troubles"]]), f"see {layout.log}")
    return Finding("daemon", "ok", what)


def _installations(layout: Layout) -> Iterator[Finding]:
    """Compare what the service says of itself with what is installed here."""
    there, here = control.ask_installation(layout.root), describe_installation()
    if there is None:
        return
    if there["prefix"] == here["prefix"]:
        yield Finding("venv", "ok", f"the service runs with {there['interpreter']}")
    else:
        what = f"the service runs in {there['prefix']} with {there['interpreter']}, this command in {here['prefix']}"
        cure = 'plugins are those of the service; set interpreter = "..." in service.toml, or stop it: `batchcompute local stop`'
        yield Finding("venv", "note", what, cure)
    yield from _missing(there, here, "the service")
    yield from _missing(here, there, "this command")


def _missing(there: Mapping[str, Any], here: Mapping[str, Any], who: str) -> Iterator[Finding]:
    """Name the distributions with plugins that only `who` has, of which `there` is what is installed."""
    for group, names in there["plugins"].items():
        only = {str(name) for name in names} - {str(name) for name in here["plugins"].get(group, ())}
        if only:
            what = f"only {who} has {', '.join(sorted(only))}, with plugins of the group {group}"
            yield Finding("venv", "note", what, "install the same plugins in both venvs")


def _containment(used: str) -> Finding:
    if used.startswith("cgroup "):
        gap = "a process that moves itself to another cgroup is found by its mark only, as the container of an engine may be"
        return Finding("containment", "ok", f"{used}; {gap}")
    gap = "a process that clears its environment, its session and its mark may outlive its attempt"
    cure = "start the service where a cgroup v2 is writable, such as a systemd scope with Delegate=yes"
    return Finding("containment", "note", f"{used}; {gap}", cure)


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
        named = settings.find_interpreter(kind)
        wanted = named or (describe_caller().interpreter if kind == "python" else kind)
        found = shutil.which(wanted, path=settings.environment.get("PATH", known_state.PATH) if named else None)
        if found:
            whose = "" if named else " that are submitted in this shell"
            yield Finding("interpreter", "ok", f"{kind} programs{whose} run with {os.path.abspath(found)}")
        else:
            cure = f'install it, or name another with [programs] {kind} = "..." in service.toml'
            what = f"{kind} programs cannot run: there is no {wanted}"
            yield Finding("interpreter", "problem" if named or kind == "python" else "note", what, cure)
