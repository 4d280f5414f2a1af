"""`batchcompute local bucket ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from batchcompute.cli import Noun, output
from batchcompute.cli.session import Session, command
from batchcompute_local.client.folder import in_folder

if TYPE_CHECKING:
    from batchcompute_local.paths import Layout

_COLUMNS: dict[str, output.Column] = {
    "name": "NAME",
    "account": ("ACCOUNT", lambda row: row["account"] or "no account"),
    "owner": "OWNER",
    "url": ("WHERE", lambda row: row["url"] or "here"),
}

bucket = Noun("bucket", "Buckets of the service, and whose they are.")


@command("list", examples=["batchcompute local bucket list"])
@in_folder
def list_command(session: Session, layout: Layout) -> None:
    """List the buckets with the accounts that have them.

    JSON: a list of {name, owner, account, url}; url is null for a bucket of this machine.
    """
    from batchcompute_local.objects.buckets import list_buckets
    from batchcompute_local.objects.remote import open_objects
    from batchcompute_local.settings import read_settings

    elsewhere = read_settings(layout.settings).buckets
    names, store = _names(layout), open_objects(layout.oss, elsewhere, layout.unsent)
    rows = [
        {
            "name": each.name,
            "owner": each.owner,
            "account": names.get(each.owner, ""),
            "url": elsewhere[each.name].place if each.name in elsewhere else None,
        }
        for each in list_buckets(store)
    ]
    store.database.close()
    output.emit(rows, _COLUMNS, session.format, "There are no buckets.")


@command("give", examples=["batchcompute local bucket give data ann", "batchcompute local bucket give data local"])
@click.argument("name")
@click.argument("which", metavar="ACCOUNT")
@in_folder
def give(session: Session, layout: Layout, name: str, which: str) -> None:
    """Give a bucket to an account (name or key id); `local` is the service's own. It alone may name it from then on.

    JSON: {name, action}; action is "given".
    """
    from batchcompute.errors import did_you_mean
    from batchcompute_local.http.accounts import OWN_NAME, Book
    from batchcompute_local.objects.buckets import OWN_OWNER, find_bucket, give_bucket, list_buckets
    from batchcompute_local.objects.remote import open_objects
    from batchcompute_local.settings import read_settings

    store = open_objects(layout.oss, read_settings(layout.settings).buckets, layout.unsent)
    if find_bucket(store, name) is None:
        there = [each.name for each in list_buckets(store)]
        hint = did_you_mean(name, there) or f"; there are: {', '.join(there) or 'none'}"
        raise click.ClickException(f"there is no bucket {name!r}{hint}")
    owner = OWN_OWNER if which == OWN_NAME else Book(layout).find(which).owner
    give_bucket(store, name, owner)
    store.database.close()
    output.emit_value({"name": name, "action": "given"}, f"Bucket {name} belongs to account {which}.", session.format)


for _verb in (list_command, give):
    bucket.add_command(_verb)


def _names(layout: Layout) -> dict[int, str]:
    from batchcompute_local.http.accounts import OWN_NAME, Book
    from batchcompute_local.objects.buckets import OWN_OWNER

    return {OWN_OWNER: OWN_NAME, **{one.owner: one.name for one in Book(layout).all()}}
