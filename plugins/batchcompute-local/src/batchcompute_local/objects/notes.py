"""Notes in the folder of the objects: where a bucket that is elsewhere would be, a file says where it is.

So a program that looks for it below `$BATCHCOMPUTE_OSS_ROOT` finds the reason, and cannot make a folder of that name in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from batchcompute.writing import write_whole
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.objects.names import is_bucket

_BEGIN = "This bucket is elsewhere"
_MOST_BYTES = 1000


def write_notes(root: Path, buckets: Mapping[str, BucketElsewhere]) -> list[str]:
    """Write the notes, and remove those of buckets that are here again. Return the buckets whose folders are hidden."""
    for path in root.iterdir() if root.is_dir() else ():
        if is_bucket(path.name) and path.name not in buckets and is_note(path):
            path.unlink()
    hidden = []
    for name, bucket in buckets.items():
        path = root / name
        text = f"{_BEGIN}: service.toml says that it is at {bucket.place}. Programs reach it over $ALI_DIKU_OSS_HOST.\n"
        if path.is_dir():
            hidden.append(name)
        elif not path.exists() or is_note(path):
            with write_whole(path) as file:
                file.write(text)
    return hidden


def is_note(path: Path) -> bool:
    """Return whether there is one of our notes."""
    with suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size < _MOST_BYTES:
            return path.read_text().startswith(_BEGIN)
    return False
