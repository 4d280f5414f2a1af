"""Declared, typed properties: what a class says about each of its values. No I/O.

A class declares its properties as `Field` objects; type checkers see the plain types. What users wrote is checked when
it is given. What a service answered is kept as parsed and checked when it is read, so that a list of 100,000
instances costs a parse and not 100,000 objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from ..messages import shorten
from .texts import Scalar

G = TypeVar("G")  # what reading a property gives
S = TypeVar("S")  # what may be assigned to it
Humanize = Callable[[int], object]


class PropertyTypeError(TypeError):
    """A value of the wrong type; `path` grows on the way out, so that the message names the exact place."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: list[str] = []

    def at(self, name: str) -> PropertyTypeError:
        """Return the same error, one level further out."""
        self.path.insert(0, name)
        return self

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Origin:
    """Answer that an object came from: its `RequestId`, `StatusCode` and `Date` header, and how its times are shown."""

    request_id: str = ""
    status: int = 0
    date: str = ""
    humanize: Humanize | None = None


class Source(Enum):
    """The origin of a value."""

    USER = auto()
    """Code or a file of the user: texts are read too, and an unknown name is worth a warning."""
    WIRE = auto()
    """The other side of a connection: a name that is not known here is dropped silently, it may be newer."""
    COPY = auto()
    """Another object of the same class: it has been checked."""


class Owner(Protocol):
    """What a Field needs of the object whose property it is; `jsonizable.Record` is one."""

    _values: dict[str, Any]
    _origin: Origin | None

    def _store(self, key: str, value: object) -> None: ...

    def _assign(self, field: AnyField, value: object) -> None: ...

    def _undecodable(self, error: PropertyTypeError) -> Exception: ...


def is_empty(value: object) -> bool:
    """None, "", {} and [] are empty: left out of detail and dump. 0 and False are not (reference section 1.2)."""
    return value is None or (isinstance(value, Sized) and len(value) == 0)


def expected(what: str, value: object) -> PropertyTypeError:
    """Return the error for a value of the wrong type."""
    if isinstance(value, Scalar):
        return PropertyTypeError(f"expected {what}, got {shorten(str(value), 40)}")
    kind = "float" if isinstance(value, float) else type(value).__name__
    return PropertyTypeError(f"expected {what}, got {kind} {shorten(value, 40)}")


class Field(Generic[G, S]):
    """One property: `name` in Python and in `detail()`, `key` on the wire. Subclasses say what is allowed (`convert`)."""

    __slots__ = ("default", "key", "name", "shown")
    kind: ClassVar[type]  # the exact type of a stored value
    exact: ClassVar[type | None] = None  # a value of exactly this type that is not "" is stored as it is
    is_plain: ClassVar[bool] = False  # whether a stored value stands in detail() as it is

    def __init__(self, default: G, key: str = "", *, shown: bool = False) -> None:
        self.default = default
        self.key = key
        self.shown = shown  # whether the default stands in detail() too
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.key = self.key or name

    @overload
    def __get__(self, obj: None, owner: type | None = None) -> Field[G, S]: ...
    @overload
    def __get__(self, obj: Owner, owner: type | None = None) -> G: ...
    def __get__(self, obj: Owner | None, owner: type | None = None) -> Field[G, S] | G:
        if obj is None:
            return self
        value = obj._values.get(self.key)
        if type(value) is self.kind:
            return value  # type: ignore[return-value]  # G is what kind holds
        return self.missing(obj) if value is None else self.read(obj, value)

    def __set__(self, obj: Owner, value: S | None) -> None:
        obj._assign(self, value)

    def convert(self, value: object, source: Source) -> G:
        """Return the stored form of a value that is not empty; raise PropertyTypeError if it cannot be one."""
        raise NotImplementedError

    def takes_away(self, value: object) -> bool:
        """Check if a value takes the property away, or back to its default."""
        return is_empty(value) or (isinstance(value, Scalar) and value.is_null)

    def missing(self, obj: Owner) -> G:
        """Return what reading gives when nothing is stored."""
        return self.default

    def read(self, obj: Owner, value: object) -> G:
        """Return what reading gives for a value as a service answered it: this is where it is checked."""
        try:
            return self.convert(value, Source.WIRE)
        except PropertyTypeError as error:
            raise obj._undecodable(error.at(self.name)) from None

    def plain(self, value: Any) -> object:
        """Return the value as it stands in `detail()`: built-in types only, shared with nobody."""
        return value


AnyField = Field[Any, Any]
