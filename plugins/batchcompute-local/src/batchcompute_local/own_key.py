"""The file with the access key of the service's own account. The daemon, commands and clients read it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from batchcompute_local.damage import DamageError, put_aside, read_whole

KEYS = ("access_key_id", "access_key_secret")
_WORD = re.compile(r"[!-~]{1,200}", re.ASCII)
"""What a header can carry."""


def read_key(path: Path) -> tuple[str, str]:
    """Return access key id and secret. Raises FileNotFoundError, DamageError and OSError; none shows a part of the file."""
    try:
        values = json.loads(read_whole(path))
    except (ValueError, RecursionError):
        values = None  # the error's text may contain a part of the file
    if not isinstance(values, dict):
        raise DamageError("is not a credentials file")
    found = [values.get(name) for name in KEYS]
    if not all(isinstance(one, str) and _WORD.fullmatch(one) for one in found):
        raise DamageError(f"is not a credentials file: it has no usable {' and '.join(KEYS)}")
    return str(found[0]), str(found[1])


def mend_credentials(path: Path) -> str:
    """Put a damaged file of the own account aside. Return what was done, "" if nothing. Only for the daemon. Raises OSError."""
    try:
        read_key(path)
    except FileNotFoundError:
        return ""
    except DamageError as damage:
        kept = put_aside(path)
        return (
            f"{path} {damage}. It is kept as {kept.name}, and the service has a new access key. Clients on this machine "
            "read it by themselves; who has the old key elsewhere needs the new one: `batchcompute local credentials`"
        )
    return ""
