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


@cli.group()
def config() -> None:
    """The settings that a Client finds."""


@config.command("show")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def config_show(style: str) -> None:
    """Print every setting with the file and line, or the variable, that it comes from. Secrets are hidden."""
    from .settings import show

    show(style)


@cli.group()
def plugin() -> None:
    """What extends the SDK here."""


@plugin.command("list")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def plugin_list(style: str) -> None:
    """Print every plugin with its distribution, version and hooks, in the order in which they are asked; and what was
    skipped, and why."""
    from .plugins import show

    show(style)


def main() -> None:
    """The entry point: errors and warnings are one sentence, without a traceback."""
    import warnings

    from ..errors import BatchComputeError

    warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
    try:
        cli()
    except BatchComputeError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
