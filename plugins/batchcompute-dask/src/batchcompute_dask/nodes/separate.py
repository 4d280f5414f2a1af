"""A node that does not see the service's folders: what it fetches before attempts begin, and what it sends until they end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from batchcompute_local.executors.base import Event, Launch
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.workspace import log_path
from batchcompute_local.storage import UriError

from batchcompute_dask.messages import LogPiece
from batchcompute_dask.nodes.fetching import Fetcher
from batchcompute_dask.nodes.logs import Logs

_log = logging.getLogger(__name__)
_GiveUp = Callable[[list[Launch], str], None]


class Separate:
    """One per node, for the thread of its event loop. `key` returns the access key of an attempt."""

    def __init__(self, layout: Layout, key: Callable[[str], tuple[str, str]]) -> None:
        self._layout = layout
        self._fetcher = Fetcher(layout)
        self._logs = Logs(layout)
        self._key = key
        self._number = 0
        self.ending: dict[str, Event] = {}
        """Attempts that are over, but whose logs the service does not have."""

    def take(self, launches: Sequence[Launch], give_up: _GiveUp) -> list[Launch]:
        """Take attempts that begin here; return them as they run here: with the interpreter and the PATH of this machine.

        Their logs are no objects here, where a mapping would replace them by the service's. `give_up` gets those for which there
        is no room.
        """
        tasks = {id(each.task): self._without_redirects(each.task) for each in launches}
        taken = []
        for each in launches:
            task, surroundings = tasks[id(each.task)], each.surroundings
            try:
                self._logs.add(each, task)
            except OSError as error:
                give_up([each], f"there is no place for the note about its logs: {error.strerror or error}")
                continue
            own = surroundings and replace(surroundings, interpreter="", path=None)
            taken.append(replace(each, task=task, surroundings=own))
        return taken

    def _without_redirects(self, task: TaskSpec) -> TaskSpec:
        try:
            for path in filter(None, (task.stdout, task.stderr)):
                log_path(self._layout, path, "stdout", "job", task.name, 0)
        except UriError:  # then its attempts fail before they begin, with a message
            return task
        return replace(task, stdout="", stderr="")

    async def fetch(
        self,
        launches: Sequence[Launch],
        go_on: Callable[[list[Launch]], None],
        give_up: _GiveUp,
    ) -> None:
        """Fetch what these need; call `go_on` with those that may begin, `give_up` with those that cannot now, and why."""
        for _, same in groupby(launches, lambda each: id(each.task)):
            found = [*same]
            try:
                await asyncio.to_thread(self._fetcher.fetch, found[0].task, self._key(found[0].attempt))
            except UriError:
                go_on(found)  # it fails, with a message
            except Exception as error:  # whatever it is, none of them may stay live for ever
                _log.warning("%s and others cannot begin", found[0].attempt, exc_info=error)
                give_up(found, str(error) or type(error).__name__)
            else:
                go_on(found)

    def note_received(self, number: int) -> None:
        """The service has the logs of the answer with this number, and of no later one."""
        if number == self._number:
            self._logs.note_received()
        else:
            self._logs.note_lost()

    def take_logs(self, attempts: Iterable[str]) -> tuple[tuple[LogPiece, ...], list[tuple[str, Event]], int]:
        """Return what there is to send, the ends that may be sent with it, and its number (0: nothing)."""
        pieces, whole = self._logs.take([*self.ending], [each for each in attempts if each not in self.ending])
        self._number += bool(pieces)
        return tuple(pieces), [(attempt, self.ending.pop(attempt)) for attempt in whole], self._number if pieces else 0

    def acknowledge(self, attempt: str) -> None:
        """The service has its end."""
        self._logs.remove(attempt)
