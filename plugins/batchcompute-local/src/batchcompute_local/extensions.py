"""Installed program types and executors (the hooks in `specs`), loaded once per process at the first use."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypeVar

import pluggy

from batchcompute.errors import did_you_mean
from batchcompute.hooks.loading import load_entry_points, name_entry_points
from batchcompute.installing import advise
from batchcompute_local import specs
from batchcompute_local.errors import SettingsError
from batchcompute_local.executors.base import AnyExecutor
from batchcompute_local.objects.bucket_credentials import find_unknown
from batchcompute_local.programs import BUILT_IN, ProgramType
from batchcompute_local.settings import Settings
from batchcompute_local.specs import GROUP, ExecutorContext, ExecutorType

T = TypeVar("T", ProgramType, ExecutorType)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extensions:
    """Installed program types and executors by name, without the executor of this machine."""

    program_types: Mapping[str, ProgramType]
    executors: Mapping[str, ExecutorType]


@cache
def installed() -> Extensions:
    """Load the entry points of all installed packages, sorted by distribution and name."""
    return load(entry_points(group=GROUP))


def load(points: Iterable[EntryPoint]) -> Extensions:
    """Load entry points. One that cannot be loaded is left out, with a warning in the log."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(specs)
    for name, plugin in load_entry_points(name_entry_points(points), _leave_out):
        try:
            manager.register(plugin, name)
            manager.check_pending()
        except Exception as error:
            _leave_out(name, error)
            if manager.has_plugin(name):
                manager.unregister(name=name)
    types: Iterator[ProgramType] = _flat(manager.hook.register_program_types())
    executors: Iterator[ExecutorType] = _flat(manager.hook.register_executors())
    return Extensions(_by_name("program type", types) | BUILT_IN, _by_name("executor", executors))


def make_executor(context: ExecutorContext) -> AnyExecutor:
    """Make the executor that the settings name. Raises SettingsError if it is not installed or its options are wrong."""
    name = context.settings.executor
    found = installed().executors
    if name not in found:
        names = ("process", *found)
        hint = (
            f"; {advise(name)}" if name == "dask" else did_you_mean(name, names) or f"; executors: {', '.join(names)}"
        )
        raise SettingsError(f"{context.layout.settings}: executor {name!r} is not installed{hint}")
    try:
        return found[name].make(context)
    except ValueError as error:
        raise SettingsError(f"{context.layout.settings}: [executors.{name}]: {error}") from error


def check_names(settings: Settings, path: Path) -> None:
    """Log names of program types, executors and credential providers in service.toml that are not installed.

    Raises SettingsError for one that is near to an installed one: it was meant.
    """
    for problem, is_near in find_unknown(settings.buckets.values()):
        if is_near:
            raise SettingsError(f"{path}: {problem}")
        _log.warning("%s: %s", path, problem)
    used = [("[programs]", name) for name in settings.programs]
    used += [(f'[images."{image.id}"]', name) for image in settings.images.values() for name in image.programs]
    used = [(where, name) for where, name in used if name not in BUILT_IN]
    if not used and not settings.executors:
        return
    found = installed()
    for what, names, known in (
        ("program type", used, found.program_types),
        ("executor", [("[executors]", name) for name in settings.executors], found.executors),
    ):
        for where, name in names:
            if name in known:
                continue
            problem = f"{path}: {where}: {what} {name!r} is not installed"
            if hint := did_you_mean(name, known):
                raise SettingsError(problem + hint)
            _log.warning("%s", problem)


def _leave_out(name: str, error: Exception) -> None:
    _log.warning("plugin %s is left out: %s: %s", name, type(error).__name__, error)


def _flat(answers: Iterable[Iterable[T]]) -> Iterator[T]:
    for answer in answers:
        yield from answer


def _by_name(what: str, found: Iterable[T]) -> dict[str, T]:
    named: dict[str, T] = {}
    for each in found:
        if each.name in named:
            _log.warning("%s %r is registered twice; the first one is used", what, each.name)
        named.setdefault(each.name, each)
    return named
