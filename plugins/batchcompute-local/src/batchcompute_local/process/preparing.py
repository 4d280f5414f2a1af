"""Prepare attempts in the threads of `patience`: a batch is shared by its threads, so that one that waits holds up one launch."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.executors.base import Launch
from batchcompute_local.exhaustion import is_exhausted
from batchcompute_local.files import create_log
from batchcompute_local.process.attempt_logs import keep_log
from batchcompute_local.process.patience import NoAnswerError, access
from batchcompute_local.process.sending import Sending
from batchcompute_local.process.workspace import PreparationError, Prepared, Workspaces
from batchcompute_local.records import Order
from batchcompute_local.settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a launch: `prepared`; or a `reason` why it cannot run; or neither, if the disk or the machine is full."""

    launch: Launch
    prepared: Prepared | None = None
    reason: str = ""


class Batch:
    """Launches that are prepared together, by one thread after the other. Thread-safe."""

    def __init__(self, launches: Iterable[Launch], is_quick: bool = False) -> None:
        self.is_quick = is_quick
        """True if no launch may take long; one that would is left to others."""
        self.sent = threading.Event()
        """Set when a thread has sent what it prepared."""
        self._left = deque(launches)
        self._done: deque[Outcome] = deque()
        self.failures: deque[tuple[Launch, str]] = deque()
        """What cannot run, and why; it is still to be reported."""

    def take(self) -> Iterator[Launch]:
        """Yield what no thread has begun."""
        while True:
            try:
                yield self._left.popleft()
            except IndexError:
                return

    def add(self, outcome: Outcome) -> None:
        """Note what became of a launch."""
        self._done.append(outcome)

    def take_outcomes(self) -> list[Outcome]:
        """Return what was added and not returned yet."""
        found = []
        while True:
            try:
                found.append(self._done.popleft())
            except IndexError:
                return found


class Preparer:
    """Prepares launches. Thread-safe."""

    def __init__(self, workspaces: Workspaces, settings: Settings, sending: Sending) -> None:
        self._sending = sending
        self._workspaces = workspaces
        self._settings = settings

    def prepare(self, launch: Launch, is_quick: bool = False) -> Outcome | None:
        """Prepare an instance; with `is_quick` only if it takes a moment, else None.

        Raises NoAnswerError if that was given up meanwhile.
        """
        try:
            if is_quick and not self._workspaces.is_at_hand(launch.task):
                return None
            self._keep_logs(launch)
            prepared = self._workspaces.prepare(launch)
            self._sending.begin(launch.attempt, (prepared.stdout, prepared.stderr))
            return Outcome(launch, prepared)
        except NoAnswerError as error:
            if error.is_late:
                raise
            return Outcome(launch, reason=str(error))
        except (PreparationError, OSError) as problem:
            return Outcome(launch, reason="" if is_exhausted(problem) else str(problem))
        except Exception as error:
            _log.exception("%s could not be prepared", launch.attempt)
            return Outcome(launch, reason=f"the service could not prepare it: {type(error).__name__}")

    def logs(self, launch: Launch) -> tuple[Path, ...]:
        """Return the logs of a launch that may have to be sent; none if they cannot be written."""
        if not self._settings.buckets:
            return ()
        try:
            return self._workspaces.logs(launch)
        except PreparationError:
            return ()
        except NoAnswerError as error:
            if error.is_late:
                raise
            return ()

    def _keep_logs(self, launch: Launch) -> None:
        """Rename the logs of the attempt before this one. Raises PreparationError."""
        earlier = int(launch.attempt.rpartition(".")[2]) - 1
        if earlier < 1:
            return
        for path in self._workspaces.logs(launch):
            try:
                if self._sending.choose([path]):
                    self._sending.keep(path, earlier, self._settings.kept_attempts)
                    continue
                with access(path):
                    keep_log(str(path), earlier, self._settings.kept_attempts)
            except OSError as error:
                _log.warning("%s: the log of an earlier attempt is not kept: %s", launch.attempt, error)

    def order(self, launch: Launch, prepared: Prepared) -> Order:
        """Return the runner's order for a launch that is prepared."""
        own = launch.task.leftover_seconds
        return Order(
            attempt=launch.attempt,
            argv=tuple(prepared.argv),
            cwd=str(prepared.cwd),
            environment=prepared.environment,
            stdout=str(prepared.stdout),
            stderr=str(prepared.stderr),
            timeout=launch.task.timeout,
            grace_seconds=self._settings.grace_seconds,
            leftover_seconds=self._settings.leftover_seconds if own is None else own,
            warm=prepared.warm,
        )

    def explain(self, launch: Launch, reason: str) -> None:
        """Write to its stderr why an instance failed before it began."""
        _log.info("%s failed before it began: %s", launch.attempt, reason)
        try:
            path = self._workspaces.logs(launch)[1]
            with access(path), os.fdopen(create_log(path), "w", errors="backslashreplace") as file:
                file.write(f"batchcompute: {reason}\n")
        except NoAnswerError as error:
            if error.is_late:
                raise
        except (PreparationError, OSError) as error:
            _log.warning("%s: its stderr cannot be written: %s", launch.attempt, error)
