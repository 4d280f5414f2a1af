"""`batchcompute serve` and `batchcompute local ...`. Each command imports its modules when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from batchcompute_local.http.accounts import Account, Book
    from batchcompute_local.paths import Layout

_LOG_LINES = 100
Command = TypeVar("Command", bound=Callable[..., Any])


def _folder(command: Command) -> Command:
    """Pass the command a `layout`: --data-dir, else the data folder of this user. Turn its errors into ClickExceptions."""

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="The data folder. [default: $BATCHCOMPUTE_DATA_DIR, else the user's data folder]",
    )
    @wraps(command)
    def run(data_dir: Path | None, **options: Any) -> None:
        from batchcompute_local.errors import DaemonError, SettingsError
        from batchcompute_local.http.accounts import AccountError
        from batchcompute_local.paths import Layout, default_data_dir

        try:
            command(layout=Layout.at(data_dir or default_data_dir()), **options)
        except (DaemonError, SettingsError, AccountError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return run  # type: ignore[return-value]  # click calls it, with other arguments


def _outer_style() -> str:
    """Return the format of `batchcompute --format json local ...`."""
    ctx = click.get_current_context(silent=True)
    return "json" if ctx is not None and getattr(ctx.find_root().obj, "json", False) else "table"


_style = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default=_outer_style,
    help="table is for people, json for programs. [default: table]",
)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8888, show_default=True, help="0: any free port.")
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False), help="A certificate (PEM); turns TLS on.")
@click.option(
    "--keyfile", type=click.Path(exists=True, dir_okay=False), help="The certificate's key, if it is in another file."
)
@click.option("--insecure-bind", is_flag=True, help="Accept other machines without TLS.")
@_folder
def serve(layout: Layout, host: str, port: int, certfile: str | None, keyfile: str | None, insecure_bind: bool) -> None:
    """Run the service in the foreground, on a port and on the data folder's socket, until SIGTERM or Ctrl-C.

    Running jobs continue after it ends. The next service takes them over.
    """
    import os
    import sys

    from batchcompute_local import known_state
    from batchcompute_local.client import control

    control.refuse_own_service(layout)
    layout.create()
    arguments = [*control.command(layout), f"--host={host}", f"--port={port}"]
    arguments += [f"--{name}={path}" for name, path in (("certfile", certfile), ("keyfile", keyfile)) if path]
    arguments += ["--insecure-bind"] if insecure_bind else []
    sys.stdout.flush()
    # exec, without our environment: signals and terminal stay the same
    os.execve(arguments[0], arguments, known_state.environment())  # noqa: S606  # no shell is wanted


@click.group()
def local() -> None:
    """The service behind the region `local`."""


@local.command()
@_style
@_folder
def credentials(layout: Layout, style: str) -> None:
    """Print the access key of the service's own account."""
    from batchcompute_local.http.accounts import ensure_credentials

    layout.create()
    _print_key(ensure_credentials(layout.credentials), style)


@local.command()
@_style
@_folder
def status(layout: Layout, style: str) -> None:
    """Show whether the service is running, and its jobs."""
    from batchcompute_local.client import control

    found = control.status(layout.root)
    silent = control.find_silent(layout.root) if found is None else ""
    if style == "json":
        click.echo(json.dumps({"running": found is not None, "data_dir": str(layout.root), **(found or {})}))
    elif silent:
        click.echo(f"The service in {layout.root} is {silent}. It does not answer.")
    elif found is None:
        click.echo(f"No service runs in {layout.root}. The first request starts one.")
    else:
        click.echo(f"Version {found['version']} runs in {layout.root} as pid {found['pid']}.")
        click.echo(f"Jobs that are waiting or running: {found['active_jobs']}.")
        if "slots" in found:  # a service of an earlier version does not say it
            click.echo(f"Slots: {_describe_slots(found['slots'])}.")
        if "containment" in found:
            click.echo(f"Containment of programs: {found['containment']}.")
        for trouble in found.get("troubles", ()):
            click.echo(f"Note: {trouble}.")
        if "url" in found:
            click.echo(f"It listens on {found['url']}.")


def _describe_slots(found: dict[str, Any]) -> str:
    from batchcompute import Slots
    from batchcompute.cli.attempts import describe_slots

    return describe_slots(Slots(found["total"], found["taken"], found["by_job"]))


@local.command()
@_folder
def stop(layout: Layout) -> None:
    """Stop the service. Running programs continue; the next service takes them over."""
    from batchcompute_local.client import control

    stopped = control.stop_for_good(layout.root)
    click.echo("The service has ended." if stopped else f"No service runs in {layout.root}.")


