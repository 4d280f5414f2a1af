"""`batchcompute local credentials` and `batchcompute local account ...`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from batchcompute.cli import Noun, output
from batchcompute.cli.session import Session, command
from batchcompute_local.client.folder import in_folder

if TYPE_CHECKING:
    from batchcompute_local.http.accounts import Account, Book
    from batchcompute_local.paths import Layout

_LONGEST_LINE = 1000
_COLUMNS: dict[str, output.Column] = {
    "name": "NAME",
    "access_key_id": "ACCESS KEY",
    "owner": "OWNER",
    "enabled": ("ENABLED", lambda row: "yes" if row["enabled"] else "no"),
}


@command(
    "credentials", examples=["batchcompute local credentials", "batchcompute local credentials --data-dir /srv/jobs"]
)
@in_folder
def credentials(session: Session, layout: Layout) -> None:
    """Print the access key of the service's own account.

    JSON: {access_key_id, access_key_secret}.
    """
    from batchcompute_local.http.accounts import ensure_credentials

    layout.create()
    _print_key(ensure_credentials(layout.credentials), session)


account = Noun("account", "Accounts of other users of the service.")


@command(
    "add",
    examples=[
        "batchcompute local account add ann",
        "echo old-secret | batchcompute local account add bob --access-key-id old-id",
    ],
)
@click.argument("name")
@click.option(
    "--access-key-id", "key", default="", metavar="ID", help="A key that there is; its secret is a line of stdin."
)
@in_folder
def add(session: Session, layout: Layout, name: str, key: str) -> None:
    """Create an account and print its access key. The key is not shown again.

    With --access-key-id it has the key that an old program has in it; the secret is read and not printed.

    JSON: {access_key_id, access_key_secret}; with --access-key-id without the secret.
    """
    if not key:
        _print_key(_book(layout).add(name), session)
        return
    one = _book(layout).add(name, (key, _read_secret()))
    output.emit_value({"access_key_id": one.access_key_id}, f"access_key_id = {one.access_key_id}", session.format)


def _read_secret() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True, err=True))
    return sys.stdin.readline(_LONGEST_LINE).rstrip("\r\n")


@command("list", examples=["batchcompute local account list"])
@in_folder
def list_accounts(session: Session, layout: Layout) -> None:
    """List the accounts, without their secrets.

    JSON: a list of {name, owner, access_key_id, enabled}.
    """
    from batchcompute_local.http.accounts import ensure_credentials

    own = [ensure_credentials(layout.credentials)] if layout.credentials.exists() else []
    fields = ("name", "owner", "access_key_id", "enabled")
    rows = [{field: getattr(one, field) for field in fields} for one in (*own, *_book(layout).all())]
    output.emit(
        rows, _COLUMNS, session.format, "There are no accounts. `batchcompute local account add NAME` makes one."
    )


@command("disable", examples=["batchcompute local account disable ann"])
@click.argument("which")
@in_folder
def disable(session: Session, layout: Layout, which: str) -> None:
    """Refuse requests of an account (name or key id) from now on. Its jobs continue.

    JSON: {name, action}; action is "disabled".
    """
    _report(_book(layout).enable(which, False), "disabled", session)


@command("enable", examples=["batchcompute local account enable ann"])
@click.argument("which")
@in_folder
def enable(session: Session, layout: Layout, which: str) -> None:
    """Accept requests of a disabled account again.

    JSON: {name, action}; action is "enabled".
    """
    _report(_book(layout).enable(which, True), "enabled", session)


@command("remove", examples=["batchcompute local account remove ann"])
@click.argument("which")
@in_folder
def remove(session: Session, layout: Layout, which: str) -> None:
    """Remove an account and its key. Its jobs continue, but no other account can read them.

    JSON: {name, action}; action is "removed".
    """
    _report(_book(layout).remove(which), "removed", session)


for _verb in (add, list_accounts, disable, enable, remove):
    account.add_command(_verb)


def _book(layout: Layout) -> Book:
    from batchcompute_local.http.accounts import Book

    return Book(layout)


def _report(one: Account, action: str, session: Session) -> None:
    output.emit_value({"name": one.name, "action": action}, f"Account {one.name} is {action}.", session.format)


def _print_key(one: Account, session: Session) -> None:
    key = {"access_key_id": one.access_key_id, "access_key_secret": one.access_key_secret}
    if session.json:
        output.emit_json(key)
    else:
        for name, value in key.items():
            output.put(f"{name} = {value}")
