"""The kinds of properties: text, numbers, flags, nested objects, checked dicts, states, times and lists. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from .containers import D
from .properties import Field, Owner, PropertyTypeError, Source, expected, is_empty
from .texts import Scalar
from .writable import Writable

W = TypeVar("W", bound=Writable)


class Text(Field[str, str]):
    """A str; '' when unset."""

    __slots__ = ()
    kind = str
    exact = str
    is_plain = True

    def __init__(self, default: str = "", key: str = "") -> None:
        super().__init__(default, key, shown=bool(default))

    def takes_away(self, value: object) -> bool:
        return is_empty(value)  # not a null of YAML: it could be meant as a text

    def convert(self, value: object, source: Source) -> str:
        if isinstance(value, Scalar) and value.is_null:
            raise expected("a text, in quotes if this is one", value)
        if isinstance(value, str):
            return str(value)
        raise expected("a str", value)


def whole(value: object) -> int:
    """`value` if it is an integer; True and 4.0 are not."""
    found = _typed(value)
    if isinstance(found, int) and not isinstance(found, bool):
        return int(found)
    raise expected("an int in decimal digits" if isinstance(value, Scalar) else "an int", value)


def either(value: object) -> bool:
    """`value` if it is True or False; 1 and "true" are not."""
    found = _typed(value)
    if isinstance(found, bool):
        return found
    raise expected("a bool", value)


def _typed(value: object) -> object:
    return value.typed if isinstance(value, Scalar) else value


class Number(Field[int, int]):
    """An int of something that was answered; 0 when unset."""

    __slots__ = ()
    kind = int
    exact = int
    is_plain = True

    def __init__(self, default: int = 0, key: str = "") -> None:
        super().__init__(default, key, shown=bool(default))

    def convert(self, value: object, source: Source) -> int:
        return whole(value)


class Count(Number):
    """A Number that may be written as text too: 4 and "4" (reference section 2.1 says str, the service wants a number)."""

    __slots__ = ()

    def __set__(self, obj: Owner, value: int | str | None) -> None:
        obj._assign(self, value)

    def convert(self, value: object, source: Source) -> int:
        if isinstance(value, str) and not isinstance(value, Scalar):
            text = value.strip()
            if text.isascii() and text.isdigit() and len(text) < 20:
                return int(text)
            raise PropertyTypeError(f"expected an int or its digits, got {value[:40]!r}")
        return whole(value)


class ExtensionNumber(Number):
    """A Number that is an extension. Its default is the same as no value: it is never sent, since not every service knows it."""

    __slots__ = ()
    is_plain = False

    def plain(self, value: int) -> object:
        return None if value == self.default else value


class ExtensionText(Text):
    """A str that is an extension, '' when unset; then it is not shown either."""

    __slots__ = ()

    def plain(self, value: str) -> object:
        return value or None


class ExtensionSeconds(Field[float | None, float]):
    """A number of seconds, an int or a float, that is an extension; None when unset."""

    __slots__ = ()
    kind = float

    def __init__(self) -> None:
        super().__init__(None)

    def convert(self, value: object, source: Source) -> float | None:
        found = _typed(value)
        if isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found):
            return found if isinstance(found, int) else float(found)
        raise expected("a number", value)


class OptionalNumber(Field[int | None, int]):
    """An int that a description may leave out; None when unset."""

    __slots__ = ()
    kind = int
    exact = int
    is_plain = True

    def __init__(self) -> None:
        super().__init__(None)

    def convert(self, value: object, source: Source) -> int | None:
        return whole(value)


class Flag(Field[bool | None, bool]):
    """A bool that a description may leave out; None when unset."""

    __slots__ = ()
    kind = bool
    exact = bool
    is_plain = True

    def __init__(self) -> None:
        super().__init__(None)

    def convert(self, value: object, source: Source) -> bool | None:
        return either(value)


class ExtensionFlag(Field[bool, bool]):
    """A bool that is an extension. Its default is the same as no value: it is never sent, since not every service knows it."""

    __slots__ = ()
    kind = bool
    exact = bool

    def convert(self, value: object, source: Source) -> bool:
        return either(value)

    def plain(self, value: bool) -> object:
        return None if value == self.default else value


class Nested(Field[W, "W | Mapping[str, Any] | str"]):
    """An object of another writable class. Assigning such an object keeps that very object, as Python does; dicts are copied."""

    __slots__ = ("cls",)
    kind = object

    def __init__(self, cls: type[W]) -> None:
        super().__init__(cast(W, None), shown=True)
        self.cls = cls

    def missing(self, obj: Owner) -> W:
        value = obj._values[self.key] = self.cls()
        return value

    def convert(self, value: object, source: Source) -> W:
        if isinstance(value, self.cls):
            return value
        return build(self.cls, value, source)

    def plain(self, value: Any) -> object:
        return value.detail()


def build(cls: type[W], value: object, source: Source) -> W:
    """A new object of `cls` from whatever it can be made from."""
    if type(value) is dict and source is Source.USER:
        return cls(value)
    if isinstance(value, Scalar):  # cls would read it as a JSON text
        if value and not value.is_null:
            raise expected("a dict", value)
        value = None
    if source is Source.USER:
        return cls(cast(Any, value))
    if isinstance(value, Mapping):
        return cls.from_wire(value)
    raise PropertyTypeError(f"expected an object, got {type(value).__name__}")  # on the wire nothing else will do


class DictOf(Field[D, Mapping[str, Any]]):
    """A checked dict; the empty one, ready to be filled, when unset. What is assigned is copied."""

    __slots__ = ("cls",)
    kind = object

    def __init__(self, cls: type[D], key: str = "") -> None:
        super().__init__(cast(D, None), key)
        self.cls = cls

    def missing(self, obj: Owner) -> D:
        value = obj._values[self.key] = self.cls()
        return value

    def read(self, obj: Owner, value: object) -> D:
        return cast(D, value)  # writable objects hold converted values only

    def convert(self, value: object, source: Source) -> D:
        return self.cls.read(value, source)

    def plain(self, value: D) -> object:
        return value.detail()
