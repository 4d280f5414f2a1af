"""`python -m batchcompute.cli.reference`: docs/cli.md, made from the commands themselves.

With the name of a folder, as in `... reference docs`, writes the pages there.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from . import cli, failures
from .session import Option
from .table import COMMANDS

_OF_PLUGINS = ("local", "serve")
"""The commands that batchcompute-local adds; those of other plugins belong to their own pages."""
_HEAD = """\
# The command line

<!-- made by `python -m batchcompute.cli.reference docs`; a test compares -->

`batchcompute NOUN VERB`, and a few commands without a verb. Tables are for people, `--format json` is for programs: what it
prints is described in [cli-json.md](cli-json.md). Results go to stdout; progress, questions and errors go to stderr. Without
`--endpoint` and without settings, jobs run on this machine.
"""


def page() -> str:
    """The text of docs/cli.md."""
    ctx = click.Context(cli, info_name="batchcompute")
    parts = [
        _HEAD,
        "## Global options\n",
        "They may stand anywhere on the line.\n",
        _options(ctx, [param for param in cli.params if isinstance(param, Option)]),
    ]
    parts.append(f"## Exit codes\n\n{_exit_codes()}")
    for name in [*COMMANDS, *_OF_PLUGINS]:
        command = cli.get_command(ctx, name)
        if command is None:
            raise SystemExit(f"there is no command {name}: install batchcompute-local")
        parts += _commands(click.Context(command, info_name=name, parent=ctx), command, 2)
    return "\n".join(parts)


def _commands(ctx: click.Context, command: click.Command, depth: int) -> Iterator[str]:
    """The section of a command, and of those below it."""
    yield f"{'#' * depth} {ctx.command_path}\n"
    if isinstance(command, click.Group):
        yield _text(command)
        for verb in command.list_commands(ctx):
            below = command.get_command(ctx, verb)
            assert below is not None, verb  # noqa: S101  # it was listed
            yield from _commands(click.Context(below, info_name=verb, parent=ctx), below, depth + 1)
        return
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    examples = "".join(f"\n$ {example}" for example in getattr(command, "examples", ()))
    yield f"```text\n{usage}\n{examples}".rstrip("\n") + "\n```\n"
    yield _text(command)
    own = [param for param in command.params if not isinstance(param, Option)]
    if any(param.param_type_name == "option" for param in own):
        yield _options(ctx, own)


def _text(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"


def _options(ctx: click.Context, params: list[click.Parameter]) -> str:
    records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
    rows = "".join(f"| `{_cell(names)}` | {_cell(text)} |\n" for names, text in records)
    return f"| option | meaning |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _exit_codes() -> str:
    """The table at the head of failures.py."""
    lines = [line.partition(" ") for line in (failures.__doc__ or "").splitlines() if line[:1].isdigit()]
    return "| code | meaning |\n|---|---|\n" + "".join(f"| {code} | {_cell(text)} |\n" for code, _, text in lines)


def main(arguments: list[str]) -> None:
    """Print the page, or write it into a folder."""
    if not arguments:
        click.echo(page(), nl=False)
        return
    Path(arguments[0], "cli.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
