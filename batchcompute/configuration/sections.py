"""The sections that plugins declare with the hook register_settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import TypeVar

from ..config import SECTIONS, Config, Section
from ..errors import ConfigError, PluginError
from ..messages import did_you_mean
from ..schema import keys_of
from .environment import PLUGINS, RESERVED, variables

T = TypeVar("T")
_NAME = r"[a-z][a-z0-9_]*"


def types_of(declared: Iterable[tuple[str, Section]]) -> dict[str, type]:
    """Return the type of every section, by its name. Raises PluginError for a declaration that cannot be used.

    declared: each with the plugin that declares it, in words.
    """
    types: dict[str, type] = {}
    taken = {PLUGINS, *RESERVED, *variables({"": Config, **SECTIONS})}
    for plugin, section in declared:
        name, kind = section.name, section.type
        reserved = {*SECTIONS, *types, *keys_of(Config), "profiles", "trusted_projects"}
        if not re.fullmatch(_NAME, name) or name in reserved:
            raise PluginError(
                f"{plugin}: register_settings: {name!r} is taken, or no name of lower-case letters, digits and '_'"
            )
        if not (isinstance(kind, type) and is_dataclass(kind) and kind.__dataclass_params__.frozen):  # type: ignore[attr-defined]  # typeshed does not know it
            raise PluginError(f"{plugin}: register_settings: the type of section {name!r} must be a frozen dataclass")
        try:
            clash = taken & set(variables({name: kind}))
        except (TypeError, NameError) as error:
            raise PluginError(f"{plugin}: register_settings: section {name!r}: {error}") from None
        if clash:
            raise PluginError(f"{plugin}: register_settings: section {name!r}: the variable {min(clash)} is taken")
        types[name] = kind
        taken |= set(variables({name: kind}))
    return types


def build(name: str, kind: type[T], values: Mapping[str, object]) -> T:
    """Return the instance of a section's type. Raises ConfigError, also for what the type itself refuses."""
    try:
        return kind(**values)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[{name}]: {error}") from None


def with_sections(config: Config, types: Mapping[str, type], lenient: bool) -> Config:
    """A Config made by hand, its sections made instances of their types. Raises ConfigError.

    lenient: plugins were left out, so a section that nobody declared may be theirs.
    """
    sections: dict[str, object] = {}
    for name, given in config.sections.items():
        if name not in types and not lenient:
            raise ConfigError(
                f"Config.sections: no plugin declares {name!r}{did_you_mean(name, types)}; declared: {', '.join(types) or 'none'}"
            )
        if name not in types or isinstance(given, types[name]):
            sections[name] = given
            continue
        kind = types[name]
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"Config.sections: {name!r} must be a {kind.__name__} or a dict, not {type(given).__name__}"
            )
        keys = keys_of(kind)
        for key in given:
            if key not in keys:
                raise ConfigError(
                    f"Config.sections: there is no setting '{name}.{key}'{did_you_mean(key, keys)}; settings: {', '.join(keys)}"
                )
        sections[name] = build(
            name, kind, {key: keys[key].check(f"{name}.{key}", value) for key, value in given.items()}
        )
    for name, kind in types.items():
        if name not in sections:
            sections[name] = build(name, kind, {})
    return replace(config, sections=sections) if sections else config
