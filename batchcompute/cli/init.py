"""`batchcompute config init`: write a file with every setting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import click

from . import output
from .failures import Refused
from .session import Session, command

_HEAD = """\
# Settings of batchcompute. `batchcompute config show` shows the values in use, and their sources.
# A line that begins with # is the default, or an example if there is no default.
"""
_PROFILES = """
# A profile wins over the settings above; `profile = "work"` above, --profile work or BATCHCOMPUTE_PROFILE=work selects it.
# [profiles.work]
# endpoint = "cn-qingdao"
# access_key_id = "..."
# access_key_secret = "..."
"""
_EXAMPLES = {
    "endpoint": "cn-qingdao",
    "timeout": 60,
    "transport.name": "urllib3",
    "transport.ca_bundle": "~/corporate.pem",
    "transport.http_proxy": "http://proxy.example:3128",
    "transport.https_proxy": "http://proxy.example:3128",
    "credentials.provider": "profile",
}


@command("init", examples=["batchcompute config init", "batchcompute config init --endpoint cn-qingdao --force"])
@click.option("--force", is_flag=True, help="Replace the file that is there.")
def init(session: Session, force: bool) -> None:
    """Write a configuration file with every setting commented out; --endpoint is written into it. Only you can read it.

    JSON: {path}.
    """
    from ..configuration.files import user_file

    path = user_file()
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    target = f"{path}.{os.getpid()}" if force else path
    try:
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{target} exists already; edit it, or replace it with --force") from None
    with open(handle, "w", encoding="utf-8") as file:
        file.write(template(session.endpoint))
    if force:
        os.replace(target, path)
    output.emit_value({"path": path}, path, session.format)
    if not session.json:
        output.say("It has every setting with its default. It may hold secrets: only you can read it.")


def template(endpoint: str | None = None) -> str:
    """Return the text of the file."""
    return _HEAD + "\n".join(_lines(endpoint)) + "\n" + _PROFILES


def _lines(endpoint: str | None) -> Iterator[str]:
    from ..config import SECTIONS, Config
    from ..schema import keys_of

    kinds: dict[str, type] = {"": Config, **SECTIONS}
    for section, kind in kinds.items():
        yield f"\n[{section}]" if section else ""
        for name, key in keys_of(kind).items():
            chosen = endpoint if not section and name == "endpoint" else None
            value = chosen or _example(f"{section}.{name}" if section else name, key.default)
            line = f"{'' if chosen else '# '}{name} = {_toml(value)}"
            yield f"{line:<44}  # {key.allowed}"


def _example(name: str, default: Any) -> Any:
    return _EXAMPLES.get(name, "...") if default is None else default


def _toml(value: Any) -> str:
    """Write a value as TOML: text, numbers, flags and lists are the same in JSON."""
    return json.dumps(sorted(value) if isinstance(value, frozenset) else value)
