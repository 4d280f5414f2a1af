"""Rows: the elements of a large answer as msgspec makes them, in a quarter of the time of json and half the memory. No I/O.

A row is an object of its class, such as Job, whose values stand in fields of its own and not in a dict: the properties of the
class, None for absent ones, and nothing else. It is checked when it is made. So there are rows only of an answer in which all is
right; any other is read as dicts, whose properties are checked when they are read. There are none where msgspec is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal

from .answer_fields import STATE_NAMES, STATES, Items, State, Time
from .fields import ExtensionText, Number, Text
from .jsonizable import Record
from .properties import AnyField

_STATES: dict[object, str] = {None: "", **STATE_NAMES, **dict(enumerate(STATES))}
_WORDS: Any = Literal[tuple(key for key in _STATES if key is not None)]
"""Of another word there is no row."""
LEAST_BYTES = 1 << 18
"""The import of msgspec takes as long as json needs for more than this; a smaller answer does not begin with it."""
_made: dict[type[Record], Any] = {}
_decoders: dict[type[Record], Callable[[bytes | str], dict[str, Any]]] = {}


def read_rows(body: bytes, cls: type[Record], name: str) -> dict[str, Any] | None:
    """Return the objects of a JSON text that has them by name, as rows of `cls`; None if they have to be read as dicts.

    `name` is the wire name of the property that is that name.
    """
    if len(body) < LEAST_BYTES and not _decoders:
        return None
    try:
        decode = _decoders.get(cls) or _decoder(cls)
        rows = decode(body if body.isascii() else body.decode())  # of text that it skips, msgspec looks at no byte
    except (
        ImportError,
        ValueError,
        RecursionError,
    ):  # msgspec's errors are ValueErrors; json says what is wrong, or takes it
        return None
    if None in map(attrgetter(_place(name)), rows.values()):
        for own, row in rows.items():
            if row._stored(name) is None:
                row._store(name, own)
    return rows


def _decoder(cls: type[Record]) -> Callable[[bytes | str], dict[str, Any]]:
    import msgspec

    decode = msgspec.json.Decoder(dict[str, _row(cls)]).decode  # type: ignore[misc]  # a class that is made here
    _decoders[cls] = decode
    return decode


def _row(cls: type[Record]) -> Any:
    """Return the class of rows of `cls`."""
    import msgspec

    if cls not in _made:
        fields = sorted(cls._fields.values(), key=attrgetter("key"))  # as services send those of Job: found at once
        namespace: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "__annotations__": {_place(field.key): _type(field) | None for field in fields},
            "__copy__": None,  # msgspec's own; those of Record are right
            "_public": cls,
            "_origin": None,
            "_stored": lambda self, key: getattr(self, _place(key)),
            "_store": lambda self, key, value: setattr(self, _place(key), value),
            **{_place(field.key): None for field in fields},
            **{field.name: property(_reader(field), field.__set__) for field in fields},
        }
        names = {_place(field.key): field.key for field in fields}
        make: Any = type(msgspec.Struct)
        _made[cls] = make(cls.__name__, (cls, msgspec.Struct), namespace, rename=names)
    return _made[cls]


def _place(key: str) -> str:
    """Return the name of the field for a wire name: that of a property would hide the property."""
    return f"_{key}"


def _type(field: AnyField) -> Any:
    """Return the type of what a service may answer for a property: what `convert` takes, and no more."""
    if isinstance(field, Items):
        return list[_row(field.cls)]  # type: ignore[misc]  # a class that is made here
    return {Text: str, ExtensionText: str, Number: int, Time: int | str, State: _WORDS}[type(field)]


def _reader(field: AnyField) -> Callable[[Any], Any]:
    """Return what reads a property of a row, as `Field.__get__` does that of another object."""
    stored = attrgetter(_place(field.key))

    def read(self: Any) -> Any:
        value = stored(self)
        return field.default if value is None else value

    def read_state(self: Any) -> Any:
        value = self._State  # not stored(self): it is what is read most of long lists
        return _STATES.get(value, value)

    def read_items(self: Any) -> Any:
        value = stored(self)
        if value is None:
            return field.missing(self)
        return value if type(value) is field.kind else field.read(self, value)

    return {State: read_state, Items: read_items}.get(type(field), read)
