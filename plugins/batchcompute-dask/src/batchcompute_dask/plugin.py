"""The hooks of this package."""

from __future__ import annotations

from collections.abc import Iterable

from batchcompute_local.specs import ExecutorContext, ExecutorType, hookimpl

from batchcompute_dask.executor import DaskExecutor
from batchcompute_dask.settings import read_options


@hookimpl
def register_executors() -> Iterable[ExecutorType]:
    """The executor `dask`."""
    return [ExecutorType("dask", _make)]


def _make(context: ExecutorContext) -> DaskExecutor:
    return DaskExecutor(context.layout, context.settings, context.prefix, read_options(context.options), context.is_job)
