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
        self._held = self._held_cpu = self._held_memory = 0

    def take(self, task: TaskSpec) -> None:
        """Count what an instance of `task` takes until `give_back`."""
        self._held += 1
        self._held_cpu += task.cpu
        self._held_memory += task.memory

    def give_back(self, task: TaskSpec) -> None:
        """Free what an instance of `task` took: nothing of it runs any more."""
        self._held -= 1
        self._held_cpu -= task.cpu
        self._held_memory -= task.memory

    def fits(self, task: TaskSpec) -> bool:
        """Return whether there is room for one more instance of `task`."""
        if not self._held:
            return True
        is_over_cpu = self.cpu and self._held_cpu + task.cpu > self.cpu
        return not (is_over_cpu or (self.memory and self._held_memory + task.memory > self.memory))

    def describe_lack(self, task: TaskSpec) -> str:
        """Say what is missing for one more instance of `task`; empty if it fits."""
        if self.fits(task):
            return ""
        wants = [
            ("Cpu", task.cpu, self.cpu, self.cpu - self._held_cpu),
            ("Memory", task.memory, self.memory, self.memory - self._held_memory),
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
