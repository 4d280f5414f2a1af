"""`python -m batchcompute.cli.reference docs` writes docs/cli.md from the commands, and docs/cli-json.md from the schemas."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import click

from . import Noun, cli, failures, other_names
from .session import Option
from .table import COMMANDS

_OF_PLUGINS = ("local", "serve")
"""The commands of batchcompute-local; commands of other plugins belong to their own pages."""
_HEAD = """\
# The command line

<!-- made by `python -m batchcompute.cli.reference docs`; a test compares -->

For users of the command line: every command, with its options, examples and exit codes. Commands are `batchcompute NOUN VERB`;
a few have no verb. Tables are for people, `--format json` is for programs: [cli-json.md](cli-json.md) describes that output.
Results go to stdout; progress, questions and errors go to stderr. Without `--endpoint` and without settings, jobs run on this
machine. Name a job by its id, by the beginning or the end of its id, by its name if no other job has it, or by `last`, the
newest job. When the newest job is deleted, `last` names no older one in that terminal or script, so that `job delete last`
twice deletes one job.

`job wait`, and `--wait` of `job submit` and `job run`, show the progress of a job. Ctrl-C does not stop the job; it prints
how to come back. A second Ctrl-C within half a second offers to stop the job.

![Four tasks with a bar each, counts, and the time that is left](images/wait-running.svg)

When an instance fails, the end of its stderr is shown too:

![A failed task, and the traceback of its program](images/wait-failed.svg)

`job show` draws the dependencies of the tasks, and `doctor` checks the setup:

![Four tasks as marks on lanes, with states, counts and times](images/show.svg)

![Findings, each with its cure](images/doctor.svg)
"""

_JSON_HEAD = """\
# What `--format json` prints

<!-- made by `python -m batchcompute.cli.reference docs`; a test compares -->

For users who call the command line from programs: the JSON output of each command. Stdout has one JSON value, in ASCII, and
nothing else. Names are in snake_case, times are texts in UTC such as `2026-11-22T11:27:31Z`, and a value that does not exist yet
is null. A minor version may add fields; only a major version removes some. `schemas.json` in the package `batchcompute.cli` is
the same as JSON Schema; tests check every command against it.
`oss cat` prints the bytes of objects in either format, and `serve` nothing.
"""


def page() -> str:
    """Return the text of docs/cli.md."""
    ctx = click.Context(cli, info_name="batchcompute")
    parts = [
        _HEAD,
        "## Global options\n",
        "They may be anywhere on the line.\n",
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
    """Yield the section of a command, and of its subcommands."""
    yield f"{'#' * depth} {ctx.command_path}\n"
    if isinstance(command, click.Group):
        yield _text(command)
        others = other_names(command.list_commands(ctx)) if isinstance(command, Noun) else {}
        if others:
            named = [f"{', '.join(f'`{word}`' for word in words)} for `{verb}`" for verb, words in others.items()]
            yield f"Other names: {'; '.join(named)}.\n"
        for verb in command.list_commands(ctx):
            below = command.get_command(ctx, verb)
            assert below is not None, verb  # noqa: S101  # it was listed
            yield from _commands(click.Context(below, info_name=verb, parent=ctx), below, depth + 1)
        return
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    examples = "".join(f"\n$ {example}" for example in getattr(command, "examples", ()))
    yield f"```text\n{usage}\n{examples}".rstrip("\n") + "\n```\n"
    yield _text(command)
    own = [param for param in command.params if isinstance(param, click.Option) and not isinstance(param, Option)]
    if own:
        yield _options(ctx, own)


def _text(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "") + "\n"


def _options(ctx: click.Context, params: Sequence[click.Parameter]) -> str:
    records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
    rows = "".join(f"| `{_cell(names)}` | {_cell(text)} |\n" for names, text in records)
    return f"| option | meaning |\n|---|---|\n{rows}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _exit_codes() -> str:
    """Return the table at the top of failures.py."""
    lines = [line.partition(" ") for line in (failures.__doc__ or "").splitlines() if line[:1].isdigit()]
    return "| code | meaning |\n|---|---|\n" + "".join(f"| {code} | {_cell(text)} |\n" for code, _, text in lines)


def json_page() -> str:
    """Return the text of docs/cli-json.md."""
    schema_file = schemas()
    parts = [_JSON_HEAD]
    for name, schema in schema_file["commands"].items():
        parts.append(f"## {name}\n\n{_shape(schema)}")
    parts.append("## Objects\n")
    for name, schema in schema_file["$defs"].items():
        if name != "error":
            parts.append(f"### {name}\n\n{_shape(schema)}")
    parts.append(f"## Errors\n\n{_shape(schema_file['$defs']['error'])}")
    return "\n".join(parts)


def schemas() -> dict[str, Any]:
    """Return the JSON Schema of `--format json`: `$defs`, and `commands` by their names without `batchcompute`."""
    found: dict[str, Any] = json.loads(
        resources.files(__package__).joinpath("schemas.json").read_text(encoding="utf-8")
    )
    return found


def _shape(schema: Mapping[str, Any]) -> str:
    """Describe a schema, with a table of its fields."""
    text = schema.get("description", "")
    if "properties" in schema:
        required = schema.get("required", ())
        rows = "".join(
            f"| `{name}`{'' if name in required else ', optional'} | {_type(field)} | {_cell(field.get('description', ''))} |\n"
            for name, field in schema["properties"].items()
        )
        return f"{text}\n\n| field | type | meaning |\n|---|---|---|\n{rows}"
    what = _type(schema)
    return f"{text} {what[:1].upper()}{what[1:]}.\n" if text else f"{what[:1].upper()}{what[1:]}.\n"


def _type(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    if kinds == "array":
        return f"list of {_type(schema['items'])}"
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def main(arguments: list[str]) -> None:
    """Write the pages into a folder."""
    for name, text in pages().items():
        Path(*arguments, name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Return the text of each page, by its name."""
    return {"cli.md": page(), "cli-json.md": json_page()}


if __name__ == "__main__":
    main(sys.argv[1:])
