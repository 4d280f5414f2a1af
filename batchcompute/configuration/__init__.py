"""Reads the settings around a Client, and remembers where each comes from.

Later ones win: defaults < HTTP(S)_PROXY and NO_PROXY < the user's config.toml < its profile < the project's batchcompute.toml
< BATCHCOMPUTE_* variables < arguments of the Client. Files are read anew for each Client; a Config made by hand reads nothing.

Reading has two steps, because the settings say which plugins are used, and plugins declare settings:
`load` reads the SDK's own, `Ambient.complete` those of the plugins.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ..builtins import BUILTINS
from ..builtins.tracing import decisions
from ..config import SECTIONS, Config
from ..errors import ConfigError, ConfigWarning
from ..hooks.loading import CHOSEN
from ..hooks.manager import Hooks
from ..messages import did_you_mean, nearest, warn_caller
from ..schema import Key, keys_of
from . import environment, files
from .entries import DEFAULT, Entry, Setting
from .sections import build, types_of, with_sections

__all__ = ["Ambient", "Setting", "hooks_for", "load"]

_CORE: Mapping[str, type] = {"": Config, **SECTIONS}
_ACCESS_KEY = ("access_key_id", "access_key_secret", "security_token")
_warned: set[str] = set()
_log = logging.getLogger("batchcompute.plugins")


def hooks_for(config: Config | None, plugins: Iterable[object] = (), strict: bool | None = None) -> Hooks:
    """Return the plugins of a Client, whose `config` is complete: `config`, or when that is None what `load` finds.

    strict: wins over the setting `strict`. Raises ConfigError and PluginError.
    """
    if config is None:
        return load().hooks(plugins, strict)
    hooks = Hooks(config, BUILTINS, plugins, decisions(config))
    hooks.configure(with_sections(config, types_of(hooks.settings()), lenient=bool(hooks.skipped)))
    return hooks


def load(folder: str | None = None) -> Ambient:
    """Read files and environment. Raises ConfigError, which names the line or variable.

    folder: where the project's file is; None for the working directory.
    """
    environ = dict(os.environ)
    user = files.read(files.user_file())
    folder = files.working_directory() if folder is None else folder
    project, trusted = files.read_project(user, folder)
    variables, unknown = environment.read(environ)
    layers: list[Sequence[Entry]] = [user.entries() if user else (), project.entries() if project else (), variables]
    chosen = [entry for layer in layers for entry in layer if entry.name == "profile"]
    profile = chosen[-1].value(keys_of(Config)["profile"]) if chosen else DEFAULT
    profiled = [file for file in (user, project if trusted else None) if file is not None]
    if chosen and profile != DEFAULT:
        known = [name for file in profiled for name in file.profiles]
        if profile not in known:
            raise chosen[-1].error(
                f"there is no profile {profile!r} in {files.user_file()}{did_you_mean(profile, known)}; "
                f"profiles: {', '.join(known) or 'none'}"
            )
    if project is not None and trusted:
        layers.insert(2, project.profile(profile))
    if user is not None:
        layers.insert(1, user.profile(profile))
    return Ambient([list(environment.proxies(environ)), *layers], unknown, user, folder)


def _load_config(folder: str) -> Config:
    return load(folder).config


class Ambient:
    """What was found around a Client. `config` has the SDK's own settings, and after `complete` those of plugins too."""

    def __init__(
        self,
        layers: Iterable[Sequence[Entry]],
        unknown: Sequence[Entry] = (),
        user: files.File | None = None,
        folder: str = "",
    ) -> None:
        self._found: dict[str, Setting] = {}
        self._theirs: list[Entry] = []
        self._unknown = unknown
        self._user = user
        self._folder = folder
        self._types: Mapping[str, type] = {}
        self.unused: list[str] = []
        """Notes on what is set for plugins that are left out on purpose."""
        for layer in layers:
            if any(entry.name == "access_key_id" for entry in layer):
                for name in _ACCESS_KEY:  # never a key from here with a secret or token from there
                    self._found.pop(name, None)
            for entry in layer:
                if entry.section in _CORE:
                    self._set(entry, _CORE[entry.section])
                else:
                    self._theirs.append(entry)
        self.config = self._config({})

    def hooks(self, plugins: Iterable[object] = (), strict: bool | None = None) -> Hooks:
        """Return the plugins that these settings ask for, with the settings that they declare.

        Raises ConfigError, PluginError.
        """
        hooks = Hooks(self.config, BUILTINS, plugins, decisions(self.config))
        hooks.configure(self.complete(types_of(hooks.settings()), hooks.skipped, strict))
        return hooks

    def complete(self, types: Mapping[str, type], skipped: Mapping[str, str], strict: bool | None = None) -> Config:
        """Return the Config with the sections that plugins declared, by name. Raises ConfigError for what nobody declared.

        skipped: plugins that were left out, and why. What nobody declared may be theirs: then it is no error.
        strict: a variable that is no setting is an error too; None leaves it to the setting `strict`.
        """
        self._types = types
        known_variables = environment.variables(types)
        for entry in self._theirs:
            if entry.section in types:
                self._set(entry, types[entry.section])
        for section, entry in {entry.section: entry for entry in reversed(self._theirs)}.items():
            if section not in types:
                self._leave_section(section, entry, [*SECTIONS, *types], skipped)
        unused = []
        names = {*environment.variables(_CORE), *known_variables, environment.PLUGINS}
        for entry in self._unknown:
            if entry.key in known_variables:
                section, key = known_variables[entry.key]
                self._set(Entry(section, key, entry.raw, entry.source, from_text=True), types[section])
                continue
            # without what they all have in common, or every variable would look like another
            near = nearest(
                entry.key.removeprefix(environment.PREFIX), {n.removeprefix(environment.PREFIX) for n in names}
            )
            if near or not _only_by_choice(skipped):
                hint = f"; did you mean {environment.PREFIX + near!r}?" if near else ""
                problem = f"the variable {entry.key} is no setting of batchcompute{hint}"
                if not skipped and (self.config.strict if strict is None else strict):
                    raise ConfigError(problem)
                _warn_once(problem)
            else:
                unused.append(entry.key)
        if unused:
            self._note(f"not used: {', '.join(unused)}; {_left_out(skipped)}")
        self._warn_of_readers()
        self.config = self._config({name: build(name, kind, self._values(name)) for name, kind in types.items()})
        return self.config

    def _leave_section(self, section: str, entry: Entry, known: Sequence[str], skipped: Mapping[str, str]) -> None:
        """A section that nobody declared: an error, or a warning if a plugin is broken, or a note if the user left one out."""
        hint = did_you_mean(section, known)
        problem = f"there is no section [{section}]{hint}; sections: {', '.join(known)}"
        if not skipped:
            raise entry.error(f"{problem}; plugins can declare more")
        if hint or not _only_by_choice(skipped):
            _warn_once(f"{entry.source}: {problem}; a plugin that was left out may know it: {', '.join(skipped)}")
        else:
            self._note(f"{entry.source}: the section [{section}] is not used; {_left_out(skipped)}")

    def _note(self, text: str) -> None:
        self.unused.append(text)
        _log.info("%s", text)

    def settings(self) -> list[Setting]:
        """Every setting in use with its source, in the order of the documentation."""
        return [
            self._found.get(name) or Setting(name, key.default, DEFAULT, key.secret)
            for section, kind in {**_CORE, **self._types}.items()
            for key in keys_of(kind).values()
            for name in (_dotted(section, key.name),)
        ]

    def _set(self, entry: Entry, kind: type) -> None:
        if entry.key == environment.PLUGINS:
            self._choose_plugins(entry)
            return
        keys = keys_of(kind)
        if entry.key in keys:
            key: Key = keys[entry.key]
            self._found[entry.name] = Setting(entry.name, entry.value(key), entry.source, key.secret)
        elif entry.key:  # '' stands for an empty table
            raise entry.error(
                f"there is no setting {entry.name!r}{did_you_mean(entry.key, keys)}; "
                f"settings of {entry.section}: {', '.join(keys)}"
            )

    def _choose_plugins(self, entry: Entry) -> None:
        """BATCHCOMPUTE_PLUGINS: `-name` blocks a plugin, `name` enables one, also one that was blocked."""
        settings = ("plugins.block", "plugins.enable")
        before = [self._found.get(name) for name in settings]
        blocked, enabled = (set(setting.value if setting else ()) for setting in before)
        for name in filter(None, (item.strip() for item in entry.raw.split(","))):
            if name.startswith("-"):
                blocked.add(name[1:].strip())
            else:
                blocked.discard(name)
                enabled.add(name)
        for name, old, new in zip(settings, before, (blocked, enabled), strict=True):
            if new != (old.value if old else set()):
                self._found[name] = Setting(name, frozenset(new), entry.source)

    def _values(self, section: str) -> dict[str, object]:
        kind = {**_CORE, **self._types}[section]
        names = {key: _dotted(section, key) for key in keys_of(kind)}
        return {key: self._found[name].value for key, name in names.items() if name in self._found}

    def _config(self, sections: Mapping[str, object]) -> Config:
        parts: dict[str, object] = {name: build(name, kind, self._values(name)) for name, kind in SECTIONS.items()}
        reread = partial(_load_config, self._folder)
        values = {**self._values(""), **parts, "sections": sections, "ambient": True, "reread": reread}
        return build("", Config, values)

    def _warn_of_readers(self) -> None:
        user = self._user
        if user is None or os.name != "posix" or not user.mode & 0o077:
            return
        if any(setting.secret and setting.source.startswith(f"{user.path}, ") for setting in self._found.values()):
            warn_caller(f"{user.path} holds secrets and others can read it: chmod 600 {user.path}", ConfigWarning)


def _only_by_choice(skipped: Mapping[str, str]) -> bool:
    """Return whether plugins were left out, and all of them because the configuration says so."""
    return bool(skipped) and all(why in CHOSEN for why in skipped.values())


def _left_out(skipped: Mapping[str, str]) -> str:
    return "; ".join(f"plugin {name} is {why}" for name, why in skipped.items())


def _dotted(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warn_caller(message, ConfigWarning)
