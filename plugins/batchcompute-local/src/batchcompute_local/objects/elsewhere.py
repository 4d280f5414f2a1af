"""Buckets elsewhere: the tables `[buckets.NAME]` of service.toml, each a URL of fsspec. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchcompute.errors import did_you_mean, shorten
from batchcompute_local.objects.names import is_bucket

S3 = ("s3", "s3a")
"""Schemes of S3 and of what speaks its protocol."""
_KEYS = ("url", "options", "credentials")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s\0]+)")
_USER = re.compile(r"://[^/@]*@")
_SECRET = re.compile(r"key|secret|token|pass|cred|auth|conn|sas|account", re.IGNORECASE)
_FOLDERS = ("file", "local")
_OWN_KEYS = ("key", "secret", "token", "username", "password", "anon")
_OWN_CLIENT_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
"""Options of s3fs, and those in its `client_kwargs`, that are credentials or say that there are none."""
_HIDDEN = "***"
_SHORTEST_SECRET = 3


@dataclass(frozen=True)
class BucketElsewhere:
    """A bucket that is at `url`. `options` are those of its file system in fsspec, and may have secrets.

    `credentials` is the name of the credential provider of the SDK that has its key; "" if options or the library have it.
    """

    name: str
    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    credentials: str = ""

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

    def hide(self, text: str, more: Iterable[str] = ()) -> str:
        """Return a message of a library without the secrets of the options and of the URL, and without `more` of them."""
        user = _USER.search(self.url)
        hidden = {*_find_secrets(self.options), *(user[0][3:-1].split(":") if user else ()), *more}
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
    credentials = values.get("credentials")
    if credentials is not None:
        _check_credentials(where, credentials, found[1], options)
    return BucketElsewhere(name, str(url).rstrip("/"), options, credentials or "")


def _check_credentials(where: str, credentials: object, scheme: str, options: Mapping[str, Any]) -> None:
    if not isinstance(credentials, str) or not credentials:  # what else it is may be a secret
        raise ValueError(f'{where}: credentials must be the name of a credential provider, as "profile"')
    what = f"{where}: credentials = {shorten(credentials)}"
    if scheme not in S3:
        allowed = " and ".join(f"{each}://" for each in S3)
        raise ValueError(
            f"{what} is only for the URLs {allowed}, not for {scheme}://, whose own options are in {where[:-1]}.options]"
        )
    client = options.get("client_kwargs")
    own = [name for name in _OWN_KEYS if name in options]
    own += [f"client_kwargs.{name}" for name in _OWN_CLIENT_KEYS if isinstance(client, Mapping) and name in client]
    if own:
        raise ValueError(f"{what} and the options {', '.join(own)} are two sources of credentials; remove one")
