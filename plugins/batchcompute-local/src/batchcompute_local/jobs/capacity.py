"""Admission by Cpu and Memory (protocol 2.6): running instances take no more than there is. No I/O but the machine's size."""

from __future__ import annotations

import os
from collections.abc import Iterator

from batchcompute_local.plan import JobPlan, TaskSpec


class Capacity:
    """`cpu` in hundredths of a core, `memory` in MB; 0: not counted. What asks for more than there is runs alone."""

    def __init__(self, cpu: int = 0, memory: int = 0) -> None:
        self.cpu = cpu
        self.memory = memory
        self._held: dict[str, TaskSpec] = {}

    def hold(self, attempt: str, task: TaskSpec) -> None:
        """Count what `attempt`, an instance of `task`, takes until `release`."""
        if self.cpu or self.memory:
            self._held[attempt] = task

    def release(self, attempt: str) -> None:
        """Free what `attempt` took: nothing of it runs any more."""
        self._held.pop(attempt, None)

    def admission(self) -> Admission:
        """Return what is free now."""
        return Admission(self, list(self._held.values()))

    def describe_lack(self, task: TaskSpec) -> str:
        """Say what is missing for one more instance of `task`; empty if it fits."""
        if self.admission().admit(task):
            return ""
        held = list(self._held.values())
        wants = [
            ("Cpu", task.cpu, self.cpu, self.cpu - sum(each.cpu for each in held)),
            ("Memory", task.memory, self.memory, self.memory - sum(each.memory for each in held)),
        ]
        lacks = [
            f"{name} {wanted}, more than the setting {name.lower()} ({limit}) has: it runs alone"
            if wanted > limit
            else f"{name} {wanted}, but {max(free, 0)} of {limit} are free"
            for name, wanted, limit, free in wants
            if limit and wanted > free
        ]
        return f"asks for {', and for '.join(lacks)}"

    def notes(self, plan: JobPlan) -> Iterator[str]:
        """Say for the log which tasks ask for more than there is."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        for name, limit, machine in (
            ("Cpu", self.cpu, 100 * (os.cpu_count() or 1)),
            ("Memory", self.memory, pages),
        ):
            most = max(task.cpu if name == "Cpu" else task.memory for task in plan.tasks)
            if limit and most > limit:
                yield f"asks for {name} {most}, the setting {name.lower()} is {limit}: it runs alone"
            elif most > machine:
                yield f"asks for {name} {most}, this machine has {machine}: it runs all the same"


class Admission:
    """Free part of a capacity while instances are picked one after another."""

    def __init__(self, capacity: Capacity, taken: list[TaskSpec]) -> None:
        self._capacity = capacity
        self._empty = not taken
        self._cpu = sum(task.cpu for task in taken)
        self._memory = sum(task.memory for task in taken)

    def admit(self, task: TaskSpec) -> bool:
        """Return whether one more instance of `task` fits; if so, count it."""
        limits = self._capacity
        cpu, memory = self._cpu + task.cpu, self._memory + task.memory
        over = (limits.cpu and cpu > limits.cpu) or (limits.memory and memory > limits.memory)
        if over and not self._empty:
            return False
        self._cpu, self._memory, self._empty = cpu, memory, False
        return True
