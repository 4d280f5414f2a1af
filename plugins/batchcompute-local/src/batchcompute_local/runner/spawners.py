"""The spawners of a runner: those that are free, and what becomes of one whose group is not empty.

The end of a program is reported over a pipe. If a spawner is killed, its program becomes a child of the runner, a
subreaper, which then learns itself how it ends.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from itertools import count
from pathlib import Path

from batchcompute_local.containment import list_subgroups, remove_group
from batchcompute_local.records import Order
from batchcompute_local.runner.serving import REPORT
from batchcompute_local.runner.spawn import spawn_program
from batchcompute_local.runner.spawner import Spawner, Warmth
from batchcompute_local.runner.warm_pool import WarmPool, find_warmth


class Spawners:
    """The spawners of one runner. `folder` is its folder of groups; None: programs are in no group.

    Then they are children of the runner, or of a warm spawner.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._idle: list[Spawner] = []
        self._warm = WarmPool(self._make)
        self._busy: dict[int, Spawner] = {}
        """The warm spawners without a group that have a program, by its pid."""
        self._abandoned: list[Path] = []
        self._numbers = count(1)
        self.pids: dict[int, Spawner] = {}
        self.reports, self._write_end = os.pipe()
        """The pipe that has the ends of programs."""
        os.set_blocking(self.reports, False)

    def spawn(self, order: Order) -> tuple[int, Spawner | None]:
        """Start the program of `order`; return its pid, and the spawner in whose group it is. Raises OSError, ValueError."""
        warmth = find_warmth(order)
        spawner = self._warm.take(warmth) if warmth is not None else None
        if spawner is not None:
            try:
                return self._spawn_in(spawner, order)
            except OSError as error:
                if spawner.is_usable:
                    raise  # the program cannot be started
                sys.stderr.write(f"runner: {order.attempt} begins in an interpreter of its own: {error.strerror}\n")
        spawner = self._take()
        if spawner is None:
            return spawn_program(order.argv, order.cwd, order.environment, order.stdout, order.stderr), None
        return self._spawn_in(spawner, order)

    def _spawn_in(self, spawner: Spawner, order: Order) -> tuple[int, Spawner | None]:
        try:
            pid = spawner.spawn(order)
        except BaseException:
            self.release(spawner)
            raise
        if spawner.group is not None:
            return pid, spawner
        self._busy[pid] = spawner
        return pid, None

    def read_reports(self) -> list[tuple[int, int]]:
        """Return pid and exit code (the negative signal) of programs that have ended since the last call."""
        try:
            ended = list(REPORT.iter_unpack(os.read(self.reports, REPORT.size * 4096)))
        except BlockingIOError:
            return []
        for pid, _ in ended:
            self._note_free(pid)
        return ended

    def note_end(self, pid: int, code: int = 0) -> None:
        """Note that the child `pid` of this process has ended, with this exit code; it may be a spawner."""
        self._note_free(pid)
        spawner = self.pids.pop(pid, None)
        if spawner is not None:
            if spawner.warmth is not None:
                self._warm.remove(spawner.warmth, spawner, code)
                if spawner.group is not None and spawner.is_usable:
                    self._abandoned.append(spawner.group)
            spawner.close()

    def release(self, spawner: Spawner) -> None:
        """Have `spawner` start other programs, as its group is empty; remove the group if it cannot."""
        self._remove_abandoned()
        subgroups = list_subgroups(spawner.group) if spawner.group is not None else ()
        if not (spawner.is_usable and spawner.is_empty() and all(map(remove_group, subgroups))):
            self._abandon(spawner)
        elif spawner.warmth is not None:
            self._warm.give_back(spawner.warmth, spawner)
        else:
            self._idle.append(spawner)

    def close(self) -> None:
        """End all spawners and remove their groups."""
        for spawner in [*self.pids.values()]:
            spawner.end()
            with suppress(ChildProcessError):
                os.waitpid(spawner.pid, os.WNOHANG)  # one that hangs in a system call is not waited for
            self.note_end(spawner.pid)
            if spawner.group is not None:
                self._abandoned.append(spawner.group)
        self._remove_abandoned()

    def _note_free(self, pid: int) -> None:
        """Note that the program `pid` has ended."""
        spawner = self._busy.pop(pid, None)
        if spawner is not None:
            self.release(spawner)

    def _take(self) -> Spawner | None:
        while self._idle:
            spawner = self._idle.pop()
            if spawner.is_usable:
                return spawner
            self._abandon(spawner)
        return self._make() if self._folder is not None else None

    def _make(self, warmth: Warmth | None = None) -> Spawner | None:
        """Start a spawner; None if that is not possible."""
        group = None
        try:
            if self._folder is not None:
                self._folder.mkdir(exist_ok=True)
                group = next(path for n in self._numbers if not (path := self._folder / str(n)).exists())
            spawner = Spawner(group, self._write_end, warmth)
        except OSError as error:
            how = "without a cgroup" if warmth is None else "in an interpreter of its own"
            sys.stderr.write(f"runner: a program begins {how}, as no spawner can be made: {error}\n")
            if group is not None:
                self._abandoned.append(group)
            return None
        self.pids[spawner.pid] = spawner
        return spawner

    def _abandon(self, spawner: Spawner) -> None:
        spawner.kill()
        if spawner.group is not None:
            self._abandoned.append(spawner.group)
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        if self._abandoned:
            self._abandoned = [group for group in self._abandoned if not remove_group(group)]
