"""The state machine by its properties."""

from __future__ import annotations

import pytest
from batchcompute_local.jobs import states
from batchcompute_local.jobs.states import ENDED, FAILED, FINISHED, RUNNING, STOPPED, WAITING, Counts, State
from hypothesis import given, strategies as st

from batchcompute.operations import OPERATIONS

real = st.sampled_from([WAITING, RUNNING, FINISHED, FAILED, STOPPED])
counts = st.builds(Counts, *[st.integers(0, 50)] * 5)


def test_the_wire_s_integers_and_words() -> None:
    assert [state.title for state in State] == ["Init", "Waiting", "Running", "Finished", "Failed", "Stopped"]
    assert FINISHED.job_word == "Terminated"
    assert WAITING.job_word == "Waiting"


@pytest.mark.parametrize(
    ("operation", "where"),
    [
        ("stop_job", {WAITING, RUNNING}),
        ("start_job", {STOPPED, FAILED}),
        ("update_job_priority", {STOPPED, FAILED}),
        ("delete_job", {STOPPED, FINISHED, FAILED}),
        ("get_job", set(State)),
    ],
)
def test_where_operations_are_allowed(operation: str, where: set[State]) -> None:
    assert {state for state in State if states.is_allowed(OPERATIONS[operation], state)} == where


@given(counts, real, real)
def test_a_move_keeps_the_total(before: Counts, old: State, new: State) -> None:
    if before[old - 1] == 0:
        with pytest.raises(ValueError, match="no 1 parts"):
            before.move(old, new)
        return
    after = before.move(old, new)
    assert after.total == before.total
    assert after.move(new, old) == before


@given(counts)
def test_stop_and_restart_agree_with_the_rule_for_one(before: Counts) -> None:
    for one, many in (
        (states.after_stop, states.counts_after_stop),
        (states.after_restart, states.counts_after_restart),
    ):
        expected = Counts()._asdict()
        for state in (WAITING, RUNNING, FINISHED, FAILED, STOPPED):
            expected[one(state).name.lower()] += before[state - 1]
        assert many(before) == Counts(**expected)


@given(real, counts, st.booleans())
def test_progress_never_leaves_an_end_and_failure_wins(current: State, now: Counts, goes_on: bool) -> None:
    after = states.progress(current, now, goes_on)
    if current in ENDED:
        assert after is current
    elif now.failed and (not goes_on or now.finished + now.failed == now.total):
        assert after is FAILED
    elif now.finished == now.total:
        assert after is FINISHED
    else:
        assert after in (WAITING, RUNNING)
        assert not (current is RUNNING and after is WAITING)


@given(real, counts)
def test_nothing_runs_in_a_failed_job(task: State, now: Counts) -> None:
    stopped = now._replace(running=0, stopped=now.stopped + now.running)  # each running instance, one by one
    assert states.after_failure(RUNNING) is STOPPED
    assert states.task_after_failure(task, stopped) is not RUNNING


@pytest.mark.parametrize(
    ("code", "signal", "timed_out", "spent"),
    [
        (0, None, False, False),
        (3, None, False, True),
        (None, 9, False, True),
        (0, None, True, True),
        (None, None, False, False),
    ],
)
def test_what_spends_a_retry(code: int | None, signal: int | None, timed_out: bool, spent: bool) -> None:
    assert states.is_spent(code, signal, timed_out) is spent


def test_pauses_double_up_to_a_minute() -> None:
    assert [states.pause(retry, 1.0) for retry in range(1, 11)] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert states.pause(1, 0.0) == 0
    assert states.pause(1, 1e9) == 60


@given(st.none() | st.integers(0, 255), st.none() | st.integers(1, 64), st.booleans())
def test_only_exit_code_zero_is_success(code: int | None, signal: int | None, timed_out: bool) -> None:
    success = code == 0 and signal is None and not timed_out
    assert states.exit_state(code, signal, timed_out) is (FINISHED if success else FAILED)
