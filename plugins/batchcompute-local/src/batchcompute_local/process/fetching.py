"""Objects of buckets elsewhere as files of this machine, for an OssMapping: downloaded before an instance starts.

A copy belongs to a job and to what was there when it was made. Instances of the job share it while nothing changes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from batchcompute_local.objects.backing import Backing
from batchcompute_local.objects.facts import Facts
from batchcompute_local.paths import Layout
from batchcompute_local.process.patience import access
from batchcompute_local.process.sources import OneAtATime, download
from batchcompute_local.removal import log_rest, remove_tree

FOLDER = ".mapped"
"""In the folder of a job: its copies. They go when the job is Finished, or deleted."""
_PART = "part-"


class Fetcher:
    """Makes the copies. Thread-safe."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._one_at_a_time = OneAtATime()

    def fetch(self, job: str, backing: Backing, key: str) -> Path:
        """Return a file with the object `key`, else a folder with all that is below. Raises OSError."""
        place = f"oss://{backing.bucket.name}/{key}"
        found = list(_find(backing, key, place))
        is_file = len(found) == 1 and found[0][0] == key
        text = "\0".join(f"{each}\0{facts.size}\0{facts.modified}\0{facts.etag}" for each, facts in [*found])
        name = hashlib.sha256(f"{place}\0{text}".encode()).hexdigest()[:40]
        folder = self._layout.work(job) / FOLDER / name
        target = folder / (os.path.basename(key) if is_file else "objects")
        if not folder.exists():
            with self._one_at_a_time(str(folder), place):
                if not folder.exists():
                    start = key[: len(key) - len(os.path.basename(key))] if is_file else _start(key)
                    self._download(backing, found, start, folder, target.name if not is_file else "")
        return target

    @staticmethod
    def _download(backing: Backing, found: list[tuple[str, Facts]], start: str, folder: Path, below: str) -> None:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=folder.parent))
        try:
            (part / below).mkdir(exist_ok=True)
            for key, facts in found:
                path = part / below / key.removeprefix(start)
                path.parent.mkdir(parents=True, exist_ok=True)
                download(backing, key, path)
                os.utime(path, (facts.modified, facts.modified))
            part.rename(folder)
        finally:
            log_rest(remove_tree(part))


def _find(backing: Backing, key: str, place: str) -> Iterator[tuple[str, Facts]]:
    if key and not key.endswith("/"):
        with access(place):
            facts = backing.find(key)
        if facts is not None:
            yield key, facts
            return
    walk = backing.walk(_start(key))
    while True:
        with access(place):
            step = next(walk, None)
        if step is None:
            return
        yield step


def _start(key: str) -> str:
    """Return what the keys below a folder begin with."""
    return f"{key.rstrip('/')}/" if key else ""
