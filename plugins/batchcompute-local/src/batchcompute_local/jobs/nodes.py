"""The nodes of a cluster, and which of them has room for an instance. No I/O.

An instance goes to a node with all that it requests; where none has it now, it may be claimed ahead on a node that has begun as
many as it can, behind others. A request that has to wait keeps one node free for itself, and others go on elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Iterable
from typing import Any, NamedTuple

from batchcompute_local.executors.base import Node
from batchcompute_local.jobs.claim_ahead import ClaimAhead
from batchcompute_local.jobs.free_room import NO_ROOM, FreeRoom
from batchcompute_local.jobs.model import Job, Task
from batchcompute_local.jobs.node_room import NodeRoom, Request
from batchcompute_local.jobs.placement import Hold, Placement, Rank, rank_of
from batchcompute_local.jobs.scheduler import Scheduler
from batchcompute_local.plan import TaskSpec


class _Reservation(NamedTuple):
    """A node that is kept for a request that waits, the first of all such."""

    rank: Rank
    request: Request
    room: NodeRoom
    lack: float
    """How far the node is from having room, see `NodeRoom.lack`."""


class Nodes(Placement):
    """`images` are the ids of service.toml: an instance with one of them runs on nodes that have it, all others on any node."""

    def __init__(self, ahead_seconds: float, images: Collection[str] = ()) -> None:
        super().__init__()
        self.slots = 0
        self._bits = {image: 1 << position for position, image in enumerate(sorted(images))}
        self._rooms: dict[str, NodeRoom] = {}
        self._by_number: list[NodeRoom | None] = []
        self._unused: list[int] = []
        self._whole, self._free, self._ahead = FreeRoom(), FreeRoom(), FreeRoom()
        self._ahead_seconds = ahead_seconds
        self._claim_ahead = ClaimAhead(ahead_seconds)
        self._look_ahead = 0
        self._reserved: _Reservation | None = None
        self._stale: deque[NodeRoom] = deque()
        """Nodes that changed since they were put into the trees. Most have room that is taken again at once."""
        self._blocked: set[Request] = set()
        """Requests that fit nowhere since the last growth."""

    # -- what is live

    def take(self, attempt: str, hold: Hold) -> None:
        """See Placement."""
        name, task = hold
        if name:
            room = self._room(name)
            room.take(attempt, task)
            self._note_stale(room)

    def give_back(self, attempt: str, hold: Hold) -> None:
        """See Placement."""
        name, task = hold
        if name:
            room = self._rooms[name]
            room.give_back(attempt, task)
            self._grow(room)
            self._forget(room)

    # -- find room

    def begin(self, look_ahead: int) -> None:
        """See Placement."""
        if look_ahead != self._look_ahead:
            self._look_ahead = look_ahead
            for room in self._rooms.values():
                self._note_stale(room)

    def has_room(self) -> bool:
        """See Placement. Each task is tried: one that waits may have a node kept for it."""
        return True

    def find(self, job: Job, task: Task) -> str | None:
        """See Placement."""
        request, kept = self.request_of(job.plan.tasks[task.position]), self._reserved
        room = None if request in self._blocked else self._look(request, task)
        if room is None:
            self._blocked.add(request)
            if kept is None or rank_of(job, task) < kept.rank:
                self._reserve(request, rank_of(job, task))
            return None
        if kept is not None and kept.request == request:
            self._drop_reservation()
        return room.name

    def _look(self, request: Request, task: Task) -> NodeRoom | None:
        kept = self._reserved
        if kept is not None and kept.request == request and not kept.lack:
            return kept.room
        while self._stale:
            room = self._stale[0]
            if (kept is None or kept.room is not room) and room.fits(request):
                return room
            self._update(self._stale.popleft())
        number = self._free.find((1, *request))
        if number is None:
            per_slot = (task.ahead or self._claim_ahead).per_slot()
            number = self._ahead.find((-per_slot, *request), first=False)
        return None if number is None else self._by_number[number]

    def request_of(self, spec: TaskSpec) -> Request:
        """See Placement."""
        return Request(spec.cpu, spec.memory, self._bits.get(spec.image_id, 0))

    def reopened(self, scheduler: Scheduler) -> Iterable[Hashable]:
        """See Placement."""
        kept = self._reserved
        if kept is not None:
            first = scheduler.first_parked(kept.request)
            if first is None:
                self._drop_reservation()
            else:
                self._reserved = kept._replace(rank=rank_of(*first))
        if not self.has_grown:
            return ()
        self.has_grown = False
        self._blocked.clear()
        found, possible = [], []
        for one in sorted(scheduler.parked(), key=lambda one: rank_of(one.job, one.task)):
            if isinstance(one.request, Request):
                if self._look(one.request, one.task) is not None:
                    found.append(one.request)
                elif self._could_ever(one.request):
                    possible.append(one.request)
        # the first that could go on some day is tried, so that a node is kept for it
        return found + possible[:1] if self._reserved is None else found

    def note_end(self, task: Task | None, seconds: float) -> None:
        """See Placement."""
        self._claim_ahead.note_end(seconds)
        if task is not None:
            task.ahead = task.ahead or ClaimAhead(self._ahead_seconds)
            task.ahead.note_end(seconds)

    def note_return(self, task: Task | None) -> None:
        """See Placement."""
        if task is not None:
            task.ahead = task.ahead or ClaimAhead(self._ahead_seconds)
            task.ahead.note_return()

    # -- one node is kept for a request that waits

    def _reserve(self, request: Request, rank: Rank) -> None:
        kept = self._reserved
        if kept is not None and kept.request == request:
            self._reserved = kept._replace(rank=rank)
            return
        number = self._whole.find((1, *request))
        room = None if number is None else self._by_number[number]
        if room is None:
            return  # no node that is there could ever satisfy it
        self._drop_reservation()
        self._reserved = _Reservation(rank, request, room, room.lack(request))
        self._note_stale(room)

    def _could_ever(self, request: Request) -> bool:
        return self._whole.find((1, *request)) is not None

    def _drop_reservation(self) -> None:
        kept, self._reserved = self._reserved, None
        if kept is not None:
            self._grow(kept.room)

    def _move_reservation(self, room: NodeRoom) -> None:
        """Keep `room` instead if it is nearer to having room: so what waits does not wait for a node with one long instance."""
        kept = self._reserved
        if kept is None or (not kept.lack and kept.room is not room) or not room.could_ever(kept.request):
            return
        lack = room.lack(kept.request)
        if kept.room is room or lack < kept.lack:
            self._reserved = kept._replace(room=room, lack=lack)
            self._note_stale(kept.room)

    def reset(self) -> None:
        """See Placement."""
        self._drop_reservation()
        self.has_grown = True

    # -- nodes

    def note_up(self, node: Node) -> Iterable[str]:
        """See Placement."""
        room = self._room(node.name)
        if self._reserved is not None and self._reserved.room is room:
            self._drop_reservation()  # it may have less now
        self._count_slots(room, -1)
        room.go_up(node, sum(self._bits.get(image, 0) for image in node.images))
        self._count_slots(room, +1)
        self._whole.set(room.number, room.whole)
        self._grow(room)
        return tuple(room.attempts)

    def note_down(self, name: str, reason: str) -> None:
        """See Placement."""
        room = self._rooms.get(name)
        if room is None:
            return
        self._count_slots(room, -1)
        room.go_down(reason)
        if self._reserved is not None and self._reserved.room is room:
            self._reserved, self.has_grown = None, True
        self._whole.set(room.number, NO_ROOM)
        self._note_stale(room)
        self._forget(room)

    def _count_slots(self, room: NodeRoom, sign: int) -> None:
        if room.is_up and room.node is not None:
            self.slots += sign * room.node.slots

    def _room(self, name: str) -> NodeRoom:
        room = self._rooms.get(name)
        if room is None:
            number = self._unused.pop() if self._unused else len(self._by_number)
            room = self._rooms[name] = NodeRoom(name, number)
            self._by_number[number : number + 1] = [room]
        return room

    def _forget(self, room: NodeRoom) -> None:
        """Forget a node that is gone, once nothing of it is left: names of nodes may be new each day."""
        if not room.is_up and not room.attempts and self._rooms.pop(room.name, None) is room:
            if room.is_stale:
                self._stale.remove(room)
            self._update(room)
            self._by_number[room.number] = None
            self._unused.append(room.number)

    def _grow(self, room: NodeRoom) -> None:
        self.has_grown = True
        self._move_reservation(room)
        self._note_stale(room)

    def _note_stale(self, room: NodeRoom) -> None:
        if not room.is_stale:
            room.is_stale = True
            self._stale.append(room)

    def _update(self, room: NodeRoom) -> None:
        """Put a node into the trees with the room that it has now."""
        room.is_stale = False
        is_kept = self._reserved is not None and self._reserved.room is room
        free = NO_ROOM if is_kept else room.free()
        ahead = NO_ROOM if is_kept or free is not NO_ROOM else room.ahead(self._look_ahead)
        if room.has_free or free is not NO_ROOM:
            room.has_free = free is not NO_ROOM
            self._free.set(room.number, free)
        if room.has_ahead or ahead is not NO_ROOM:
            room.has_ahead = ahead is not NO_ROOM
            self._ahead.set(room.number, ahead)

    # -- in words

    def describe_never(self, spec: TaskSpec) -> str:
        """See Placement."""
        request = self.request_of(spec)
        if not self.slots:
            return "no node is there"
        if self._could_ever(request):
            return ""
        _, cpu, memory, images = self._whole.most
        if request.image and not request.image & images:
            return f"no node has image {spec.image_id}"
        if spec.cpu > cpu:
            return f"no node has Cpu {spec.cpu}; the largest has {cpu:.0f}"
        if spec.memory > memory:
            return f"no node has Memory {spec.memory} ({spec.memory / 1024:.3g} GB); the largest has {memory:.0f}"
        return f"no node has all of {self._describe(spec)}"

    def describe_lack(self, spec: TaskSpec) -> str:
        """See Placement."""
        request, kept = self.request_of(spec), self._reserved
        if kept is not None and kept.request == request:
            return f"asks for {self._describe(spec)}; no node has it free now, and {kept.room.name} is kept for it"
        if not any(room.fits(request) for room in self._stale) and self._free.find((1, *request)) is None:
            return f"asks for {self._describe(spec)}; no node has it free now"
        return ""

    def _describe(self, spec: TaskSpec) -> str:
        image = f" and image {spec.image_id}" if spec.image_id in self._bits else ""
        return f"Cpu {spec.cpu} and Memory {spec.memory}{image}"

    def describe(self) -> list[dict[str, Any]]:
        """See Placement."""
        return [room.view() for room in tuple(self._rooms.values())]
