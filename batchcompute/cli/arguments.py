"""The argument JOB of many commands, which the Tab key completes, and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def read_states(known: Sequence[str]) -> Callable[[click.Context, click.Parameter, Sequence[str]], tuple[str, ...]]:
    """Return the callback of --state: it splits at commas, and fails for a state that is not in `known`."""
    choice = click.Choice(known, case_sensitive=False)

    def read(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
        return tuple(choice.convert(state.strip(), param, ctx) for text in value for state in text.split(","))

    return read
