"""What one node has, and what is left of it. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from batchcompute_local.executors.base import Node
from batchcompute_local.jobs.free_room import NO_ROOM, Room
from batchcompute_local.plan import TaskSpec


class Request(NamedTuple):
    """What an instance asks for: hundredths of a core, MB, and the bit of its image; 0 if it has none of service.toml."""

    cpu: int
    memory: int
    image: int


@dataclass(slots=True, eq=False)
class NodeRoom:
    """A node with its live attempts. `node` is None for one that was not there since the service was started."""

    name: str
    number: int
    node: Node | None = None
    is_up: bool = False
    reason: str = ""
    whole: Room = NO_ROOM
    """All its room; no room if it is not up."""
    attempts: set[str] = field(default_factory=set)
    cpu: int = 0
    memory: int = 0
    requests: Counter[tuple[int, int]] = field(default_factory=Counter)
    """How many of its live attempts request this."""
    is_stale: bool = False
    """Whether it has changed since it was put where others find it."""
    has_free: bool = False
    has_ahead: bool = False
    """Whether it was put there with free room, or with room for claims ahead."""

    def go_up(self, node: Node, images: int) -> None:
        """Have the room of `node`; `images` are the bits of its images."""
        self.node, self.is_up, self.reason = node, True, ""
        self.whole = node.slots, node.cpu or inf, node.memory or inf, images

    def go_down(self, reason: str) -> None:
        """Have no room; what is live stays so."""
        self.is_up, self.reason, self.whole = False, reason, NO_ROOM

    def take(self, attempt: str, task: TaskSpec | None) -> None:
        """Count what `attempt` takes; `task` is None if that is not known."""
        self.attempts.add(attempt)
        if task is not None:
            self.cpu += task.cpu
            self.memory += task.memory
            self.requests[task.cpu, task.memory] += 1

    def give_back(self, attempt: str, task: TaskSpec | None) -> None:
        """Free what `attempt` took."""
        self.attempts.remove(attempt)
        if task is not None:
            self.cpu -= task.cpu
            self.memory -= task.memory
            self.requests[task.cpu, task.memory] -= 1
            if not self.requests[task.cpu, task.memory]:
                del self.requests[task.cpu, task.memory]

    def free(self) -> Room:
        """Return its free room; no room if all slots are taken."""
        slots, cpu, memory, images = self.whole
        left = slots - len(self.attempts)
        return (left, cpu - self.cpu, memory - self.memory, images) if left > 0 else NO_ROOM

    def fits(self, request: Request) -> bool:
        """Return whether it has room for `request` now."""
        slots, cpu, memory, images = self.whole
        return (
            len(self.attempts) < slots
            and cpu - self.cpu >= request.cpu
            and memory - self.memory >= request.memory
            and images | request.image == images
        )

    def ahead(self, look_ahead: int) -> Room:
        """Return its room for claims ahead, the first measure being minus how many a slot would have then beside the one it runs.

        Whichever of its attempts run at once, they must not take more than there is.
        """
        slots, cpu, memory, images = self.whole
        more = len(self.attempts) - slots + 1
        if not 0 < more <= look_ahead:
            return NO_ROOM
        cpu, memory = cpu / slots, memory / slots
        for used, taken in self.requests:
            if used > cpu or taken > memory:
                return NO_ROOM
        return -more / slots, cpu, memory, images

    def view(self) -> dict[str, Any]:
        """Return what `local status` shows of it; 0 for no limit."""
        node = self.node or Node(self.name, "", 0)
        return {
            "name": self.name,
            "host": node.host,
            "up": self.is_up,
            "reason": self.reason,
            "slots": node.slots,
            "taken": len(self.attempts),
            "cpu": node.cpu,
            "taken_cpu": self.cpu,
            "memory": node.memory,
            "taken_memory": self.memory,
            "images": sorted(node.images),
        }

    def could_ever(self, request: Request) -> bool:
        """Return whether it has room for `request` when nothing else runs there."""
        slots, cpu, memory, images = self.whole
        return slots >= 1 and cpu >= request.cpu and memory >= request.memory and images | request.image == images

    def lack(self, request: Request) -> float:
        """Return how far it is from having room for `request`, as a part of all its room; 0: it has room."""
        slots, cpu, memory, _ = self.whole
        return max(
            (len(self.attempts) + 1 - slots) / slots,
            (self.cpu + request.cpu - cpu) / cpu if cpu < inf else 0.0,
            (self.memory + request.memory - memory) / memory if memory < inf else 0.0,
            0.0,
        )
