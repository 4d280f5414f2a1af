"""The hooks of this package: further program types and executors, for packages with entry points in this group.

[project.entry-points.batchcompute_local]
perl = "my_package.perl"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pluggy

from batchcompute_local.executors.base import Executor
from batchcompute_local.paths import Layout
from batchcompute_local.programs import ProgramType
from batchcompute_local.settings import Settings

GROUP = "batchcompute_local"
F = TypeVar("F", bound=Callable[..., Any])
_spec = pluggy.HookspecMarker(GROUP)
_impl = pluggy.HookimplMarker(GROUP)


def hookimpl(function: F) -> F:
    """Marks a function as one of the hooks below."""
    return _impl(function)


@dataclass(frozen=True)
class ExecutorContext:
    """What an executor is made with.

    `prefix` is what the ids of all jobs of this service begin with, `is_job` tells whether a job still exists (only
    while `Executor.open` runs), `options` is the table `[executors.<name>]` of service.toml.
    """

    layout: Layout
    settings: Settings
    prefix: str
    is_job: Callable[[str], bool]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ExecutorType:
    """An executor by the name that the setting `executor` gives. `make` raises ValueError for bad options."""

    name: str
    make: Callable[[ExecutorContext], Executor]


@_spec
def register_program_types() -> Iterable[ProgramType]:
    """Values of ProgramType besides python, php and java, which stay as they are."""
    raise NotImplementedError


@_spec
def register_executors() -> Iterable[ExecutorType]:
    """Places where instances run besides this machine; see docs/executors.md."""
    raise NotImplementedError
