"""The bases of all values: `Record`, a bag of properties, and `Jsonizable`, which adds JSON (reference section 1.2). No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..messages import did_you_mean, warn_caller
from ..plain_errors import DecodeError, FieldError, Problem, UnknownPropertyWarning
from .properties import AnyField, Field, Origin, PropertyTypeError, Source, is_empty
from .texts import parse_object

R = TypeVar("R", bound="Record")
_set = object.__setattr__  # a Writable looks for properties when an attribute is set


class Record:
    """A bag of declared properties: by attribute and by key, with ==, in, len, iteration, copy, pickle and repr."""

    __slots__ = ("__weakref__", "_origin", "_values")
    _fields: ClassVar[dict[str, AnyField]] = {}
    _names: ClassVar[dict[str, AnyField]] = {}  # the fields by every name they are read under, wire names included
    _old_names: ClassVar[Mapping[str, str]] = {}  # names that old scripts use by mistake
    _identity: ClassVar[str] = ""  # the property that tells one object from another
    # name, wire name, default if it is shown, and the field if what is stored has to be copied: for `detail`
    _plan: ClassVar[tuple[tuple[str, str, Any, AnyField | None], ...]] = ()
    _public: ClassVar[type[Record]]  # the class that users know: this one, but for rows

    _values: dict[str, Any]
    _origin: Origin | None

    def __init_subclass__(cls) -> None:
        fields: dict[str, AnyField] = {}
        for base in reversed(cls.__mro__):
            fields.update({name: item for name, item in vars(base).items() if isinstance(item, Field)})
        cls._fields = fields
        if "_public" not in vars(cls):
            cls._public = cls
        cls._names = {item.key: item for item in fields.values()} | fields
        cls._plan = tuple(
            (name, item.key, item.default if item.shown else None, None if item.is_plain else item)
            for name, item in fields.items()
        )

    @classmethod
    def from_wire(cls: type[R], data: Mapping[str, Any], origin: Origin | None = None) -> R:
        """An object for what a service (or a client, to a service) sent: unknown properties are dropped silently.

        With an `origin` wrong types raise DecodeError, without one TypeError.
        """
        self = cls.wrap({}, origin)
        try:
            _set(self, "_values", self._converted(data, Source.WIRE)[0])
        except PropertyTypeError as error:
            raise self._undecodable(error) from None
        return self

    @classmethod
    def wrap(cls: type[R], values: dict[str, Any], origin: Origin | None) -> R:
        """An object around a parsed answer: nothing is copied, each property is checked when it is read."""
        self = cls.__new__(cls)
        _set(self, "_values", values)
        _set(self, "_origin", origin)
        return self

    def _converted(self, data: Mapping[Any, Any], source: Source) -> tuple[dict[str, Any], list[str]]:
        """Return the values to store for a mapping, and the keys of those to take away. Nothing is changed when one is wrong."""
        values: dict[str, Any] = {}
        empty: list[str] = []
        names = self._names
        for name, value in data.items():
            field = names.get(name)
            if field is not None and type(value) is field.exact and value != "":  # most of them
                values[field.key] = value
                continue
            if field is None:
                if name in self._old_names:
                    field = self._fields[self._canonical(name) if source is Source.USER else self._old_names[name]]
                else:
                    if source is Source.USER:
                        self._drop(name)
                    continue
            if not value if type(value) is dict else field.takes_away(value) and not isinstance(value, Record):
                values.pop(field.key, None)
                empty.append(field.key)
                continue
            try:
                values[field.key] = field.convert(value, source)
            except PropertyTypeError as error:
                raise error.at(field.name) from None
        return values, empty

    def _stored(self, key: str) -> Any:
        """Return a stored value, as it was given or parsed; None for none. Rows keep theirs elsewhere."""
        return self._values.get(key)

    def _store(self, key: str, value: object) -> None:
        """Set a stored value; None takes it away."""
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def _assign(self, field: AnyField, value: object) -> None:
        kind = type(self).__name__.removesuffix("Response")
        raise AttributeError(f"{kind}.{field.name} cannot be set: a {kind} is read-only")

    def _canonical(self, old: str) -> str:
        new = self._old_names[old]
        warn_caller(f"{type(self).__name__}.{old} is called {new}", DeprecationWarning)
        return new

    def _drop(self, name: object) -> None:
        warn_caller(
            f"{type(self).__name__} has no property {name!r}, it was dropped{did_you_mean(name, self._fields)}",
            UnknownPropertyWarning,
        )

    def _undecodable(self, error: PropertyTypeError) -> Exception:
        if self._origin is None:
            return error
        text = f"the service answered a bad {type(self).__name__}: {error}"
        return DecodeError(text, self._origin.request_id, self._origin.status)

    if not TYPE_CHECKING:  # type checkers are to complain about a property that is not declared

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            if name in self._old_names:
                return getattr(self, self._canonical(name))
            raise FieldError(f"{type(self).__name__} has no property {name!r}{did_you_mean(name, self._fields)}")

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields and name not in self._old_names:
            raise FieldError(f"{type(self).__name__} has no property {name!r}{did_you_mean(name, self._fields)}")
        return getattr(self, name)

    def detail(self) -> dict[str, Any]:
        """A new dict of the properties that are not empty, nested ones included (reference section 1.2)."""
        found = {}
        for name, field in self._fields.items():
            if field.shown or self._stored(field.key) is not None:
                value = field.plain(getattr(self, name))
                if not is_empty(value):
                    found[name] = value
        return found

    def keys(self) -> list[str]:
        """Return the names of the properties that are not empty."""
        return list(self.detail())

    def __iter__(self) -> Iterator[str]:
        return iter(self.detail())

    def __len__(self) -> int:
        return len(self.detail())

    def __contains__(self, name: object) -> bool:
        return name in self.detail()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Record) and (isinstance(other, type(self)) or isinstance(self, type(other))):
            return self.detail() == other.detail()
        return NotImplemented

    def __hash__(self) -> int:
        return hash(getattr(self, self._identity))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={_brief(name, value)}" for name, value in self.detail().items())
        return f"{type(self).__name__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        origin = self._origin and Origin(self._origin.request_id, self._origin.status, self._origin.date)
        return _restore, (self._public, self.detail(), origin)


def _restore(cls: type[R], detail: dict[str, Any], origin: Origin | None, dropped: Iterable[Problem] = ()) -> R:
    restored = cls.from_wire(detail, origin)
    if dropped:  # it is a Writable
        restored._keep_dropped(dropped)  # type: ignore[attr-defined]  # Writable has it, which is above
    return restored


def _brief(name: str, value: object) -> str:
    """A value in a repr: short, and without what may be secret (the values of environment variables)."""
    if name == "EnvironmentVariables" and isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: ..." for key in value) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_brief(str(key), item)}" for key, item in value.items()) + "}"
    if isinstance(value, list) and len(value) > 8:
        return f"[... {len(value)} items]"
    return repr(value)


class Jsonizable(Record):
    """A Record that is made from a dict, a JSON text or an object of the same class, and turns into JSON
    (reference section 1.2). Properties that the class does not have are dropped with an UnknownPropertyWarning.
    """

    __slots__ = ()

    def __init__(self, properties: Mapping[str, Any] | str | Jsonizable | None = None) -> None:
        """`properties`: dict, JSON text or an object of this class. Raises TypeError or JsonError."""
        _set(self, "_origin", None)
        if type(properties) is dict:
            _set(self, "_values", self._converted(properties, Source.USER)[0])
            return
        _set(self, "_values", {})
        if properties is not None:
            self._merge(properties)

    def update(self, properties: Mapping[str, Any] | str | Jsonizable) -> None:
        """Set some of the properties; the others keep their values, an empty value takes a property away.

        Raises TypeError or JsonError, and then changes nothing.
        """
        self._merge(properties)

    def load(self, text: str) -> None:
        """Set the properties that the JSON text of an object names; the others keep their values.

        Raises JsonError, or TypeError for a value of the wrong type, and then changes nothing.
        """
        if not isinstance(text, str):
            raise TypeError(f"load takes the JSON text of an object, not {type(text).__name__}")
        self._merge(text)

    def dump(self) -> str:
        """Return the JSON text of `detail()`."""
        return json.dumps(self.detail(), ensure_ascii=False)

    __str__ = dump

    def _merge(self, properties: object) -> None:
        values, empty = self._converted(self._mapping(properties), Source.USER)
        for key in empty:
            self._store(key, None)
        for key, value in values.items():
            self._store(key, value)

    def _mapping(self, given: object) -> Mapping[Any, Any]:
        if type(given) is dict or isinstance(given, Mapping):
            return given
        if isinstance(given, str):
            return parse_object(given)
        if isinstance(given, Jsonizable) and (isinstance(given, type(self)) or isinstance(self, type(given))):
            return given.detail()
        kind = type(self).__name__
        raise PropertyTypeError(f"{kind} is made from a dict, a JSON text or a {kind}, not from {type(given).__name__}")
