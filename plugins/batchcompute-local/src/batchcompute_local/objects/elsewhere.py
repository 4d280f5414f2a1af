"""Buckets elsewhere: the tables `[buckets.NAME]` of service.toml, each a URL of fsspec. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchcompute.errors import did_you_mean, shorten
from batchcompute_local.objects.names import is_bucket

_KEYS = ("url", "options")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s\0]+)")
_USER = re.compile(r"://[^/@]*@")
_SECRET = re.compile(r"key|secret|token|pass|cred|auth|conn|sas|account", re.IGNORECASE)
_FOLDERS = ("file", "local")
_HIDDEN = "***"
_SHORTEST_SECRET = 3


@dataclass(frozen=True)
class BucketElsewhere:
    """A bucket that is at `url`. `options` are those of its file system in fsspec, and may have secrets."""

    name: str
    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def scheme(self) -> str:
        """What the URL begins with, such as s3."""
        return self.url.partition("://")[0]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder that this machine has mounted."""
        return self.scheme in _FOLDERS

    @property
    def place(self) -> str:
        """The URL without user and password, for messages."""
        return _USER.sub("://", self.url)

    def hide(self, text: str) -> str:
        """Return a message of a library without the secrets of the options and of the URL."""
        user = _USER.search(self.url)
        hidden = {*_find_secrets(self.options), *(user[0][3:-1].split(":") if user else ())}
        for secret in sorted(hidden, key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, _HIDDEN)
        return text


def _find_secrets(options: Mapping[str, Any], is_secret: bool = False) -> Iterator[str]:
    for name, value in options.items():
        secret = is_secret or _SECRET.search(name) is not None
        if isinstance(value, Mapping):
            yield from _find_secrets(value, secret)
        elif secret and isinstance(value, str):
            yield value


def read_buckets(table: Any) -> dict[str, BucketElsewhere]:
    """Read the tables `[buckets.NAME]`. Raises ValueError with a message that names bucket and key, and no value of an option."""
    if not isinstance(table, dict):
        raise ValueError("buckets must be tables, as [buckets.name]")
    return {name: _read(name, values) for name, values in table.items()}


def _read(name: str, values: Any) -> BucketElsewhere:
    where = f"[buckets.{name}]"
    if not is_bucket(name):
        raise ValueError(f"{where}: the name must be that of a bucket, up to 63 letters, digits, '-', '_' and '.'")
    if not isinstance(values, dict):
        raise ValueError(f'{where} must be a table with url = "..."')
    for key in values:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f"; options of fsspec are in [buckets.{name}.options]"
            raise ValueError(f"{where} has an unknown key {shorten(key)}{hint}")
    url, options = values.get("url"), values.get("options", {})
    found = _URL.fullmatch(url) if isinstance(url, str) else None
    if found is None or "::" in found[2]:
        raise ValueError(f'{where}: url must be a URL of fsspec, as "s3://bucket/prefix" or "file:///mnt/folder"')
    if found[1] == "oss":
        raise ValueError(
            f"{where}: a bucket of OSS has the URL s3://bucket, and an endpoint_url: docs/objects.md, Buckets elsewhere"
        )
    if found[1] in _FOLDERS and not found[2].startswith("/"):
        raise ValueError(f"{where}: the folder of {found[1]}:// must be an absolute path, as file:///mnt/folder")
    if not isinstance(options, dict):
        raise ValueError(f"{where}: options must be a table")
    return BucketElsewhere(name, str(url).rstrip("/"), options)
