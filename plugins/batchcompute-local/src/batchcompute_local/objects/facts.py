"""What a store elsewhere says of an object."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_TIMES = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")


@dataclass(frozen=True)
class Facts:
    """What the store says of an object; `modified` is in seconds since the epoch."""

    size: int
    modified: int
    etag: str


def read_facts(info: dict[str, Any]) -> Facts:
    """Return the facts in what fsspec says of an object: by one of many names, since each file system has its own."""
    modified = next((_seconds(info[name]) for name in _TIMES if info.get(name)), 0.0)
    size = int(info.get("size") or 0)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    if not etag:
        etag = f"{size:X}-{int(modified * 1e9):X}-{int(info.get('ino') or 0):X}"
    return Facts(size, int(modified), etag)


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        with suppress(ValueError):
            return datetime.fromisoformat(value).timestamp()
        return 0.0
    return float(value)
