"""The plugins of a Client, in order. One pluggy manager for each Client, never a global one."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from ..config import PluginConfig
from ..errors import PluginError, PluginWarning
from ..messages import did_you_mean, warn_caller
from . import specs
from .answers import Origin, guard, guard_wrapper
from .plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "batchcompute"
BLOCKED = "blocked by configuration"
OFF = "off unless plugins.enable names it"
CHOSEN = (BLOCKED, OFF)
"""Why a plugin was left out on purpose."""


def installed_plugins() -> tuple[tuple[str, EntryPoint], ...]:
    """Return the entry points of every installed plugin, as `name_entry_points` gives them.

    They are scanned once per process, and again when one of the folders for modules has changed: a plugin that a notebook has
    just installed is there for the next Client.
    """
    return _scan(tuple((folder, _changed_at(folder)) for folder in sys.path))


@lru_cache(maxsize=1)
def _scan(state: object) -> tuple[tuple[str, EntryPoint], ...]:
    from importlib.metadata import entry_points

    return name_entry_points(entry_points(group=ENTRY_POINT_GROUP))


def _changed_at(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


def name_entry_points(points: Iterable[EntryPoint]) -> tuple[tuple[str, EntryPoint], ...]:
    """(`distribution:name`, entry point) of each, sorted: the order of a scan is otherwise that of the file system.

    Both parts make the name, so that two distributions with the same entry point name do not hide one another.
    """
    found = {(point.dist.name if point.dist else "", point.name): point for point in points}
    return tuple((f"{dist}:{name}", point) for (dist, name), point in sorted(found.items(), key=itemgetter(0)))


def load_entry_points(
    named: Sequence[tuple[str, EntryPoint]], refuse: Callable[[str, Exception], object]
) -> Iterator[tuple[str, object]]:
    """(name, plugin) of each that can be loaded, in the order in which to register them with pluggy: the last name first.

    `refuse` is called with the name and the error of one that cannot be loaded; what it raises goes through.
    """
    for name, point in reversed(named):  # pluggy calls the last registered first
        try:
            plugin = point.load()
        except Exception as error:
            refuse(name, error)
        else:
            yield name, plugin


class _Manager(pluggy.PluginManager):
    """A manager that looks at fewer names: pluggy's takes ten microseconds for each that a plugin has."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        if name.startswith("__"):
            return None
        if isinstance(plugin, ModuleType):
            value = vars(plugin).get(name)
            if isinstance(value, (type, ModuleType)) or not callable(value):  # what a module has imported, and its data
                return None
        return super().parse_hookimpl_opts(plugin, name)


