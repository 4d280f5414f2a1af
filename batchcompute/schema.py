"""The allowed values of a setting, read from the fields of a frozen dataclass. Plain values, no I/O.

Types: str, int, float, bool, tuple[str, ...], frozenset[str], and any of them `| None`. The metadata of a field may say more:
`min`, `max`, `choices`, and `url` (True). `repr=False` makes it a secret: its value is in no error and no output.
A field with `setting` False in its metadata is not a setting.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import NoneType
from typing import Any

from .messages import did_you_mean, shorten
from .plain_errors import ConfigError

_WORDS = {bool: "true or false", str: "text", int: "a whole number", float: "a number", tuple: "a list of text"}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_URL = r"[A-Za-z][A-Za-z0-9+.-]*://[^/]+/?"


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name, what kind of value it takes, and what it is when nobody sets it."""

    name: str
    kind: type
    optional: bool
    default: Any
    secret: bool
    rules: Mapping[str, Any]

    @property
    def allowed(self) -> str:
        """Describe the allowed values."""
        rules = self.rules
        if "choices" in rules:
            return f"one of {', '.join(rules['choices'])}"
        if rules.get("url"):
            return "a URL such as http://proxy.example:3128"
        words = _WORDS.get(tuple if self.kind is frozenset else self.kind) or f"a {self.kind.__name__}"
        if "min" in rules and "max" in rules:
            return f"{words} from {rules['min']} to {rules['max']}"
        if "min" in rules:
            return f"{words}, at least {rules['min']}"
        return words

    def check(self, label: str, value: Any) -> Any:
        """Return the value, lists made immutable. Raises ConfigError, which calls the setting `label`."""
        if value is None and self.optional:
            return None
        if self.kind in (tuple, frozenset):
            if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
                return value if isinstance(value, self.kind) else self.kind(value)
        elif self._fits(value):
            return float(value) if self.kind is float else value
        raise self._wrong(label, value)

    def parse(self, label: str, text: str) -> Any:
        """Return the value that `text` stands for; a list is separated by commas. Raises ConfigError."""
        text = text.strip()
        value: Any = text
        if self.kind is bool:
            value = _TRUTH.get(text.lower(), text)
        elif self.kind in (int, float):
            with suppress(ValueError):  # check tells what is wrong
                value = self.kind(text)
        elif self.kind in (tuple, frozenset):
            value = [item.strip() for item in text.split(",") if item.strip()]
        return self.check(label, value)

    def _fits(self, value: Any) -> bool:
        rules = self.rules
        if isinstance(value, bool) != (self.kind is bool):
            return False
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            return False
        if "choices" in rules and value not in rules["choices"]:
            return False
        if isinstance(value, str) and rules.get("url") and not re.fullmatch(_URL, value):
            return False
        if self.optional and value == "":
            return False
        # A NaN is neither more nor less than anything, so it does not pass.
        return ("min" not in rules or value >= rules["min"]) and ("max" not in rules or value <= rules["max"])

    def _wrong(self, label: str, value: Any) -> ConfigError:
        if self.secret:
            return ConfigError(f"{label} must be {self.allowed}; what it is ({type(value).__name__}) is not shown")
        hint = did_you_mean(value, self.rules.get("choices", ()))
        return ConfigError(f"{label} must be {self.allowed}, not {shorten(value)}{hint}")


@cache
def keys_of(cls: type) -> Mapping[str, Key]:
    """Return the settings that the fields of a dataclass declare, by name. Raises TypeError for a field that cannot be one."""
    hints = typing.get_type_hints(cls)
    found = {}
    for item in fields(cls):
        if not item.metadata.get("setting", True):
            continue
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        options = set(typing.get_args(hints[item.name])) if _is_union(hints[item.name]) else {hints[item.name]}
        optional = NoneType in options
        options.discard(NoneType)
        kind = options.pop() if len(options) == 1 else None
        if kind in (tuple[str, ...], frozenset[str]):
            kind = typing.get_origin(kind)
        if kind not in (str, int, float, bool, tuple, frozenset) or default is MISSING:
            raise TypeError(f"{cls.__name__}.{item.name} needs a default, and a type that a setting can have")
        found[item.name] = Key(item.name, kind, optional, default, not item.repr, item.metadata)
    return found


def _is_union(hint: Any) -> bool:
    return NoneType in typing.get_args(hint)


class Checked:
    """Base of settings classes: values are checked and lists made immutable, also when made by hand. Raises ConfigError."""

    __slots__ = ()

    def __post_init__(self) -> None:
        cls: type = type(self)
        for item in fields(cls):
            value = getattr(self, item.name)
            if value is not item.default and item.name in keys_of(cls):
                checked = keys_of(cls)[item.name].check(f"{cls.__name__}.{item.name}", value)
                object.__setattr__(self, item.name, checked)
