"""The option --data-dir of the commands of the service, and what they ask."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from batchcompute.cli.cures import find_cure
from batchcompute.cli.failures import Refused

Command = TypeVar("Command", bound=Callable[..., Any])


def in_folder(command: Command) -> Command:
    """Pass the command a `layout`: that of --data-dir, else of the data folder of this user.

    Its own errors exit with 1, wrong settings with 2.
    """

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The data folder. [default: $BATCHCOMPUTE_DATA_DIR, else the user's data folder]",
    )
    @wraps(command)
    def run(*args: Any, data_dir: Path | None, **options: Any) -> None:
        from batchcompute_local.errors import DaemonError, SettingsError
        from batchcompute_local.http.accounts import AccountError
        from batchcompute_local.paths import Layout, default_data_dir

        try:
            command(*args, layout=Layout.at(data_dir or default_data_dir()), **options)
        except (DaemonError, AccountError) as error:
            kind = Refused if isinstance(error.__cause__, SettingsError) else click.ClickException
            failed = kind(str(error))
            cure = find_cure(error)
            if cure:
                failed.add_note(cure)
            raise failed from error

    return run  # type: ignore[return-value]  # click calls it, with other arguments


def confirm(question: str) -> None:
    """Ask the user. Raises Abort if the answer is no, Refused if there is no terminal."""
    if not sys.stdin.isatty():
        raise Refused("there is no terminal to ask on; use --yes")
    click.confirm(question, abort=True, err=True)
