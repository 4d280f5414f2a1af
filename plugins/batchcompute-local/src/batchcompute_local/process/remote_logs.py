"""Read logs that tasks redirect to buckets elsewhere: of this machine while they are written or unsent, else of the store."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from batchcompute_local.objects.backing import Backing
from batchcompute_local.objects.content import ContentFile
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.process.attempt_logs import EARLIER, choose_log


def open_remote_log(
    unsent: Path, bucket: BucketElsewhere, key: str, attempt: int | None, newest: int | None
) -> BinaryIO | None:
    """Open the log `key`, or that of an earlier attempt beside it; None if there is none. Arguments as in `choose_log`.

    Raises LookupError for an attempt without a log, and OSError if the store cannot be asked.
    """
    backing = Backing(bucket, unsent)
    if attempt is not None:
        folder, _, name = key.rpartition("/")
        there = {each.rpartition("/")[2] for each, _ in backing.walk(key)}
        place = unsent / bucket.name / folder
        there.update(os.listdir(place) if place.is_dir() else ())
        there = {each for each in there if each == name or each.startswith(name + EARLIER)}
        key = key.removesuffix(name) + choose_log(name, there, attempt, newest)
    if backing.find(key) is None:
        return None
    return io.BufferedReader(ContentFile(backing.open(key)))
