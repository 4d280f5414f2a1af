"""The common part of commands: the global options, anywhere on the line, and the Client that they configure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..client import Client
    from ..hooks import ObjectStore

FORMATS = ("table", "json")
_GLOBAL = "global"
_OBJECTS = "batchcompute-oss:"
"""The beginning of the name of the plugin for objects: its distribution."""


class Session:
    """The values of the global options."""

    def __init__(self) -> None:
        self.endpoint: str | None = None
        self.format = "table"
        self.verbose = False

    @property
    def json(self) -> bool:
        """True for --format json."""
        return self.format == "json"

    def client(self, endpoint: str | None = None) -> Client:
        """Make a Client for --endpoint, else `endpoint`, else the configured endpoint, else region local."""
        from ..client import Client
        from ..configuration import load

        return Client(self.endpoint or endpoint or load().config.endpoint or "local")


def objects_of(client: Client) -> ObjectStore:
    """Return the object store of the region. Raises ConfigError with a hint if there is none."""
    from ..errors import ConfigError

    try:
        return client.objects
    except ConfigError as error:
        error.add_note(advise_objects())
        raise


def advise_objects() -> str:
    """Say what to do in a region without an object store."""
    import warnings
    from importlib.util import find_spec

    from ..configuration import load
    from ..installing import advise
    from .cures import cure_left_out

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the Client has warned before
        skipped = load().hooks().skipped
    for name, why in skipped.items():
        if name.startswith(_OBJECTS):
            return f"the plugin {name} was left out, which is for objects over OSS: {why}; {cure_left_out(why)}"
    if find_spec("batchcompute_oss"):
        return "name the region's OSS as oss.endpoint in the configuration"
    return f"objects over OSS need the plugin batchcompute-oss; {advise('oss')}"


pass_session = click.make_pass_decorator(Session, ensure=True)


class Option(click.Option):
    """A global option: it sets the Session, and is not an argument of the command."""


def global_options(formats: Sequence[str] = FORMATS) -> list[click.Parameter]:
    """Return --endpoint, --profile, --format, --json and --verbose."""
    where = "A region, a domain or a URL. [default: the configuration's, else local]"
    return [
        Option(["--endpoint", "-e"], expose_value=False, callback=_set_endpoint, metavar="WHERE", help=where),
        Option(
            ["--profile", "-p"],
            expose_value=False,
            is_eager=True,
            callback=_set_profile,
            metavar="NAME",
            help="A profile of the configuration.",
        ),
        Option(
            ["--format", "--output", "-o"],
            type=click.Choice(formats),
            expose_value=False,
            callback=_set_format,
            help="table is for people, json for programs. [default: table]",
        ),
        Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_set_json,
            help="The same as --format json.",
        ),
        Option(
            ["--verbose", "-v"],
            is_flag=True,
            expose_value=False,
            callback=_set_verbose,
            help="Show the calls, and the traceback of an error.",
        ),
    ]


class Command(click.Command):
    """A command with the global options and examples in its help."""

    def __init__(self, *args: Any, formats: Sequence[str] = FORMATS, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)
        self.params.extend(global_options(formats))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, and then the global ones."""
        for title, wanted in (("Options", False), ("Global options", True)):
            records = [
                record
                for param in self.get_params(ctx)
                if isinstance(param, click.Option)
                and isinstance(param, Option) is wanted
                and (record := param.get_help_record(ctx)) is not None
            ]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        write_examples(self.examples, formatter)


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write the examples, never wrapped."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def command(
    name: str,
    *,
    examples: Sequence[str] = (),
    formats: Sequence[str] = FORMATS,
    cls: type[Command] = Command,
    **settings: Any,
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function. Its first argument is the Session; the others are its click parameters.

    settings: click's context settings.
    """

    def make(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=cls, formats=formats, examples=examples, context_settings=settings)(
            pass_session(function)
        )

    return make


def _session(ctx: click.Context) -> Session:
    return ctx.ensure_object(Session)


def _set_endpoint(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _session(ctx).endpoint = value


def _set_format(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        _session(ctx).format = value


def _set_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        _session(ctx).format = "json"


def _set_profile(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Set the variable that selects a profile, until the end of the command."""
    if value is None or ctx.resilient_parsing:
        return
    name = "BATCHCOMPUTE_PROFILE"
    before = os.environ.get(name)
    os.environ[name] = value

    def back() -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    ctx.call_on_close(back)


def _set_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    session = _session(ctx)
    if not value or session.verbose or ctx.resilient_parsing:
        return
    import logging

    session.verbose = True
    logger = logging.getLogger("batchcompute")
    handler = logging.StreamHandler(sys.stderr)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def back() -> None:
        logger.removeHandler(handler)
        logger.setLevel(level)

    ctx.call_on_close(back)
