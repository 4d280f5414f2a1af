"""The containers among the values: dicts that check what is put into them, and lists that make their items late. No I/O."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence
from typing import Any, ClassVar, Generic, SupportsIndex, TypeVar, overload

from ..plain_errors import DecodeError
from .jsonizable import Record
from .properties import Origin, PropertyTypeError, Source, expected
from .texts import Scalar

V = TypeVar("V")
E = TypeVar("E", bound=Record)
D = TypeVar("D", bound="CheckedDict[Any]")


class CheckedDict(dict[str, V]):
    """A dict that checks and converts what is put into it. An item of exactly the type `exact` is stored as it is."""

    __slots__ = ()
    exact: ClassVar[type | None] = None

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        if items:
            self.update(items)

    @classmethod
    def checked(cls, key: object, value: object, source: Source) -> V:
        """Return the stored form of an item; raise PropertyTypeError if it cannot be one."""
        raise NotImplementedError

    def detail(self) -> dict[str, Any]:
        """A new dict of built-in types only, shared with nobody."""
        return dict(self)

    @classmethod
    def read(cls: type[D], value: object, source: Source) -> D:
        """A new dict from a mapping."""
        if type(value) is not dict and not isinstance(value, Mapping):
            raise PropertyTypeError(f"expected a dict, got {type(value).__name__}")  # may hold secrets
        built = cls.__new__(cls)
        for key, item in value.items():
            if type(key) is str and key and type(item) is cls.exact:
                dict.__setitem__(built, key, item)
            else:
                built.put(key, item, source)
        return built

    def put(self, key: object, value: object, source: Source) -> None:
        """Set one item."""
        if not isinstance(key, str) or not key:
            raise PropertyTypeError(f"a name must be a str that is not empty, got {key!r}")
        try:
            item = self.checked(key, value, source)
        except PropertyTypeError as error:
            raise error.at(key) from None
        super().__setitem__(str(key), item)

    def __setitem__(self, key: str, value: object) -> None:
        self.put(key, value, Source.USER)

    def update(self, *others: Any, **named: Any) -> None:
        """As dict.update."""
        for key, value in dict(*others, **named).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> V:
        """As dict.setdefault."""
        if key not in self:
            self[key] = default
        return self[key]

    def __ior__(self: D, other: Any) -> D:  # type: ignore[override,misc]  # dict's own takes fewer kinds
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)


class StringDict(CheckedDict[str]):
    """Names to str. Numbers and flags become text as str() shows them (protocol 2.8), those of a JSON text or of a file as they
    are written; the values may be empty.

    A value never appears in an error: it may be a secret.
    """

    __slots__ = ()
    exact = str

    @classmethod
    def checked(cls, key: object, value: object, source: Source) -> str:
        if isinstance(value, (str, int, float)) and not (isinstance(value, Scalar) and value.is_null):
            return str(value)
        if isinstance(value, Scalar):
            raise PropertyTypeError("expected a str, got a null; put quotes around it if it is text")
        raise PropertyTypeError(f"expected a str, got a {type(value).__name__}")


class NamesDict(CheckedDict[list[str]]):
    """Names to lists of names."""

    __slots__ = ()

    @classmethod
    def checked(cls, key: object, value: object, source: Source) -> list[str]:
        if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, str) for item in value):
            return [str(item) for item in (value if isinstance(value, (list, tuple)) else sorted(value))]
        raise expected("a list of task names", value)

    def detail(self) -> dict[str, Any]:
        return {name: list(names) for name, names in self.items()}


class LazyList(MutableSequence[E], Generic[E]):
    """A list whose items are made from parsed answers when they are read; a bad one raises DecodeError then."""

    __slots__ = ("_cls", "_is_made", "_item_origin", "_items")

    def __init__(self, cls: type[E], items: list[Any], origin: Origin | None = None) -> None:
        self._cls = cls
        self._items = items
        self._item_origin = origin
        self._is_made = len(items) > 0 and type(items[0]) is not cls and isinstance(items[0], cls)  # rows: all are

    def _build(self, item: object) -> E:
        if type(item) is dict:
            return self._cls.wrap(item, self._item_origin)
        if isinstance(item, self._cls):
            return item
        text = f"the service answered a bad {self._cls.__name__}: not an object but {type(item).__name__}"
        origin = self._item_origin
        raise DecodeError(text, origin.request_id, origin.status) if origin else DecodeError(text)

    @overload
    def __getitem__(self, index: SupportsIndex) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> E | list[E]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self._items)))]
        item = self._items[index]
        if type(item) is not self._cls:
            item = self._items[index] = self._build(item)
        return item

    def __iter__(self) -> Iterator[E]:
        return iter(self._items) if self._is_made else self._iterate()

    def _iterate(self) -> Iterator[E]:
        items, cls = self._items, self._cls
        for position, item in enumerate(items):
            if type(item) is not cls:
                item = items[position] = self._build(item)
            yield item

    def __len__(self) -> int:
        return len(self._items)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._is_made = False
        self._items[index] = value

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        del self._items[operator.index(index) if not isinstance(index, slice) else index]

    def insert(self, index: int, value: E) -> None:
        """As list.insert."""
        self._is_made = False
        self._items.insert(index, value)

    def sort(self, *, key: Callable[[E], Any], reverse: bool = False) -> None:
        """As list.sort; the key is needed, the items have no order of their own."""
        self._items = sorted(self, key=key, reverse=reverse)

    def __contains__(self, item: object) -> bool:
        """An item, or what identifies one: `job_id in client.list_jobs()`."""
        identity = self._cls._identity
        if not isinstance(item, (str, int, self._cls)) and identity:
            item = getattr(item, identity, item)  # what create_job answered stands for its job
        if isinstance(item, (str, int)) and identity:
            return any(getattr(other, identity) == item for other in self)
        return any(other == item for other in self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (list, LazyList)):
            return list(self) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as for every mutable container

    def copy(self) -> list[E]:
        """A plain list of the items."""
        return list(self)

    def __radd__(self, other: Iterable[E]) -> list[E]:
        return [*other, *self]

    def __add__(self, other: Iterable[E]) -> list[E]:
        return [*self, *other]

    def __reduce__(self) -> tuple[Any, ...]:
        return LazyList, (self._cls, list(self), None)

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:8]))
        return f"[{shown}, ... {len(self)} items]" if len(self) > 8 else f"[{shown}]"
