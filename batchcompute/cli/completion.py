"""`batchcompute completion`: shell completion by click; job ids and task names come from the service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from .session import Session, command

if TYPE_CHECKING:
    from .. import Client, Job

_SECONDS = 3.0
_MOST = 50
_SHELLS = ("bash", "zsh", "fish")
_EXAMPLES = (
    """eval "$(batchcompute completion bash)"                                         # in ~/.bashrc""",
    """eval "$(batchcompute completion zsh)"                                          # in ~/.zshrc""",
    """batchcompute completion fish > ~/.config/fish/completions/batchcompute.fish    # once""",
)


@command("completion", examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(session: Session, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, job ids and task names."""
    from . import cli

    found = get_completion_class(shell)
    assert found is not None, shell  # noqa: S101  # the choices are click's own
    script = found(cli, {}, "batchcompute", "_BATCHCOMPUTE_COMPLETE").source()
    if session.json:
        from .output import emit_json

        emit_json({"shell": shell, "script": script})
    else:
        click.echo(script)


def jobs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a job id, the newest first, or the name of one job; for an argument's `shell_complete`."""

    def ask(client: Client) -> list[CompletionItem]:
        from .finding import newest_first

        jobs = newest_first(client.list_jobs(timeout=_SECONDS))
        found = [CompletionItem(job.JobId, help=_help(job)) for job in jobs if job.JobId.startswith(incomplete)]
        names = Counter(job.JobName for job in jobs)
        if incomplete:
            found += [
                CompletionItem(job.JobName, help=_help(job))
                for job in jobs
                if names[job.JobName] == 1 and job.JobName.startswith(incomplete)
            ]
        return found[:_MOST]

    return _asked(ctx, ask)


def _help(job: Job) -> str:
    return f"{job.JobName} {job.State}"


def tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a task name of the job before it on the line."""
    job = ctx.params.get("job")

    def ask(client: Client) -> list[CompletionItem]:
        from .finding import find_job

        dag = client.get_job_description(find_job(client, str(job)), timeout=_SECONDS).TaskDag
        return [CompletionItem(name) for name in dag.TaskDescMap if name.startswith(incomplete)]

    return _asked(ctx, ask) if job else []


def _asked(ctx: click.Context, ask: Callable[[Client], list[CompletionItem]]) -> list[CompletionItem]:
    """Ask a Client. Errors are not shown, since the user is typing a line."""
    import warnings

    from ..errors import BatchComputeError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with ctx.ensure_object(Session).client() as client:
                return ask(client)
        except (BatchComputeError, click.ClickException, LookupError, OSError, TypeError, ValueError):
            return []
