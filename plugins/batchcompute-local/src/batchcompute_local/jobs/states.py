"""The state machine of jobs, tasks and instances. Pure functions, no I/O.

The documents give the states, the actions and where each is allowed (protocol 2.3); the rest is ours, since no document
says it (protocol 2.5, ours): one failed instance fails its task and its job at once. The other running instances of the
job are ended and become Stopped, waiting ones stay Waiting, successors never start. A job that has ended has nothing
Running in it, neither instance nor task.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


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
        """The documented name, e.g. `Finished`."""
        return self.name.capitalize()

    @property
    def job_word(self) -> str:
        """How a job's state is spelt on the wire: as its name, but `Terminated` for Finished (protocol 1.6)."""
        return _JOB_WORDS[self]


WAITING, RUNNING, FINISHED, FAILED, STOPPED = State.WAITING, State.RUNNING, State.FINISHED, State.FAILED, State.STOPPED

_JOB_WORDS = {state: "Terminated" if state is FINISHED else state.title for state in State}

ENDED = frozenset({FINISHED, FAILED, STOPPED})

_ALLOWED: dict[str, frozenset[State]] = {
    "stop": frozenset({WAITING, RUNNING}),
    "start": frozenset({STOPPED, FAILED}),
    "priority": frozenset({STOPPED, FAILED}),
    "delete": ENDED,
}


def allowed(action: str, state: State) -> bool:
    """Whether `action` (stop, start, priority, delete) may be taken on a job in `state` (protocol 2.3)."""
    return state in _ALLOWED[action]


class Counts(NamedTuple):
    """How many parts (instances of a task, tasks of a job) are in each state."""

    waiting: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    stopped: int = 0

    @property
    def total(self) -> int:
        """All parts."""
        return sum(self)

    def move(self, old: State, new: State, number: int = 1) -> Counts:
        """`number` parts went from `old` to `new`. Raises ValueError if there are not that many."""
        values = list(self)
        if values[old - 1] < number:
            raise ValueError(f"no {number} parts are {old.title}")
        values[old - 1] -= number
        values[new - 1] += number
        return Counts(*values)


NONE = Counts()


def progress(current: State, counts: Counts) -> State:
    """The state of a task (or job) whose state was `current` and whose instances now stand at `counts`.

    Waiting till the first instance starts; after that Running till it ends, also between two instances.
    """
    if current in ENDED:
        return current
    if counts.failed:
        return FAILED
    if counts.finished == counts.total:
        return FINISHED
    if counts.running:
        return RUNNING
    return current


def exit_state(code: int | None, signal: int | None, timed_out: bool) -> State:
    """What an instance becomes when its program ends: Finished on exit code 0, else Failed (protocol 2.5)."""
    return FINISHED if code == 0 and signal is None and not timed_out else FAILED


def after_stop(state: State) -> State:
    """A part of a job that the user stopped: what had not ended becomes Stopped."""
    return state if state in ENDED else STOPPED


def after_failure(state: State) -> State:
    """An instance of a job that failed: running ones are ended, waiting ones stay Waiting."""
    return STOPPED if state is RUNNING else state


def task_after_failure(state: State, counts: Counts) -> State:
    """A task of a job that failed, its instances at `counts`: one that was begun and has not ended is Stopped."""
    if state in ENDED:
        return state
    return WAITING if counts.waiting == counts.total else STOPPED


def after_restart(state: State) -> State:
    """A part of a job that is started again: what is Finished stays so, all else waits (protocol 2.4)."""
    return FINISHED if state is FINISHED else WAITING


def counts_after_restart(counts: Counts) -> Counts:
    """The same, for all parts at once."""
    return Counts(waiting=counts.total - counts.finished, finished=counts.finished)


def counts_after_stop(counts: Counts) -> Counts:
    """All parts of a stopped job or task at once."""
    return counts._replace(waiting=0, running=0, stopped=counts.stopped + counts.waiting + counts.running)


def counts_after_failure(counts: Counts) -> Counts:
    """All instances of a task in a failed job at once."""
    return counts._replace(running=0, stopped=counts.stopped + counts.running)
