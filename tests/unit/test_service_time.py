"""The service's time: learned from each refusal, in either direction, once for each call, and once for many threads."""

from __future__ import annotations

import re
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate, parsedate_to_datetime
from types import SimpleNamespace

import pytest

from batchcompute import ClientError, ClockSkewWarning
from batchcompute.hooks import AttemptContext, hookimpl
from batchcompute.wire import Request, Response
from tests.support.stub import Stub, response

WINDOW_SECONDS = 900.0
_OFF = re.compile(r"this machine's clock is ([+-]\d+) seconds off the service's; the service's time is used$")


class Machine:
    """This machine's clock, `ahead` seconds ahead of the service's, and a service that refuses what is off by 15 minutes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        self.accepted = 0
        self.refused = 0
        clock = SimpleNamespace(time=lambda: time.time() + self.ahead, gmtime=time.gmtime)
        monkeypatch.setattr("batchcompute.builtins.signing.time", clock)
        monkeypatch.setattr("batchcompute.service_time.time", clock)

    def serve(self, request: Request) -> Response:
        off = parsedate_to_datetime(request.headers["date"]).timestamp() - time.time()
        if abs(off) < WINDOW_SECONDS:
            self.accepted += 1
            return response({})
        self.refused += 1
        return refusal()


def refusal(seconds: float = 0.0) -> Response:
    return response({"Code": "InvalidTimeStamp.Expired"}, 400, date=formatdate(time.time() + seconds, usegmt=True))


@pytest.fixture
def machine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(monkeypatch)
    stub.always = made.serve
    return made


def test_it_is_learned_again_in_either_direction(stub: Stub, machine: Machine) -> None:
    client = stub.client()
    warned: list[int] = []
    for machine.ahead in (0, -3600, -3600, 0, 0, 7200, -7200, 0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            client.list_jobs()
        seconds = [int(found[1]) for one in caught if (found := _OFF.match(str(one.message)))]
        assert len(seconds) == len(caught)
        warned.append(round(seconds[0], -2) if seconds else 0)  # a Date has whole seconds
    assert warned == [0, -3600, 0, 0, 0, 7200, -7200, 0]  # none while it stays as it is, and none when it is right
    assert (machine.accepted, machine.refused) == (8, 5)


def test_a_service_that_always_refuses_ends_each_call(stub: Stub) -> None:
    stub.always = lambda request: refusal(3600)
    client = stub.client()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            with pytest.raises(ClientError, match="Expired"):
                client.list_jobs()
    assert len(stub.requests) == 6
    assert len([one for one in caught if one.category is ClockSkewWarning]) == 1


def test_a_request_that_was_long_on_its_way_is_sent_again(stub: Stub) -> None:
    """As after a suspend between signature and sending: the clocks agree, and a fresh date is accepted."""
    stub.prepare([refusal(), response({})])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stub.client().list_jobs()
    assert len(stub.requests) == 2


def test_a_correction_is_not_an_attempt_of_the_retry_policy(stub: Stub, machine: Machine) -> None:
    seen: list[tuple[int, float]] = []

    class Watch:
        @hookimpl
        def after_attempt(self, ctx: AttemptContext) -> None:
            seen.append((ctx.number, round(ctx.clock_offset, -2)))

    machine.ahead = -3600
    stub.prepare([response({}, 503), machine.serve, response({}, 503), machine.serve])
    with pytest.warns(ClockSkewWarning):
        stub.client(plugins=(Watch(),)).list_jobs()
    assert seen == [(1, 0), (2, 0), (3, 3600), (4, 3600)]


def test_threads_that_were_refused_with_one_offset_learn_once(stub: Stub, machine: Machine) -> None:
    count = 16
    machine.ahead = 3600
    all_there = threading.Barrier(count)

    def serve(request: Request) -> Response:
        answer = machine.serve(request)
        if answer.status == 400:
            all_there.wait(30)  # each is refused before anybody has learned
        return answer

    stub.always = serve
    client = stub.client()
    with warnings.catch_warnings(record=True) as caught, ThreadPoolExecutor(count) as pool:
        warnings.simplefilter("always")
        assert len(list(pool.map(lambda _: client.list_jobs(), range(count)))) == count
    assert len([one for one in caught if one.category is ClockSkewWarning]) == 1
    assert len(stub.requests) == 2 * count
