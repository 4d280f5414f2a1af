"""What embedding costs: ten observers of a third party on every call, and one more Client in a process that has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from batchcompute import Client
from batchcompute.hooks import AttemptContext, CallResult, hookimpl

from .harness import Benchmark, Pair, cpu_of
from .loopback import server

PROMISED_SECONDS = 0.005


class Observer:
    """Counts what it sees, as metrics do."""

    def __init__(self, number: int) -> None:
        self.name = f"observer {number}"
        self.seen = 0

    @hookimpl
    def before_attempt(self, ctx: AttemptContext) -> None:
        self.seen += 1

    @hookimpl
    def after_attempt(self, ctx: AttemptContext) -> None:
        self.seen += ctx.response is not None

    @hookimpl
    def after_call(self, ctx: CallResult) -> None:
        self.seen += ctx.attempts


@contextmanager
def observers(quick: bool) -> Iterator[Pair]:
    times = 50 if quick else 100
    watching = [Observer(number) for number in range(10)]
    with server() as port:
        url = f"http://127.0.0.1:{port}"
        with (
            Client(url, "testid", "testsecret", plugins=watching) as watched,
            Client(url, "testid", "testsecret") as plain,
        ):
            watched.get_job("job-1")
            assert all(observer.seen == 3 for observer in watching)
            yield Pair(
                cpu_of(lambda: watched.get_job("job-1").State, times),
                cpu_of(lambda: plain.get_job("job-1").State, times),
            )


@contextmanager
def another_client(quick: bool) -> Iterator[Pair]:
    Client("cn-qingdao", "testid", "testsecret").close()
    yield Pair(
        cpu_of(lambda: Client("cn-qingdao", "testid", "testsecret").close(), 10),
        lambda: PROMISED_SECONDS,
    )


OBSERVERS = Benchmark(
    "observers", "get_job", "the same Client without the ten observers", target=1.25, open=observers, rounds=101
)
CLIENT = Benchmark("client", "Client()", "the 5 ms that are promised", target=1.0, open=another_client, rounds=31)
