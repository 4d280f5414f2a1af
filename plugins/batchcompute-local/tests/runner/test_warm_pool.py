"""Which warm interpreters a runner has."""

from __future__ import annotations

from typing import Any

import pytest
from batchcompute_local.runner import warm_pool
from batchcompute_local.runner.spawner import Warmth
from batchcompute_local.runner.warm_pool import WarmPool


class Made:
    """What stands for a spawner that is never ready."""

    is_usable = True

    def is_ready(self) -> bool:
        return False


def warmth(number: int) -> Warmth:
    return "/usr/bin/python3", (), (("PYTHONHASHSEED", str(number)),)


def test_many_sets_of_variables_take_no_more_interpreters_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[Warmth, Any] = {}

    def make(wanted: Warmth) -> Any:
        made[wanted] = Made()
        return made[wanted]

    monkeypatch.setattr(warm_pool, "_MOST", 3)
    pool = WarmPool(make)
    for number in range(10):
        assert pool.take(warmth(number)) is None
    assert [*made] == [warmth(number) for number in range(3)]
    made[warmth(0)].is_usable = False
    pool.remove(warmth(0), made.pop(warmth(0)), 0)  # it had nothing to do for a while
    for number in range(10, 20):
        pool.take(warmth(number))
    assert [*made] == [warmth(1), warmth(2), warmth(10)]


@pytest.mark.parametrize(("seconds", "starts"), [(60.0, 1), (0.0, 2)])
def test_one_that_was_never_ready_is_put_off(
    seconds: float, starts: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made: list[Any] = []

    def make(wanted: Warmth) -> Any:
        made.append(Made())
        return made[-1]

    monkeypatch.setattr(warm_pool, "_AGAIN_SECONDS", seconds)
    pool = WarmPool(make)
    pool.take(warmth(0))
    pool.remove(warmth(0), made[0], 1)
    pool.take(warmth(0))
    assert len(made) == starts
    assert "ended before it was ready" in capfd.readouterr().err
