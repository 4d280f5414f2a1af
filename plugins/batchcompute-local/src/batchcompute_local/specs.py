"""The hooks of this package: more program types and executors, from packages with entry points in this group.

[project.entry-points.batchcompute_local]
perl = "my_package.perl"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from batchcompute_local.executors.base import AnyExecutor
from batchcompute_local.paths import Layout
from batchcompute_local.programs import ProgramType
from batchcompute_local.settings import Settings

GROUP = "batchcompute_local"
F = TypeVar("F", bound=Callable[..., Any])
_spec = pluggy.HookspecMarker(GROUP)
_impl = pluggy.HookimplMarker(GROUP)


def hookimpl(function: F) -> F:
    """Mark a function as one of the hooks below."""
    return _impl(function)


@dataclass(frozen=True)
class ExecutorContext:
    """Values for making an executor.

    `prefix` is the beginning of all job ids of this service. `is_job` returns True if a job still exists, by what was committed
    last; it may be called from any thread, and raises sqlite3.Error. `options` is the table `[executors.<name>]` of service.toml.
    """

    layout: Layout
    settings: Settings
    prefix: str
    is_job: Callable[[str], bool]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ExecutorType:
    """An executor, with its name in the setting `executor`. `make` raises ValueError for bad options."""

    name: str
    make: Callable[[ExecutorContext], AnyExecutor]


@_spec
def register_program_types() -> Iterable[ProgramType]:
    """Return more program types; the built-in ones cannot be replaced."""
    raise NotImplementedError


@_spec
def register_executors() -> Iterable[ExecutorType]:
    """Return more executors; see docs/executors.md."""
    raise NotImplementedError
