"""What one node has, and what is left of it. No I/O."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from batchcompute_local.executors.base import Node
from batchcompute_local.jobs.free_room import NO_ROOM, Room


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
    images: int = 0
    attempts: set[str] = field(default_factory=set)
    cpu: int = 0
    memory: int = 0
    requests: Counter[tuple[int, int]] = field(default_factory=Counter)
    """How many of its live attempts request this."""

    def whole(self) -> Room:
        """Return all its room."""
        node = self.node
        if node is None or not self.is_up:
            return NO_ROOM
        return node.slots, node.cpu or inf, node.memory or inf, self.images

    def free(self) -> Room:
        """Return its free room; no room if all slots are taken."""
        slots, cpu, memory, images = self.whole()
        left = slots - len(self.attempts)
        return (left, cpu - self.cpu, memory - self.memory, images) if left > 0 else NO_ROOM

    def ahead(self, look_ahead: int) -> Room:
        """Return its room for claims ahead, the first measure being minus how many a slot would have then beside the one it runs.

        Whichever of its attempts run at once, they must not take more than there is.
        """
        slots, cpu, memory, images = self.whole()
        more = len(self.attempts) - slots + 1
        if not 0 < more <= look_ahead:
            return NO_ROOM
        cpu, memory = cpu / slots, memory / slots
        if any(used > cpu or taken > memory for used, taken in self.requests):
            return NO_ROOM
        return -more / slots, cpu, memory, images

    def view(self) -> dict[str, Any]:
        """Return {Name, Host, Up, Reason, Slots, Taken, Cpu, TakenCpu, Memory, TakenMemory, Images}; 0 for no limit."""
        node = self.node or Node(self.name, "", 0)
        return {
            "Name": self.name,
            "Host": node.host,
            "Up": self.is_up,
            "Reason": self.reason,
            "Slots": node.slots,
            "Taken": len(self.attempts),
            "Cpu": node.cpu,
            "TakenCpu": self.cpu,
            "Memory": node.memory,
            "TakenMemory": self.memory,
            "Images": sorted(node.images),
        }

    def could_ever(self, request: Request) -> bool:
        """Return whether it has room for `request` when nothing else runs there."""
        slots, cpu, memory, images = self.whole()
        return slots >= 1 and cpu >= request.cpu and memory >= request.memory and images | request.image == images

    def lack(self, request: Request) -> float:
        """Return how far it is from having room for `request`, as a part of all its room; 0: it has room."""
        slots, cpu, memory, _ = self.whole()
        return max(
            (len(self.attempts) + 1 - slots) / slots,
            (self.cpu + request.cpu - cpu) / cpu if cpu < inf else 0.0,
            (self.memory + request.memory - memory) / memory if memory < inf else 0.0,
            0.0,
        )
