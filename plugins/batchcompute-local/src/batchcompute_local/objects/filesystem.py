"""The file system of fsspec that a bucket elsewhere is in. fsspec is imported at the first use."""

from __future__ import annotations

import logging
import threading
from typing import Any

from batchcompute.credentials import Credentials, is_same_key
from batchcompute_local.objects.bucket_credentials import BucketCredentials
from batchcompute_local.objects.elsewhere import BucketElsewhere

_TALKATIVE = ("botocore", "aiobotocore", "s3fs")
"""Loggers that have signatures in what they log at DEBUG; somebody who wants that sets their own level."""


class FileSystem:
    """The file system of one bucket, another one when its credentials have changed. Thread-safe.

    `credentials` are those of a provider of the SDK; None if the options or the library have them.
    """

    def __init__(self, bucket: BucketElsewhere) -> None:
        self._bucket = bucket
        self.credentials = BucketCredentials(bucket.credentials) if bucket.credentials else None
        self._lock = threading.Lock()
        self._opened: tuple[Any, str] | None = None
        self._opened_with: Credentials | None = None

    @property
    def is_open(self) -> bool:
        """Whether one was opened."""
        return self._opened is not None

    def open(self) -> tuple[Any, str]:
        """Return the file system, and the path of the bucket in it. Raises CredentialsError, and what the library raises."""
        found = None if self.credentials is None else self.credentials.get()  # not locked: it may take its time
        with self._lock:
            if self._opened is None or not _is_same(found, self._opened_with):
                self._opened, self._opened_with = _make(self._bucket, found), found
            return self._opened


def _make(bucket: BucketElsewhere, credentials: Credentials | None) -> tuple[Any, str]:
    import fsspec  # 0.1 seconds, and s3fs as much again
    from fsspec.asyn import AsyncFileSystem

    for name in _TALKATIVE:
        if not logging.getLogger(name).level:
            logging.getLogger(name).setLevel(logging.INFO)
    kind = fsspec.get_filesystem_class(bucket.scheme)
    known = {"use_listings_cache": False} if issubclass(kind, AsyncFileSystem) else {}
    options = {**kind._get_kwargs_from_urls(bucket.url), **known, **bucket.options}
    if credentials is not None:
        options |= {"key": credentials.access_key_id, "secret": credentials.access_key_secret}
        if credentials.security_token:
            options["token"] = credentials.security_token
    return kind(**options, skip_instance_cache=True), kind._strip_protocol(bucket.url).rstrip("/")


def _is_same(one: Credentials | None, other: Credentials | None) -> bool:
    return one is other or (one is not None and other is not None and is_same_key(one, other))
