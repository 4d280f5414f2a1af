"""The state machine of jobs, tasks and instances. Pure functions, no I/O.

The documents give the states, the actions and where each is allowed (protocol 2.3); the rest is ours, since no document
says it (protocol 2.5, ours): one failed instance fails its task and its job at once. The other running instances of the
job are ended and become Stopped, waiting ones stay Waiting, successors never start. A job that goes on (its
JobFailOnInstanceFail is false) ends nothing: its task is Failed when all instances have ended, and the job when nothing can
run any more. A job that has ended has nothing Running in it, neither instance nor task.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from batchcompute.operations import Operation


class State(IntEnum):
    """The wire's integers for tasks and instances (protocol 1.6)."""

    INIT = 0
    WAITING = 1
    RUNNING = 2
    FINISHED = 3
    FAILED = 4
    STOPPED = 5

    @property
    def title(self) -> str:
        """The documented name, as `Finished`."""
        return self.name.capitalize()

    @property
    def job_word(self) -> str:
        """The name of a job's state on the wire, which is `Terminated` for Finished (protocol 1.6)."""
        return _JOB_WORDS[self]


WAITING, RUNNING, FINISHED, FAILED, STOPPED = State.WAITING, State.RUNNING, State.FINISHED, State.FAILED, State.STOPPED

_JOB_WORDS = {state: "Terminated" if state is FINISHED else state.title for state in State}

ENDED = frozenset({FINISHED, FAILED, STOPPED})

LONGEST_PAUSE = 60.0
"""Seconds before a retry, at most."""


def is_allowed(operation: Operation[Any], state: State) -> bool:
    """Return whether `operation` may be done to a job in `state` (protocol 2.3), as the table of operations says."""
    return not operation.states or state.title in operation.states


class Counts(NamedTuple):
    """The number of parts (instances of a task, tasks of a job) in each state."""

    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    stopped: int = 0

    @property
    def total(self) -> int:
        """Return the number of all parts."""
        return sum(self)

    def move(self, old: State, new: State, number: int = 1) -> Counts:
        """Move `number` parts from `old` to `new`. Raises ValueError if there are not that many."""
        values = [*self]
        if values[old - 1] < number:
            raise ValueError(f"no {number} parts are {old.title}")
        values[old - 1] -= number
        values[new - 1] += number
        return tuple.__new__(Counts, values)


NONE = Counts()


def progress(current: State, counts: Counts, goes_on: bool) -> State:
    """Return the state of a task (or job) that was `current` and whose instances are now `counts`.

    It is Waiting until the first instance starts; after that Running until it ends, also between two instances. One that
    goes on fails only when all instances have ended.
    """
    if current in ENDED:
        return current
    if counts.running and (goes_on or not counts.failed):
        return RUNNING
    if counts.failed and (not goes_on or counts.finished + counts.failed == counts.total):
        return FAILED
    return FINISHED if counts.finished == counts.total else current


def exit_state(code: int | None, signal: int | None, timed_out: bool) -> State:
    """Return the state of an instance whose program ended: Finished for exit code 0, else Failed (protocol 2.5)."""
    return FINISHED if code == 0 and signal is None and not timed_out else FAILED


def is_spent(code: int | None, signal: int | None, timed_out: bool) -> bool:
    """Return whether an end spends a retry: the program began and failed. A program that cannot be started has no retry."""
    return exit_state(code, signal, timed_out) is FAILED and (code is not None or signal is not None or timed_out)


def pause(retry: int, first: float) -> float:
    """Return the seconds before retry number `retry`: `first` before the first one, then doubled, at most LONGEST_PAUSE."""
    return min(first * 2.0 ** (retry - 1), LONGEST_PAUSE)


def after_stop(state: State) -> State:
    """Return the state of a part of a job that the user stopped: what had not ended becomes Stopped."""
    return state if state in ENDED else STOPPED


def after_failure(state: State) -> State:
    """Return the state of an instance of a job that failed: running ones are ended, waiting ones stay Waiting."""
    return STOPPED if state is RUNNING else state


def task_after_failure(state: State, counts: Counts) -> State:
    """Return the state of a task of a job that failed: Stopped if it was begun and has not ended."""
    if state in ENDED:
        return state
    return WAITING if counts.waiting == counts.total else STOPPED


def after_restart(state: State) -> State:
    """Return the state of a part of a job that is started again: Finished stays, all else waits (protocol 2.4)."""
    return FINISHED if state is FINISHED else WAITING


def counts_after_restart(counts: Counts) -> Counts:
    """Do `after_restart` for all parts at once."""
    return Counts(waiting=counts.total - counts.finished, finished=counts.finished)


def counts_after_stop(counts: Counts) -> Counts:
    """Do `after_stop` for all parts at once."""
    return counts._replace(waiting=0, running=0, stopped=counts.stopped + counts.waiting + counts.running)
