"""The argument JOB of many commands, which the Tab key completes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class JobType(click.types.StringParamType):
    """Id of a job, or what stands for one (see `finding.find_jobs`)."""

    name = "job"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the ids of the jobs that are there."""
        from .completion import jobs

        return jobs(ctx, param, incomplete)


def job_argument(several: bool = False) -> Callable[[Any], Any]:
    """Return the argument JOB, or JOB... for `several`."""
    if several:
        return click.argument("jobs", metavar="JOB...", type=JobType(), nargs=-1, required=True)
    return click.argument("job", metavar="JOB", type=JobType())
