"""The command line. Each command imports its modules when it runs, so that `--help` stays fast."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NoReturn

import click

from .. import __version__
from .session import Session, global_options, write_examples
from .table import COMMANDS, OTHER_NAMES, Entry

_EXAMPLES = (
    "batchcompute demo",
    "batchcompute job run -n 4 --pack . -- python worker.py --size 10",
    "batchcompute job submit job.json --wait",
    "batchcompute job list --state Failed --format json",
    "batchcompute job show last",
)
_LONGEST_LINE = 100
_GLOBAL_OPTIONS = "Options of all commands, as --endpoint and --format: batchcompute --help"


class Noun(click.Group):
    """The verbs of a noun. A verb has other names as well: those of `table.OTHER_NAMES`."""

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(name, help=summary, no_args_is_help=True)
        self.params.extend(global_options())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = real_name(cmd_name, self.list_commands(ctx))
        return None if verb is None else self.verb(ctx, verb)

    def verb(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return the command of a verb."""
        return super().get_command(ctx, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _check_known(self, ctx, args)
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs only: with the global options the help of `job` would be longer than a screen of 24 lines."""
        self.format_commands(ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        others = other_names(self.list_commands(ctx))
        if others:
            with formatter.section("Other names"):
                formatter.write_text("; ".join(f"{', '.join(words)} for {verb}" for verb, words in others.items()))
        formatter.write_paragraph()
        formatter.write_text(_GLOBAL_OPTIONS)


class _BuiltIn(Noun):
    """A noun whose verbs are imported at their first use."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, entry.summary)
        self._verbs = entry.verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    def verb(self, ctx: click.Context, name: str) -> click.Command | None:
        return _imported(self._verbs[name])


def real_name(word: str, verbs: Sequence[str]) -> str | None:
    """Return the verb that a word names, among those of a noun; None if there is none."""
    if word in verbs:
        return word
    return next((verb for verb in OTHER_NAMES.get(word, ()) if verb in verbs), None)


def other_names(verbs: Sequence[str]) -> dict[str, list[str]]:
    """Return the other names of the verbs of a noun, by verb."""
    found: dict[str, list[str]] = {}
    for word in OTHER_NAMES:
        verb = real_name(word, verbs)
        if verb is not None and word not in verbs:
            found.setdefault(verb, []).append(word)
    return found


class _Root(click.Group):
    """The built-in commands, and those of installed plugins. Plugins are loaded only if necessary."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_summaries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _built_in(cmd_name) if cmd_name in COMMANDS else _of_plugins().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _check_known(self, ctx, args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit with 1
            from .failures import PIPE

            raise click.exceptions.Exit(PIPE) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_summaries().items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(_EXAMPLES, formatter)


def _check_known(group: click.Group, ctx: click.Context, args: Sequence[str]) -> None:
    """Raise UsageError for a word that is not a command, with the nearest command."""
    if args and not args[0].startswith("-") and group.get_command(ctx, args[0]) is None:
        from ..messages import did_you_mean

        names = group.list_commands(ctx)
        ctx.fail(f"there is no command {args[0]!r}{did_you_mean(args[0], names)}; commands: {', '.join(names)}")


@cache
def _built_in(name: str) -> click.Command:
    entry = COMMANDS[name]
    return _imported(entry.command) if entry.command else _BuiltIn(name, entry)


def _imported(where: str) -> click.Command:
    module, _, attribute = where.partition(":")
    found: Any = getattr(import_module(f".{module}", __name__), attribute)
    assert isinstance(found, click.Command), where  # noqa: S101  # the table is ours
    return found


def _summaries() -> Mapping[str, str]:
    """Return the help line of every command, those of plugins included."""
    from . import remembered

    own = {name: entry.summary for name, entry in COMMANDS.items()}
    theirs = remembered.load()
    if theirs is None:
        from ..errors import BatchComputeError

        try:
            theirs = {name: _line(item) for name, item in _of_plugins().items()}
        except BatchComputeError as error:  # a wrong setting must not break the help
            click.echo(f"Commands of plugins cannot be shown: {error}", err=True)
            return own
    return theirs | own


@cache
def _of_plugins() -> dict[str, click.Command]:
    from ..configuration import hooks_for
    from . import remembered

    found = hooks_for(None).commands()
    remembered.save({name: _line(item) for name, item in found.items()})
    return found


def _line(command: click.Command) -> str:
    return command.get_short_help_str(_LONGEST_LINE)


@click.group(cls=_Root, context_settings={"help_option_names": ["-h", "--help"], "obj": None})
@click.version_option(__version__, prog_name="batchcompute")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run BatchCompute jobs, on this machine or in a region."""
    ctx.ensure_object(Session)


cli.params.extend(global_options())


def main() -> NoReturn:
    """Run the command line. Exit with the codes of `cli.failures`. Errors are one sentence, without a traceback."""
    from .failures import guarded

    sys.exit(guarded(cli))
