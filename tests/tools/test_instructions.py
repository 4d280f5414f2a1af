"""No change may cost a call of the client a fifth more instructions than the baseline says (docs/performance.md)."""

from __future__ import annotations

from typing import Any

import pytest

from batchcompute.builtins import exchange
from batchcompute.values import rows
from batchcompute.values.properties import Field
from benchmarks import instructions


def test_no_row_has_lost_a_fifth() -> None:
    """If this fails for a good reason: `python -m benchmarks.instructions --renew`, and say why in the commit."""
    assert instructions.find_losses(instructions.measure()) == []


def test_the_count_is_the_same_each_time() -> None:
    def work() -> object:
        return sorted(range(50), key=lambda number: -number)

    assert instructions.count(work) == instructions.count(work) > 100


@pytest.mark.parametrize(
    ("lost", "found"),
    [
        ("the exchange", {"get_job"}),
        ("the rows", {"list_jobs", "list_tasks"}),
        ("the exact types", {"create_job_from_dict"}),
    ],
)
def test_a_loss_is_found(monkeypatch: pytest.MonkeyPatch, lost: str, found: set[str]) -> None:
    def none(*_: Any) -> None:
        return None

    match lost:
        case "the exchange":
            monkeypatch.setattr(exchange, "take", none)
        case "the rows":
            monkeypatch.setattr("batchcompute.builtins.decoding.read_rows", none)
        case "the exact types":
            for kind in Field.__subclasses__():
                monkeypatch.setattr(kind, "exact", None)
    losses = instructions.find_losses(instructions.measure())
    assert {loss.partition(":")[0] for loss in losses} >= found


def test_the_rows_of_the_guard_are_long_enough_for_rows() -> None:
    from benchmarks import bodies

    assert len(bodies.jobs(1_500)) > rows.LEAST_BYTES < len(bodies.tasks(1, 3_000))
