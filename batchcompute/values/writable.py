"""The base of the values that you send: `Writable`, a Jsonizable whose properties can be assigned. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..messages import did_you_mean, nearest
from ..plain_errors import FieldError, Problem
from .jsonizable import Jsonizable, Record
from .properties import AnyField, PropertyTypeError, Source, is_empty


class Writable(Jsonizable):
    """A Jsonizable whose properties can be assigned, by attribute and by key (reference section 1.1)."""

    __slots__ = ("_dropped",)
    __hash__ = None  # type: ignore[assignment]  # it can change
    _dropped: dict[str, Problem]  # absent until a name is dropped

    def detail(self) -> dict[str, Any]:
        """A new dict of the properties that are not empty, nested ones included (reference section 1.2)."""
        found = {}
        get = self._values.get
        for name, key, default, field in self._plan:
            value = get(key)
            if value is None:  # a service may answer null
                value = default
            if field is None:
                if value is not None:  # what is stored is never empty
                    found[name] = value
            elif value is not None or field.shown:
                value = field.plain(field.missing(self) if value is None else value)
                if value if type(value) is dict else not is_empty(value):
                    found[name] = value
        return found

    def unknown_names(self) -> list[Problem]:
        """Return a Problem for each name that was given to this object or to one in it, and that its class does not have."""
        found = dict(getattr(self, "_dropped", {}))
        for name, field in self._fields.items():
            value = self._values.get(field.key)
            for key, item in value.items() if isinstance(value, dict) else [("", value)]:
                for one in item.unknown_names() if isinstance(item, Writable) else ():
                    path = ".".join(filter(None, (name, key, one.path)))
                    found[path] = replace(one, path=path)
        return list(found.values())

    def _drop(self, name: object) -> None:
        near = nearest(name, self._fields)
        allowed = "" if near else ", ".join(self._fields)
        problem = Problem(str(name), None, f"{type(self).__name__} has no such property", allowed, hint=near)
        self._keep_dropped([problem])
        super()._drop(name)

    def _keep_dropped(self, problems: Iterable[Problem]) -> None:
        """Remember names that were dropped: a strict Client refuses them."""
        if found := {problem.path: problem for problem in problems}:
            self._dropped = getattr(self, "_dropped", {}) | found

    def _merge(self, properties: object) -> None:
        super()._merge(properties)
        if isinstance(properties, Writable):
            self._keep_dropped(properties.unknown_names())

    def __reduce__(self) -> tuple[Any, ...]:
        restore, arguments = super().__reduce__()
        dropped = self.unknown_names()
        return restore, (*arguments, dropped) if dropped else arguments

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            if name in self._fields:
                self._assign(self._fields[name], value)
            elif name in self._old_names:
                self._assign(self._fields[self._canonical(name)], value)
            elif name.startswith("_"):
                object.__setattr__(self, name, value)
            else:
                self._drop(name)

    def __setitem__(self, name: str, value: object) -> None:
        if isinstance(name, str) and not name.startswith("_"):
            setattr(self, name, value)
        else:
            self._drop(name)

    def __delattr__(self, name: str) -> None:
        field = self._fields.get(name)
        if field is None:
            raise FieldError(f"{type(self).__name__} has no property {name!r}{did_you_mean(name, self._fields)}")
        self._values.pop(field.key, None)

    __delitem__ = __delattr__

    def _assign(self, field: AnyField, value: object) -> None:
        if field.takes_away(value) and not isinstance(value, Record):
            self._values.pop(field.key, None)
            return
        try:
            self._values[field.key] = field.convert(value, Source.USER)
        except PropertyTypeError as error:
            raise error.at(f"{type(self).__name__}.{field.name}") from None
