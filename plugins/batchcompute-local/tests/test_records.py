"""Records: what is written is read again, and only a whole record is read."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from typing import Any

import pytest
from batchcompute_local.executors import base
from batchcompute_local.records import (
    Acknowledge,
    End,
    Exited,
    ExitRecord,
    Greeting,
    Leftover,
    Lost,
    Order,
    Ping,
    Pong,
    Refused,
    Renew,
    Returned,
    Start,
    Started,
    StartRecord,
    Stop,
    Warm,
    encode,
    fields_of,
    read_event,
    read_greeting,
    read_request,
)
from hypothesis import given, strategies as st

_TEXT = st.text(max_size=9)
_TEXTS = st.lists(_TEXT, max_size=3).map(tuple)
_NUMBER = st.floats(0, 1e10) | st.integers(0, 10**10)
_INTEGER = st.integers(-(2**40), 2**40)
_STARTS = st.builds(StartRecord, _TEXT, _NUMBER, _TEXT, pid=_INTEGER, boot=_TEXT, born=st.tuples(_INTEGER, _INTEGER))
_EXITS = st.builds(
    ExitRecord,
    _TEXT,
    st.none() | _INTEGER,
    st.none() | _INTEGER,
    _TEXT,
    st.booleans(),
    _NUMBER,
    _NUMBER,
    _TEXT,
    cwd=_TEXT,
)
_EVENTS = _STARTS | _EXITS | st.builds(Lost, _TEXT) | st.builds(Returned, _TEXT) | st.builds(Refused, _TEXT)
_ORDERS = st.builds(
    Order,
    _TEXT,
    _TEXTS,
    _TEXT,
    st.dictionaries(_TEXT, _TEXT, max_size=3),
    _TEXT,
    _TEXT,
    _NUMBER,
    _NUMBER,
    warm=st.none() | st.builds(Warm, _TEXTS, _TEXTS),
)
_REQUESTS = (
    st.builds(Start, st.lists(_ORDERS, max_size=3).map(tuple), _INTEGER)
    | st.builds(Stop, _TEXTS)
    | st.builds(Acknowledge, _TEXTS)
    | st.just(End())
    | st.just(Ping())
)
_GREETINGS = st.builds(Greeting, _TEXTS, st.lists(_EXITS, max_size=3).map(tuple), _INTEGER, _TEXT, st.booleans())
START = StartRecord("job-1.0.0.1", 1.5, "h", pid=7, boot="b", born=(1, 2))
EXIT = ExitRecord("job-1.0.0.1", 0, None, "", False, 1.5, 2.5, "h", (Leftover(9, "sleep", "SIGTERM"),), cwd="/c")
ORDER = Order(
    "job-1.0.0.1", ("/bin/true",), "/c", {"KEY": "sesame"}, "/out", "/err", 60, 0.5, warm=Warm(("json",), ("KEY",))
)
WHOLE = (
    (START, read_event),
    (EXIT, read_event),
    (Lost("a"), read_event),
    (Returned("a"), read_event),
    (Refused("a"), read_event),
    (Start((ORDER,), 2), read_request),
    (Stop(("a",)), read_request),
    (Acknowledge(("a",)), read_request),
    (Renew(90_000.5), read_request),
    (End(), read_request),
    (Ping(), read_request),
    (Pong(), read_event),
    (Greeting(("a",), (EXIT,), 2), read_greeting),
)
LATER = {
    (StartRecord, "born"),
    (StartRecord, "group"),
    (ExitRecord, "leftovers"),
    (ExitRecord, "lease_ended"),
    (Start, "patience"),
    (Greeting, "version"),
    (Greeting, "containment"),
    (Greeting, "pings"),
}


def _wire(record: Any) -> Any:
    return json.loads(encode(record))


@given(st.lists(_EVENTS, max_size=3))
def test_events_are_read_as_they_were_written(events: list[Any]) -> None:
    assert [read_event(each) for each in _wire(events)] == events


@given(_REQUESTS)
def test_requests_are_read_as_they_were_written(request: Any) -> None:
    assert read_request(_wire(request)) == request


@given(_GREETINGS)
def test_greetings_are_read_as_they_were_written(greeting: Greeting) -> None:
    assert read_greeting(_wire(greeting)) == greeting


@pytest.mark.parametrize(("record", "read"), WHOLE)
def test_every_field_must_be_there_but_those_that_came_later(record: Any, read: Any) -> None:
    for each in fields(record):
        values = _wire(record)
        del values[each.name]
        if (type(record), each.name) in LATER:
            assert getattr(read(values), each.name) == each.default
        else:
            with pytest.raises(ValueError, match=f"^{type(record).__name__} has no field '{each.name}'$"):
                read(values)


@pytest.mark.parametrize(("record", "read"), WHOLE)
def test_a_value_of_another_type_is_refused_by_name(record: Any, read: Any) -> None:
    for each in fields(record):
        values: tuple[Any, ...] = ({"odd": 1}, [[]], [None, 1], -1j)
        for odd in values:
            with pytest.raises(ValueError, match=rf"{each.name}|a record must be an object"):
                read(_wire(record) | {each.name: odd})


def test_a_truth_value_is_no_number() -> None:
    for name in ("code", "signal", "started", "ended"):
        with pytest.raises(ValueError, match=f"ExitRecord: the field '{name}' cannot be True"):
            read_event(_wire(EXIT) | {name: True})


@pytest.mark.parametrize(("record", "read"), WHOLE)
def test_what_a_later_version_adds_is_ignored(record: Any, read: Any) -> None:
    assert read(_wire(record) | {"a_later_field": [1]}) == record


@pytest.mark.parametrize("odd", [None, 1, "started", [], {}, {"event": []}, {"event": "gone"}, {"op": "started"}])
def test_what_is_no_record_is_refused(odd: Any) -> None:
    with pytest.raises(ValueError, match="a record's 'event' must be one of started, exited"):
        read_event(odd)
    with pytest.raises(ValueError, match="a record's 'op' must be one of start, stop"):
        read_request(odd)


def test_no_error_and_no_text_shows_the_environment() -> None:
    values = _wire(Start((ORDER,), 2))
    assert "sesame" not in repr(read_request(values))
    values["orders"][0]["environment"]["OTHER"] = 1
    with pytest.raises(ValueError, match="Order: the field 'environment'") as caught:
        read_request(values)
    assert "sesame" not in str(caught.value)


def test_an_executor_reports_the_records_of_the_runner() -> None:
    assert (base.Started, base.Exited, base.Lost, base.Returned) == (Started, Exited, Lost, Returned)
    assert isinstance(START, base.Started)
    assert isinstance(EXIT, base.Exited)
    assert pickle.loads(pickle.dumps(EXIT)) == EXIT


def test_fields_are_on_the_wire_by_their_names() -> None:
    assert fields_of(EXIT) == {"event": "exited"} | {each.name: getattr(EXIT, each.name) for each in fields(EXIT)}
