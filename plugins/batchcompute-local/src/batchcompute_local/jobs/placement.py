"""Where instances run, and how much room is left there: the interface, and this machine as the simple case. No I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from batchcompute_local.executors.base import Node
from batchcompute_local.jobs.capacity import Capacity
from batchcompute_local.jobs.claim_ahead import ClaimAhead
from batchcompute_local.jobs.model import Job, Task
from batchcompute_local.jobs.scheduler import Scheduler
from batchcompute_local.plan import JobPlan, TaskSpec

_AHEAD_SECONDS = 0.05

Rank = tuple[int, int, int]
"""The place of a task in the order of all: minus its priority, the number of its job, its position."""


def rank_of(job: Job, task: Task) -> Rank:
    """Return the place of a task in the order of all."""
    return -job.priority, job.seq, task.position


Hold = tuple[str, TaskSpec | None]
"""What a live attempt takes: its node (empty: no node), and the task that says how much; None if that is not known."""


class Placement:
    """The `live` attempts: those whose final event has not come, and what each takes.

    Holds and releases of a turn are kept by `commit` or undone by `rollback`. Only the engine's turn changes it; `live` may be
    read from any thread.
    """

    slots: int
    """How many instances can run at once."""

    def __init__(self) -> None:
        self.live: dict[str, Hold] = {}
        self.has_grown = False
        """Whether there may be room since `reopened` for what is parked."""
        self._before: dict[str, Hold | None] = {}

    # -- what is live

    def hold(self, attempt: str, task: TaskSpec | None, node: str = "") -> None:
        """Count what `attempt` takes until `release`; `task` is None if that is not known."""
        if attempt not in self._before:
            self._before[attempt] = self.live.get(attempt)
        self._put(attempt, (node, task))

    def release(self, attempt: str) -> str:
        """Free what `attempt` took: nothing of it runs any more. Returns the name of its node; empty for none."""
        hold = self.live.pop(attempt, None)
        if hold is None:
            return ""
        self._before.setdefault(attempt, hold)
        self.give_back(attempt, hold)
        return hold[0]

    def commit(self) -> None:
        """Keep what was held and released since the last commit."""
        self._before.clear()

    def rollback(self) -> None:
        """Undo what was held and released since the last commit."""
        before, self._before = self._before, {}
        for attempt, hold in before.items():
            if attempt in self.live:
                self.give_back(attempt, self.live.pop(attempt))
            if hold is not None:
                self._put(attempt, hold)

    def _put(self, attempt: str, hold: Hold) -> None:
        if attempt in self.live:
            self.give_back(attempt, self.live[attempt])
        self.live[attempt] = hold
        self.take(attempt, hold)

    # -- what a kind of placement does

    def take(self, attempt: str, hold: Hold) -> None:
        """Have less room by `hold`."""
        raise NotImplementedError

    def give_back(self, attempt: str, hold: Hold) -> None:
        """Have more room by `hold`."""
        raise NotImplementedError

    def begin(self, look_ahead: int) -> None:
        """Begin to find room for the instances that wait. look_ahead: that of the executor."""
        raise NotImplementedError

    def has_room(self) -> bool:
        """Return False if nothing more can be placed now."""
        raise NotImplementedError

    def find(self, job: Job, task: Task) -> str | None:
        """Return the node for one more instance of a task; an empty name if there are no nodes, None if there is no room."""
        raise NotImplementedError

    def request_of(self, spec: TaskSpec) -> Hashable | None:
        """Return what parts tasks that ask for the same from others, which may go on while they wait; None if nothing may."""
        return None

    def reopened(self, scheduler: Scheduler) -> Iterable[Hashable]:
        """Return the requests under which tasks are parked, and for which there may be room now."""
        return ()

    def note_end(self, task: Task | None, seconds: float) -> None:
        """Note that an instance ended that ran for `seconds`; `task` is None if it is not active any more."""
        raise NotImplementedError

    def note_return(self, task: Task | None) -> None:
        """Note that an instance did not begin in time."""
        raise NotImplementedError

    def describe_never(self, spec: TaskSpec) -> str:
        """Say why an instance of a task could not run even if nothing else did; empty if it could."""
        return ""

    def describe_lack(self, spec: TaskSpec) -> str:
        """Say what is missing for one more instance of a task; empty if nothing is, but a slot."""
        raise NotImplementedError

    def remarks(self, plan: JobPlan) -> Iterator[str]:
        """Say for the log which tasks ask for more than there is."""
        return iter(())

    def reset(self) -> None:
        """Forget what waits: the jobs are read again."""

    # -- nodes

    def note_up(self, node: Node) -> Iterable[str]:
        """Note that a node is there. Returns its live attempts."""
        return ()

    def note_down(self, name: str, reason: str) -> None:
        """Note that a node gets nothing more."""

    def describe(self) -> list[dict[str, Any]]:
        """Return what is known of each node. May be called from any thread."""
        return []


class Machine(Placement):
    """One machine, or an executor that places by itself: slots, and sums of Cpu and Memory. Nothing overtakes what waits."""

    def __init__(self, slots: int, capacity: Capacity) -> None:
        super().__init__()
        self.slots = slots
        self._capacity = capacity
        self._is_limited = bool(capacity.cpu or capacity.memory)
        self._claim_ahead = ClaimAhead(_AHEAD_SECONDS)
        self._limit = slots
        self._is_full = False

    def take(self, attempt: str, hold: Hold) -> None:
        """See Placement."""
        if self._is_limited and hold[1] is not None:
            self._capacity.take(hold[1])

    def give_back(self, attempt: str, hold: Hold) -> None:
        """See Placement."""
        if self._is_limited and hold[1] is not None:
            self._capacity.give_back(hold[1])

    def begin(self, look_ahead: int) -> None:
        """See Placement."""
        self._limit = self.slots + min(look_ahead, self._claim_ahead.count(self.slots))
        self._is_full = False

    def has_room(self) -> bool:
        """See Placement."""
        return len(self.live) < self._limit and not self._is_full

    def find(self, job: Job, task: Task) -> str | None:
        """See Placement."""
        self._is_full = self._is_limited and not self._capacity.fits(job.plan.tasks[task.position])
        return None if self._is_full else ""

    def note_end(self, task: Task | None, seconds: float) -> None:
        """See Placement."""
        self._claim_ahead.note_end(seconds)

    def note_return(self, task: Task | None) -> None:
        """See Placement."""
        self._claim_ahead.note_return()

    def describe_lack(self, spec: TaskSpec) -> str:
        """See Placement."""
        return self._capacity.describe_lack(spec)

    def remarks(self, plan: JobPlan) -> Iterator[str]:
        """See Placement."""
        return self._capacity.notes(plan)
