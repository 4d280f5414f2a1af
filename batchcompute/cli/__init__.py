"""The command line. Each command imports what it needs when it runs, so that `--help` stays fast."""

from __future__ import annotations

import sys
from functools import cache

import click


class _Commands(click.Group):
    """The built-in commands, and those of installed plugins, which are looked for only when they may be wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from ..errors import BatchComputeError

        own = super().list_commands(ctx)
        try:
            return sorted({*own, *_of_plugins()})
        except BatchComputeError as error:  # a help must not fail for a setting
            click.echo(f"Commands of plugins cannot be shown: {error}", err=True)
            return own

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _of_plugins().get(cmd_name)


@cache
def _of_plugins() -> dict[str, click.Command]:
    from ..configuration import hooks_for

    return hooks_for(None).commands()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="batchcompute")
def cli() -> None:
    """Run BatchCompute jobs, on this machine or in a region."""


@cli.command()
@click.option("--endpoint", "-e", default="local", show_default=True, help="A region, a domain or a URL.")
def demo(endpoint: str) -> None:
    """Count the primes below 10,000 with a job of two tasks, and show how it goes."""
    from .demo import run

    run(endpoint)


def main() -> None:
    """The entry point: errors are one sentence, without a traceback."""
    from ..errors import BatchComputeError

    try:
        cli()
    except BatchComputeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
