"""The command line. Each command imports what it needs when it runs, so that `--help` stays fast."""

from __future__ import annotations

import sys

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
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
