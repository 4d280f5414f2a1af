"""Findings of `batchcompute doctor` on buckets elsewhere: the library, the store, and logs that are not there yet."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from batchcompute.hooks import Finding
from batchcompute_local.objects.backing import Backing, ElsewhereError, find_missing
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

_NAME = "bucket"
_ANSWER_SECONDS = 20.0


def find_buckets(layout: Layout, settings: Settings) -> Iterator[Finding]:
    """Ask each bucket elsewhere, all at once. Changes nothing."""
    looks = [(bucket, _Look(layout, bucket)) for bucket in settings.buckets.values()]
    for bucket, look in looks:
        yield look.result()
        if os.path.isdir(layout.oss / bucket.name):
            what = f"the folder {layout.oss / bucket.name} is hidden: service.toml has this bucket at {bucket.place}"
            yield Finding(_NAME, "note", what, "move its files away, or give the bucket in service.toml another name")
        count = sum(len(files) for _, _, files in os.walk(layout.unsent / bucket.name))
        if count:
            what = f"{count} logs for the bucket {bucket.name} are in {layout.unsent / bucket.name} and not at {bucket.place}"
            cure = "logs of running programs are sent at their end; those that failed are sent again while the service runs"
            yield Finding(_NAME, "note", what, cure)


class _Look(threading.Thread):
    """Asks one bucket, in a thread: it may not answer."""

    def __init__(self, layout: Layout, bucket: BucketElsewhere) -> None:
        super().__init__(daemon=True)
        self._layout = layout
        self._bucket = bucket
        self._error = ""
        self._missing = find_missing(bucket)
        if not self._missing:
            self.start()

    def run(self) -> None:
        try:
            Backing(self._bucket, self._layout.unsent).check()
        except (ElsewhereError, FileNotFoundError) as error:
            self._error = self._bucket.hide(str(error)) or "there is no such bucket"

    def result(self) -> Finding:
        where = f"the bucket {self._bucket.name} is at {self._bucket.place}"
        if self._missing:
            what, found, cure = self._missing.partition("; ")
            return Finding(_NAME, "problem", what, cure if found else "install it")
        self.join(_ANSWER_SECONDS)
        cure = f"correct [buckets.{self._bucket.name}] in {self._layout.settings}, or see to the store"
        if self.is_alive():
            return Finding(_NAME, "problem", f"{where}, which gives no answer within {_ANSWER_SECONDS:g} seconds", cure)
        if self._error:
            return Finding(_NAME, "problem", f"{where}, but: {self._error}", cure)
        asked = ""
        if self._bucket.credentials:
            asked = (
                f"; asked with what the credential provider {self._bucket.credentials!r} has here, not in the service"
            )
        return Finding(_NAME, "ok", f"{where}, not below $BATCHCOMPUTE_OSS_ROOT{asked}")
