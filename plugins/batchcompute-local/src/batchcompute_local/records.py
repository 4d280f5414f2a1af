"""Records: what the daemon and the runner tell each other, and what the runner writes into its journal.

Each is a frozen dataclass, and a JSON object on the wire: its fields by their names, and its kind under `op` (what the
daemon asks) or `event` (what the runner reports). `encode` writes them; `read_...` read one, and check all of it.

A new field is declared with `_later(default)`: records of earlier versions do not have it. Fields that are not known
are ignored, so a later version may send more. Standard library only: the runner needs this module.

No slots: `vars` of a plain instance is what costs least to write, and tens of thousands of records a second are written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")

VERSION = 2
"""Of these records. A greeting without a version is of version 1, that of 3.0: see `process/old_records.py`."""

PATIENCE_SECONDS = 0.25
"""How long an order waits for a slot before it is given back, unless it says another time."""
_MOST_NAMED = 10
_LATER = {"later": True}


def _later(default: T) -> T:
    made: T = field(default=default, metadata=_LATER)
    return made


# -- what an executor reports; executors/base.py shows these to executors of all kinds


@dataclass(frozen=True)
class Started:
    """The program of an attempt runs since `time` (epoch seconds) on `host`."""

    attempt: str
    time: float
    host: str


@dataclass(frozen=True)
class Leftover:
    """A process that still ran some time after its program had ended, and got `signal` (SIGTERM, SIGKILL) for that."""

    pid: int
    command: str
    signal: str


@dataclass(frozen=True)
class Exited:
    """An attempt is over and nothing of it runs any more. Times are epoch seconds, 0 if the program never began.

    `code` is the exit code, `signal` the signal that ended it; neither is set if it never began. `reason` says in
    words why it failed where the code alone does not. `leftovers` are the processes that had to be ended after the program.
    """

    attempt: str
    code: int | None = None
    signal: int | None = None
    reason: str = ""
    timed_out: bool = False
    started: float = 0.0
    ended: float = 0.0
    host: str = ""
    leftovers: tuple[Leftover, ...] = _later(())


def describe_leftovers(record: Exited) -> str:
    """Name the processes that had to be ended after the program."""
    named = [f"{one.command} (pid {one.pid}, {one.signal})" for one in record.leftovers]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"processes still ran after the program had ended, and were ended: {', '.join(named[:_MOST_NAMED])}{more}"


@dataclass(frozen=True)
class Lost:
    """An attempt is over and nothing of it runs any more, but nobody knows how it ended: run the instance again."""

    attempt: str


@dataclass(frozen=True)
class Returned:
    """An attempt was given back before it began, since its place was not free in time: run the instance again."""

    attempt: str


# -- what the runner adds


@dataclass(frozen=True)
class StartRecord(Started):
    """A start with what identifies the process: its pid, the id of the boot, and two times between which it was born.

    The times are those of `procs.ticks`. `group` is the folder of its cgroup, empty if it has none.
    """

    pid: int
    boot: str
    born: tuple[int, int] = _later((0, 0))
    group: str = _later("")


@dataclass(frozen=True)
class ExitRecord(Exited):
    """An exit with the working folder of the attempt. `lease_ended`: the runner ended it, since it had no word of the service."""

    cwd: str = ""
    lease_ended: bool = _later(False)


@dataclass(frozen=True)
class Refused:
    """An attempt did not begin, since the disk or the machine is full: run the instance again after a while."""

    attempt: str


@dataclass(frozen=True)
class Pong:
    """The answer to a Ping."""


RunnerEvent = StartRecord | ExitRecord | Lost | Returned | Refused
JournalRecord = StartRecord | ExitRecord


@dataclass(frozen=True)
class Greeting:
    """The first line that the runner sends: the attempts that live, and the ends that were not acknowledged.

    `containment` says in words what keeps the processes of an attempt together. `pings` says that it answers a
    Ping.
    """

    live: tuple[str, ...]
    ended: tuple[ExitRecord, ...]
    version: int = _later(1)
    containment: str = _later("")
    pings: bool = _later(False)


# -- what the daemon asks


@dataclass(frozen=True)
class Warm:
    """What a warm interpreter has: `modules`, and the `variables` of the program's environment by these names."""

    modules: tuple[str, ...]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """A program to be started. `argv[0]` is an absolute path; `timeout` and the others are seconds.

    With `warm`, `argv` is a Python, the path of a script and its arguments, and an interpreter that has begun may run it.
    """

    attempt: str
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str] = field(repr=False)
    stdout: str
    stderr: str
    timeout: float
    grace_seconds: float
    leftover_seconds: float = _later(5.0)
    warm: Warm | None = field(default=None, metadata=_LATER)


@dataclass(frozen=True)
class Start:
    """Begin these in order, no more than `slots` programs being there at once; give back what waits for `patience` seconds."""

    orders: tuple[Order, ...]
    slots: int
    patience: float = _later(PATIENCE_SECONDS)


@dataclass(frozen=True)
class Stop:
    """End these politely; those that have not begun never begin."""

    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Acknowledge:
    """The ends of these are on the service's disk."""

    attempts: tuple[str, ...]


