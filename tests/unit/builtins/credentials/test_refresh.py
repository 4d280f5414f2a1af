"""Temporary credentials: when they are replaced, by whom, and what happens when that fails."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from batchcompute import Credentials, CredentialsConfig, CredentialsError
from batchcompute.builtins.credentials import refresh
from batchcompute.builtins.credentials.refresh import Refreshing
from tests.support.clock import Clock

SECRET = "zq9-canary-secret"
SETTINGS = CredentialsConfig(refresh_before=900, refresh_at_latest=60)
LIFE = 3600.0
Act = Callable[[], None]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(1_000_000.0)
    fake = SimpleNamespace(time=clock.time, strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(refresh, "time", fake)
    return clock


class Source:
    """Gives numbered credentials that live for `life` seconds; `act` is done before each answer."""

    name = "source"

    def __init__(self, now: Clock, life: float | None = LIFE) -> None:
        self.now = now
        self.life = life
        self.calls = 0
        self.act: Act = lambda: None

    def get(self) -> Credentials:
        self.calls += 1
        number = self.calls
        self.act()
        expires = None if self.life is None else self.now.now + self.life
        return Credentials(f"key-{number}", SECRET, "token", expires, "here")

    def fail(self) -> None:
        raise CredentialsError("the desk is closed")


def test_kept_until_the_advisory_window(now: Clock) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    assert [cached.get().access_key_id for _ in range(3)] == ["key-1"] * 3
    now.now += LIFE - 901
    assert cached.get().access_key_id == "key-1"
    now.now += 2
    assert [cached.get().access_key_id for _ in range(3)] == ["key-2"] * 3
    assert source.calls == 2


def test_without_expiry_the_source_is_asked_each_time(now: Clock) -> None:
    cached = Refreshing(Source(now, None), SETTINGS)
    assert [cached.get().access_key_id for _ in range(3)] == ["key-1", "key-2", "key-3"]


def test_an_early_failure_is_logged_and_tried_again_later(now: Clock, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    cached.get()
    now.now += LIFE - 800

    def broken() -> None:
        raise RuntimeError(SECRET)

    with caplog.at_level(logging.DEBUG):
        for act in (source.fail, broken):
            source.act = act
            assert [cached.get().access_key_id for _ in range(5)] == ["key-1"] * 5
            now.now += 60
    assert source.calls == 3  # one attempt a minute, not one a call
    assert "the desk is closed" in caplog.text
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    source.act = lambda: None
    assert cached.get().access_key_id == "key-4"


def test_early_one_thread_replaces_and_the_others_go_on(now: Clock) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    cached.get()
    now.now += LIFE - 800
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(30)

    source.act = slow
    with ThreadPoolExecutor(1) as pool:
        replacing = pool.submit(cached.get)
        assert begun.wait(30)
        assert [cached.get().access_key_id for _ in range(3)] == ["key-1"] * 3
        go.set()
        assert replacing.result(30).access_key_id == "key-2"
    assert cached.get().access_key_id == "key-2"
    assert source.calls == 2


@pytest.mark.parametrize("first", [True, False], ids=["at first", "at the latest"])
def test_at_the_latest_all_wait_for_one(now: Clock, first: bool) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    if not first:
        cached.get()
        now.now += LIFE - 59
    together = threading.Barrier(8)

    def call(_: int) -> str:
        together.wait(30)
        return cached.get().access_key_id

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))
    number = 1 if first else 2
    assert answers == [f"key-{number}"] * 8
    assert source.calls == number


def test_at_the_latest_a_failure_raises_for_all_who_waited(now: Clock) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    cached.get()
    now.now += LIFE - 59
    begun, go = threading.Event(), threading.Event()

    def slow_failure() -> None:
        begun.set()
        assert go.wait(30)
        source.fail()

    source.act = slow_failure
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(cached.get)]
        assert begun.wait(30)
        waiting = threading.Barrier(4)
        inner = cached._of_this_process

        def noted() -> threading.Lock:
            waiting.wait(30)
            return inner()

        cached._of_this_process = noted  # type: ignore[method-assign]  # watched for the test
        calls += [pool.submit(cached.get) for _ in range(3)]
        waiting.wait(30)
        go.set()
        for call in calls:
            with pytest.raises(CredentialsError, match="the desk is closed"):
                call.result(30)
    cached._of_this_process = inner  # type: ignore[method-assign]  # watched for the test
    assert source.calls == 2  # who waited did not try one by one
    source.act = lambda: None
    assert cached.get().access_key_id == "key-3"  # a later call tries again


def test_what_has_expired_already_is_refused(now: Clock) -> None:
    source = Source(now, -5)
    cached = Refreshing(source, SETTINGS)
    with pytest.raises(CredentialsError, match="here: expired at 1970-01-12T13:46:35Z"):
        cached.get()
    source.life = 30  # shorter than any window: used, and replaced each time
    assert [cached.get().access_key_id for _ in range(2)] == ["key-2", "key-3"]


def test_new_credentials_that_do_not_expire(now: Clock) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    cached.get()
    now.now += LIFE
    source.life = None
    assert [cached.get().access_key_id for _ in range(2)] == ["key-2", "key-3"]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_wait_for_a_thread_it_does_not_have(now: Clock) -> None:
    cached = Refreshing(Source(now), SETTINGS)
    with cached._lock:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if cached.get().access_key_id == "key-1" else 1)
            finally:
                os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_the_service_refused_is_not_used_again(now: Clock) -> None:
    cached = Refreshing(Source(now), SETTINGS)
    old = cached.get()
    cached.refused(old)
    fresh = cached.get()
    assert fresh.access_key_id == "key-2"
    cached.refused(old)  # a thread that comes late: others have come meanwhile
    assert cached.get() == fresh


def test_a_provider_hears_of_it_once_for_many_threads(now: Clock) -> None:
    dropped: list[Credentials] = []

    class Keeping(Source):
        def refused(self, credentials: Credentials) -> None:
            dropped.append(credentials)

    source = Keeping(now)
    cached = Refreshing(source, SETTINGS)
    old = cached.get()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cached.refused(old), range(64)))
    assert dropped == [old]
    cached.refused(Credentials("somebody else's", SECRET))
    assert dropped == [old]


def test_a_clock_that_is_put_back_does_not_prolong_the_pause(now: Clock) -> None:
    source = Source(now)
    cached = Refreshing(source, SETTINGS)
    cached.get()
    now.now += LIFE - 100
    source.act = source.fail
    cached.get()
    now.now -= 700  # still in the advisory window
    source.act = lambda: None
    assert cached.get().access_key_id == "key-3"
