"""What the daemon answers about itself, to its user only: its status, its nodes and its installation."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from batchcompute_local import __version__
from batchcompute_local.installation import describe_installation, is_gone

if TYPE_CHECKING:
    from batchcompute_local.executors.base import AnyExecutor
    from batchcompute_local.jobs.engine import Engine

INSTALLATION = "/-/installation"
"""This one reads files, so it is not answered on the event loop."""
_log = logging.getLogger(__name__)


class SelfStatus:
    """One per daemon. `more` has what never changes; each of `sources` says what is wrong at the moment, in words."""

    def __init__(
        self,
        engine: Engine,
        executor: AnyExecutor,
        more: Mapping[str, Any],
        sources: Sequence[Callable[[], Sequence[str]]],
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._more = more
        self._sources = sources

    def answers(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Return what answers a GET, by path."""
        return {
            "/-/status": self.status,
            INSTALLATION: describe_installation,
            "/-/nodes": lambda: {"nodes": self._engine.nodes(), "executor": describe(self._executor)},
        }

    def status(self) -> dict[str, Any]:
        """Return what `local status` and `doctor` show."""
        slots = self._engine.slots()
        containment = getattr(self._executor, "containment", "")
        return {
            "version": __version__,
            "pid": os.getpid(),
            "idle": not self._engine.busy,
            "active_jobs": self._engine.active_jobs,
            "slots": {"total": slots["Total"], "taken": slots["Taken"], "by_job": slots["ByJob"]},
            "interpreter": sys.executable,
            "gone": is_gone(),
            **({"containment": containment} if containment else {}),
            **self._more,
            "troubles": [text for source in self._sources for text in source()],
        }


def describe(executor: AnyExecutor) -> dict[str, str]:
    """Return what an executor says of itself, by names of its own. It may be one of others: its errors are none of ours."""
    try:
        found: Mapping[str, object] = getattr(executor, "describe", dict)()
        return {str(name): str(text) for name, text in found.items()}
    except Exception as error:
        _log.warning("the executor cannot describe itself: %s: %s", type(error).__name__, error)
        return {}
