"""The kinds of properties that only answers have: states, times and lists of objects. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any, ClassVar, cast

from .containers import E, LazyList
from .fields import whole
from .properties import Field, Owner, PropertyTypeError, Source, expected

# Integer states and the old word for success (protocol 1.6).
STATES = ("Init", "Waiting", "Running", "Finished", "Failed", "Stopped")
STATE_NAMES: dict[object, str] = {"Terminated": "Finished", **{name: name for name in STATES}}


class State(Field[str, str]):
    """A state by its documented name, also where the service sends a number or `Terminated` (protocol 1.6)."""

    __slots__ = ()
    kind = Field  # never: a stored state is always translated

    def __init__(self) -> None:
        super().__init__("")

    def read(self, obj: Owner, value: object) -> str:
        if type(value) is int and 0 <= value < len(STATES):
            return STATES[value]
        if type(value) is str:
            return STATE_NAMES.get(value, value)
        return super().read(obj, value)

    def convert(self, value: object, source: Source) -> str:
        if type(value) is int and 0 <= value < len(STATES):
            return STATES[value]
        if isinstance(value, str):
            return STATE_NAMES.get(value, str(value))
        raise expected(f"one of {', '.join(STATES)} or its number", value)


class Time(Field["int | str", "int | str"]):
    """Seconds since 1970, 0 for not yet; a text when the Client was asked for human-readable times."""

    __slots__ = ()
    kind = Field  # never: how a time is shown depends on the answer it came in

    def __init__(self) -> None:
        super().__init__(0)

    def read(self, obj: Owner, value: object) -> int | str:
        time = super().read(obj, value)
        if time and obj._origin is not None and obj._origin.humanize is not None and isinstance(time, int):
            return cast("int | str", obj._origin.humanize(time))
        return time

    def convert(self, value: object, source: Source) -> int | str:
        return str(value) if isinstance(value, str) else whole(value)


class Items(Field["MutableSequence[E]", Sequence[Any]]):
    """A list of objects that are made when they are read."""

    __slots__ = ("cls",)
    kind: ClassVar[type] = LazyList

    def __init__(self, cls: type[E], key: str) -> None:
        super().__init__(cast("MutableSequence[E]", None), key)
        self.cls = cls

    def missing(self, obj: Owner) -> MutableSequence[E]:
        value: LazyList[E] = LazyList(self.cls, [], obj._origin)
        obj._store(self.key, value)
        return value

    def read(self, obj: Owner, value: object) -> MutableSequence[E]:
        if not isinstance(value, list):
            raise obj._undecodable(expected("a list", value).at(self.name))
        built = LazyList(self.cls, value, obj._origin)
        obj._store(self.key, built)
        return built

    def convert(self, value: object, source: Source) -> MutableSequence[E]:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise expected("a list", value)
        built: list[E] = []
        for number, item in enumerate(value):
            try:
                built.append(item if isinstance(item, self.cls) else self.build_item(item, source))
            except PropertyTypeError as error:
                raise error.at(str(number)) from None
        return LazyList(self.cls, built)

    def build_item(self, item: Any, source: Source) -> E:
        """One item from what a user wrote."""
        if isinstance(item, Mapping) and source is not Source.USER:
            return self.cls.from_wire(item)
        return cast(Any, self.cls)(item)  # type: ignore[no-any-return]  # whatever the class makes

    def plain(self, value: Any) -> object:
        return [item.detail() for item in value]
