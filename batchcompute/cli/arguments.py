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


class StatesType(click.types.StringParamType):
    """States with commas, of those that are known."""

    name = "states"

    def __init__(self, known: Sequence[str]) -> None:
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the state behind the last comma."""
        from click.shell_completion import CompletionItem

        before, comma, begun = incomplete.rpartition(",")
        found = [state for state in self._known if state.lower().startswith(begun.lower())]
        return [CompletionItem(before + comma + state) for state in found]


def state_option(known: Sequence[str], text: str) -> Callable[[Any], Any]:
    """Return the option --state, which may be repeated, as the argument `states`; the case does not matter. text: its help."""
    choice = click.Choice(known, case_sensitive=False)

    def read(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> tuple[str, ...]:
        return tuple(choice.convert(state.strip(), param, ctx) for states in value for state in states.split(","))

    return click.option(
        "--state", "states", multiple=True, type=StatesType(known), callback=read, metavar="STATES", help=text
    )