@local.command()
@click.option("--lines", type=click.IntRange(1), default=_LOG_LINES, show_default=True, help="How many lines.")
@_folder
def logs(layout: Layout, lines: int) -> None:
    """Print the end of the service's own log. `batchcompute job logs` prints the logs of programs."""
    from collections import deque

    if not layout.log.exists():
        raise click.ClickException(f"no file {layout.log}: no service has run in {layout.root} yet")
    with layout.log.open(encoding="utf-8", errors="replace") as file:
        for line in deque(file, lines):
            click.echo(line, nl=False)


@local.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Reset even if jobs are active; ends their programs.")
@click.option("--all", "everything", is_flag=True, help="Remove objects and access keys as well.")
@_folder
def reset(layout: Layout, yes: bool, force: bool, everything: bool) -> None:
    """Remove all jobs with their working folders, packages and logs. Objects, keys and settings stay."""
    from batchcompute_local.client import reset as resetting

    what = "all jobs, logs, objects and access keys" if everything else "all jobs and logs"
    if not yes:
        click.confirm(f"Remove {what} in {layout.root}?", abort=True)
    for path in resetting.reset(layout.root, force=force, everything=everything):
        click.echo(f"removed {path}")


@local.command()
@click.option("--copy", "name", default="", metavar="NAME", help="The file name of the copy. [default: the newest one]")
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_folder
def restore(layout: Layout, name: str, dry_run: bool, yes: bool) -> None:
    """Take a copy of the state of all jobs back, when the state is damaged. The service has to be stopped.

    Jobs that were active in the copy are Stopped afterwards; programs that still run are ended.
    """
    from datetime import UTC, datetime
    from time import time

    from batchcompute_local.client import restore as restoring
    from batchcompute_local.jobs.opening import describe_age

    choices = restoring.list_choices(layout.root)
    for one in choices:
        made = f"{datetime.fromtimestamp(one.time, UTC):%Y-%m-%d %H:%M:%S} UTC, {describe_age(time() - one.time)} ago"
        click.echo(f"{one.path.name}  {made}  {one.jobs} jobs, {one.active} of them active  {one.size} bytes")
    copies = [one.path.name for one in choices if one.path.parent == layout.copies]
    chosen = name or next(iter(copies), "")
    if chosen and not dry_run and not yes:
        click.confirm(f"Put {chosen} in the place of the state in {layout.root}?", abort=True)
    done = restoring.restore(layout.root, chosen, dry_run=dry_run)
    would = "would be " if dry_run else ""
    click.echo(f"{done.copy.path.name} {would or 'is '}restored.")
    if done.damaged is not None:
        click.echo(f"The former state is kept as {done.damaged}.")
    for job in done.stopped:
        click.echo(f"{job} {would or 'is '}Stopped: it was active in the copy. `batchcompute job start` runs it again.")
    for job in done.unknown:
        click.echo(f"{layout.work(job)} {'would stay' if dry_run else 'stays'}: the copy does not know this job.")


@local.group()
def account() -> None:
    """Accounts of other users of the service."""


@account.command()
@click.argument("name")
@_style
@_folder
def add(layout: Layout, name: str, style: str) -> None:
    """Create an account and print its access key. The key is not shown again."""
    _print_key(_book(layout).add(name), style)


@account.command("list")
@_style
@_folder
def list_accounts(layout: Layout, style: str) -> None:
    """List the accounts, without their secrets."""
    from batchcompute_local.http.accounts import ensure_credentials

    own = [ensure_credentials(layout.credentials)] if layout.credentials.exists() else []
    accounts = [*own, *_book(layout).all()]
    if style == "json":
        fields = ("name", "owner", "access_key_id", "enabled")
        click.echo(json.dumps([{name: getattr(one, name) for name in fields} for one in accounts]))
        return
    for one in accounts:
        click.echo(f"{one.name}  {one.access_key_id}  owner {one.owner}{'' if one.enabled else '  disabled'}")


@account.command()
@click.argument("which")
@_folder
def disable(layout: Layout, which: str) -> None:
    """Refuse requests of an account (name or key id) from now on. Its jobs continue."""
    click.echo(f"Account {_book(layout).enable(which, False).name} is disabled.")


@account.command()
@click.argument("which")
@_folder
def enable(layout: Layout, which: str) -> None:
    """Accept requests of a disabled account again."""
    click.echo(f"Account {_book(layout).enable(which, True).name} is enabled.")


@account.command()
@click.argument("which")
@_folder
def remove(layout: Layout, which: str) -> None:
    """Remove an account and its key. Its jobs continue, but no other account can read them."""
    click.echo(f"Account {_book(layout).remove(which).name} is removed.")


def _book(layout: Layout) -> Book:
    from batchcompute_local.http.accounts import Book

    return Book(layout)


def _print_key(one: Account, style: str) -> None:
    key = {"access_key_id": one.access_key_id, "access_key_secret": one.access_key_secret}
    if style == "json":
        click.echo(json.dumps(key))
    else:
        for name, value in key.items():
            click.echo(f"{name} = {value}")