@dataclass(frozen=True)
class Introduce:
    """What starts this daemon again if the connection breaks without `End`. `argv[0]` is an absolute path."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Renew:
    """Programs may run until `until`, in seconds of the boot clock. Then a runner that has heard so ends them, and itself."""

    until: float


@dataclass(frozen=True)
class End:
    """The daemon leaves: end, unless something runs or an end is not acknowledged."""


@dataclass(frozen=True)
class Ping:
    """Say that you are there. A runner whose greeting does not say that it knows this is not asked."""


Request = Start | Stop | Acknowledge | Introduce | Renew | End | Ping


# -- on the wire

_EVENTS: dict[str, type[RunnerEvent | Pong]] = {
    "started": StartRecord,
    "exited": ExitRecord,
    "lost": Lost,
    "returned": Returned,
    "refused": Refused,
    "pong": Pong,
}
_REQUESTS: dict[str, type[Request]] = {
    "start": Start,
    "stop": Stop,
    "acknowledge": Acknowledge,
    "introduce": Introduce,
    "renew": Renew,
    "end": End,
    "ping": Ping,
}
_TAGS: dict[type, dict[str, Any]] = {
    **{kind: {"event": word} for word, kind in _EVENTS.items()},
    **{kind: {"op": word} for word, kind in _REQUESTS.items()},
    Greeting: {},
    Order: {},
    Warm: {},
    Leftover: {},
}


def fields_of(record: Any) -> dict[str, Any]:
    """The record as it is on the wire, its kind included."""
    return {**_TAGS[type(record)], **vars(record)}


_encoder = json.JSONEncoder(separators=(",", ":"), default=fields_of)


def encode(records: Any) -> bytes:
    """One line of JSON: a record, or a list of them."""
    return _encoder.encode(records).encode() + b"\n"


def read_event(values: object) -> RunnerEvent | Pong:
    """Read a report of the runner. Raises ValueError that names the field if the record is not whole, or of no known kind."""
    return _read(_find_kind(_EVENTS, "event", values), values)


def read_request(values: object) -> Request:
    """Read a request of the daemon. Raises ValueError that names the field if the record is not whole, or of no known kind."""
    return _read(_find_kind(_REQUESTS, "op", values), values)


def read_greeting(values: object) -> Greeting:
    """The first line of a runner. Raises ValueError that names the field if it is not whole."""
    return _read(Greeting, values)


def _find_kind(kinds: Mapping[str, type[T]], tag: str, values: object) -> type[T]:
    word = values.get(tag) if isinstance(values, dict) else None
    found = kinds.get(word) if isinstance(word, str) else None
    if found is None:
        raise ValueError(f"a record's {tag!r} must be one of {', '.join(kinds)}, not {_show(word)}")
    return found


def _read(kind: type[T], values: object) -> T:
    """Make a record of that kind. Raises ValueError."""
    if not isinstance(values, dict):
        raise ValueError(f"a record must be an object, not {_show(values)}")
    found = {}
    for name, types, convert, required in _FIELDS[kind]:
        value = values.get(name, MISSING)
        if type(value) in types:
            try:
                found[name] = value if convert is None else convert(value)
                continue
            except TypeError:
                pass
        elif value is MISSING:
            if required:
                raise ValueError(f"{kind.__name__} has no field {name!r}")
            continue
        raise ValueError(f"{kind.__name__}: the field {name!r} cannot be {_show(value)}")
    return kind(**found)


def _show(value: object) -> str:
    # the type of what may be long, or hold a secret of the user's environment
    return repr(value) if isinstance(value, int | float | None) else f"a value of type {type(value).__name__}"


def _read_texts(values: Sequence[object]) -> tuple[str, ...]:
    made = tuple(values)
    if not all(type(each) is str for each in made):
        raise TypeError
    return made  # type: ignore[return-value]  # that was looked at


def _read_variables(values: Mapping[str, object]) -> Mapping[str, str]:
    _read_texts(tuple(values.values()))
    return values  # type: ignore[return-value]  # that was looked at


def _read_pair(values: Sequence[object]) -> tuple[int, int]:
    first, second = values if len(values) == 2 else (None, None)
    if type(first) is not int or type(second) is not int:
        raise TypeError
    return first, second


def _read_warm(values: object) -> Warm | None:
    return None if values is None else _read(Warm, values)


def _read_all(kind: type[T]) -> Callable[[Sequence[object]], tuple[T, ...]]:
    return lambda values: tuple(_read(kind, each) for each in values)


_NONE = type(None)
_READERS: dict[str, tuple[tuple[type, ...], Callable[[Any], Any] | None]] = {
    "str": ((str,), None),
    "int": ((int,), None),
    "bool": ((bool,), None),
    "float": ((float, int), None),
    "int | None": ((int, _NONE), None),
    "tuple[str, ...]": ((list,), _read_texts),
    "tuple[int, int]": ((list,), _read_pair),
    "Mapping[str, str]": ((dict,), _read_variables),
    "Warm | None": ((dict, _NONE), _read_warm),
    "tuple[Leftover, ...]": ((list,), _read_all(Leftover)),
    "tuple[Order, ...]": ((list,), _read_all(Order)),
    "tuple[ExitRecord, ...]": ((list,), _read_all(ExitRecord)),
}
"""By the annotation of a field: the types that JSON may have there, and what makes the field of them."""

_FIELDS = {
    kind: [
        (each.name, *_READERS[str(each.type)], each.default is MISSING or "later" not in each.metadata)
        for each in fields(kind)
    ]
    for kind in _TAGS
}
"""Name, types, conversion and whether it must be there: all but those declared with `_later` must."""