class Plugins:
    """Plugins of one Client.

    Order: plugin objects given to the Client, the last one first; then installed plugins by (distribution, name); then the
    built-in ones. `skipped` tells which were left out and why.
    """

    def __init__(self, config: PluginConfig, builtins: Mapping[str, object], plugins: Iterable[object]) -> None:
        self._config = config
        self.skipped: dict[str, str] = {}
        self.origins: dict[str, Origin] = {}
        self.manager = _Manager("batchcompute")
        self.manager.add_hookspecs(specs)
        for name, plugin in builtins.items():
            self._register(name, plugin)
        points = dict(installed_plugins())
        wanted = [(name, point) for name, point in points.items() if self._wanted(name)]
        for name, plugin in load_entry_points(wanted, self._refuse):
            if getattr(plugin, "enabled_by_default", True) or self._config.enable & _names_of(name):
                self._register(name, plugin, _place_of(points[name]))
            else:
                self.skipped[name] = OFF
        for number, plugin in enumerate(plugins):
            given = getattr(plugin, "name", None)
            name = given if isinstance(given, str) and given else f"argument {number}: {_name_of(plugin)}"
            self._register(name, plugin, f"{_class_of(plugin)}, given to the Client")
        self._check_names()

    def _wanted(self, name: str) -> bool:
        if self._config.block & _names_of(name):
            self.skipped[name] = BLOCKED
            return False
        return True

    def _check_names(self) -> None:
        """Warn of names in the configuration that no plugin has.

        A blocked one may be for another machine, unless it is almost a plugin's; without an enabled one something is missing.
        """
        if not self._config.block and not self._config.enable:
            return
        names = {*self.skipped, *(name for name, _ in self.in_use())}
        known = names | {name.partition(":")[2] for name in names}
        for name in self._config.block - known:
            hint = did_you_mean(name, known)
            if hint:
                warn_caller(f"plugins.block names {name!r}, which is not a plugin{hint}", PluginWarning)
        for name in sorted(self._config.enable - known):
            wrong = f"plugins.enable names {name!r}, which is not a plugin here{did_you_mean(name, known)}"
            if self._config.strict:
                raise PluginError(f"{wrong}; plugins: {', '.join(sorted(names))}")
            warn_caller(wrong, PluginWarning)

    def _skip(self, name: str, why: str, cause: Exception | None = None) -> None:
        self.skipped[name] = why
        if self._config.strict:
            raise PluginError(f"plugin {name} {why}") from cause
        warn_caller(f"plugin {name} was left out: it {why}", PluginWarning)

    def _refuse(self, name: str, error: Exception) -> None:
        self._skip(name, f"cannot be loaded: {type(error).__name__}: {error}", error)

    def _register(self, name: str, plugin: object, place: str = "") -> None:
        """place: where it comes from, in words; "" for a built-in one, whose answers need no check."""
        if not self._wanted(name):
            return
        if plugin is None or isinstance(plugin, type):  # pluggy takes both without a word
            self._skip(name, "is a class: pass an object of it" if plugin is not None else "is None")
            return
        try:
            registered = self.manager.register(plugin, name)
        except ValueError:  # pluggy's message would show the reprs of all plugins
            self._skip(name, "is registered twice, or another has its name")
            return
        except pluggy.PluginValidationError as error:
            if self.manager.is_registered(plugin):  # it depends on the version of pluggy
                self.manager.unregister(plugin)
            self._skip(name, f"has a wrong hook: {error}")
            return
        why = self._wrong(plugin) if registered else None
        if why:
            self.manager.unregister(plugin)
            self._skip(name, why)
            return
        self.origins[name] = Origin(name, place or "built in")
        if place:
            self._guard(plugin, self.origins[name])

    def _guard(self, plugin: object, origin: Origin) -> None:
        """Have every answer of a plugin checked, whichever way the hook is called."""
        for caller in self.manager.get_hookcallers(plugin) or []:
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin and not implementation.hookwrapper:
                    checked = guard_wrapper if implementation.wrapper else guard
                    implementation.function = checked(caller.name, origin, implementation.function)  # type: ignore[misc]  # final for others

    def _wrong(self, plugin: object) -> str | None:
        callers = self.manager.get_hookcallers(plugin) or []
        if not callers:
            return (
                "has no hooks: derive it from batchcompute.hooks.Plugin, or mark them with batchcompute.hooks.hookimpl"
            )
        for caller in callers:
            if not caller.has_spec():
                return f"implements {caller.name!r}, which is not a hook{did_you_mean(caller.name, specs.HOOKS)}"
            for implementation in caller.get_hookimpls():
                if implementation.plugin is plugin and inspect.iscoroutinefunction(implementation.function):
                    return f"implements {caller.name!r} as a coroutine; hooks are plain functions"
        return _find_misspelt(plugin) if isinstance(plugin, Plugin) else None

    def in_use(self) -> list[tuple[str, list[str]]]:
        """(name, hooks) of every plugin in use, in the order in which they are asked."""
        found = []
        for name, plugin in reversed(self.manager.list_name_plugin()):
            if plugin is not None:
                found.append((name, sorted(caller.name for caller in self.manager.get_hookcallers(plugin) or [])))
        return found

    def calls_of(self, hook: str) -> list[tuple[str, Callable[[Any], Any]]]:
        """(plugin, function of the context) of every implementation, in the order in which they are asked."""
        found: list[tuple[str, Callable[[Any], Any]]] = []
        for implementation in reversed(getattr(self.manager.hook, hook).get_hookimpls()):
            call = implementation.function
            found.append(
                (implementation.plugin_name, call if implementation.argnames else partial(_ignore_context, call))
            )
        return found


def _ignore_context(call: Any, ctx: object) -> Any:
    return call()


def _find_misspelt(plugin: Plugin) -> str | None:
    """Return what is wrong with a method that looks like a hook but has a name that is almost one's."""
    for name, method in inspect.getmembers_static(type(plugin), inspect.isfunction):
        if (
            name not in specs.HOOKS
            and not name.startswith("_")
            and list(inspect.signature(method).parameters)[1:] == ["ctx"]
        ):
            hint = did_you_mean(name, specs.HOOKS)
            if hint:
                return f"has a method {name}(ctx), which is not a hook{hint}"
    return None


def _names_of(name: str) -> set[str]:
    """Both names that configuration may use: `distribution:name`, and `name` alone."""
    return {name, name.partition(":")[2]}


def _name_of(plugin: object) -> str:
    return getattr(plugin, "__name__", None) or type(plugin).__name__


def _class_of(plugin: object) -> str:
    """Return where the code of a plugin object stands: `module`, or `module.Class`."""
    kind = type(plugin)
    return getattr(plugin, "__name__", None) or f"{kind.__module__}.{kind.__name__}"


def _place_of(point: EntryPoint) -> str:
    found = getattr(point, "dist", None)
    return f"distribution {found.name} {found.version}" if found else "of no distribution"
