"""The effects of a turn outside the store: noted during the turn, done after its commit."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchcompute_local.executors.base import AnyExecutor, Launch
from batchcompute_local.jobs.model import Job


@dataclass
class Effects:
    """Effects of one turn. `ended` are the jobs that ended in it, `deleted` the ids of those that were deleted."""

    launches: list[Launch] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)

    def clear(self) -> None:
        """Forget all of it: it was done, or its turn was not committed."""
        for part in (self.launches, self.stops, self.acknowledged, self.ended, self.deleted):
            part.clear()

    def carry_out(self, executor: AnyExecutor) -> None:
        """Have `executor` start and end programs, and forget what is on the disk."""
        if self.launches:
            executor.start(tuple(self.launches))
        if self.stops:
            executor.stop(tuple(self.stops))
        if self.acknowledged:
            executor.acknowledge(tuple(self.acknowledged))
