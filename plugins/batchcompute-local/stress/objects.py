"""Kill the service in the middle of changes of objects, and see that each object is the old one or the new one, never half.

    python plugins/batchcompute-local/stress/objects.py [--kills N] [--seed N]

Each round does a put, an append, a copy, the completion of an upload or a batch delete over the OSS endpoint, kills the
service with SIGKILL at a random moment of it, starts it again and reads everything: content, metadata and ETag.
In the end nothing unfinished is left that tidying does not remove.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import oss2
from batchcompute_local.client import control
from batchcompute_local.objects.store import Store
from batchcompute_local.objects.tidying import UPLOAD_SECONDS, tidy
from harness import ServiceHarness

BUCKET = "stress-objects"
WAYS = ("put", "odd", "append", "copy", "complete", "delete")
KEYS = {"put": "folder/plain", "odd": "folder//odd", "append": "log", "copy": "copied", "complete": "in/parts"}
MANY = [f"many/{n}" for n in range(30)] + [f"many//{n}" for n in range(5)]
SIZE = 3 << 20
PART = 1 << 20


class Objects:
    """The bucket, and what each object may be: the contents before and after the change."""

    def __init__(self, harness: ServiceHarness, chance: random.Random) -> None:
        self.harness = harness
        self.chance = chance
        self.version = 0
        self.known: dict[str, set[bytes | None]] = {}
        self.open()

    def open(self) -> None:
        """Start the service, and connect to it."""
        control.ensure_running(self.harness.root)
        found = control.status(self.harness.root)
        assert found is not None
        key, secret = control.read_credentials(self.harness.root)
        self.bucket = oss2.Bucket(oss2.Auth(key, secret), found["objects"], BUCKET, enable_crc=False)

    def content(self, size: int = SIZE) -> bytes:
        self.version += 1
        return self.version.to_bytes(4, "big") + self.chance.randbytes(size - 4)

    def prepare(self, way: str) -> Callable[[], object]:
        """Have the old object there; return the change to kill, and note both."""
        bucket, key = self.bucket, KEYS.get(way, "")
        if way in ("put", "odd"):
            new = self.content()
            self.known[key] = {self.read(key), new}
            return lambda: bucket.put_object(key, new, headers={"x-oss-meta-md5": hashlib.md5(new).hexdigest()})
        if way == "append":
            old, new = self.read(key) or b"", self.content(PART)
            if len(old) > 5 * PART:
                bucket.delete_object(key)
                old = b""
            self.known[key] = {old or None, old + new}
            return lambda: bucket.append_object(key, len(old), new)
        if way == "copy":
            source = self.content()
            bucket.put_object("source", source)
            self.known["source"] = {source}
            self.known[key] = {self.read(key), source}
            return lambda: bucket.copy_object(BUCKET, "source", key)
        if way == "complete":
            new = self.content(2 * PART)
            upload = bucket.init_multipart_upload(key).upload_id
            parts = [
                oss2.models.PartInfo(n + 1, bucket.upload_part(key, upload, n + 1, new[n * PART : (n + 1) * PART]).etag)
                for n in (0, 1)
            ]
            self.known[key] = {self.read(key), new}
            return lambda: bucket.complete_multipart_upload(key, upload, parts)
        for name in MANY:
            new = self.content(1000)
            bucket.put_object(name, new)
            self.known[name] = {new, None}
        return lambda: bucket.batch_delete_objects(MANY)

    def read(self, key: str) -> bytes | None:
        """The content of an object, whose metadata belongs to it; None if absent."""
        try:
            got = self.bucket.get_object(key)
        except oss2.exceptions.NoSuchKey:
            return None
        content: bytes = got.read()
        md5 = hashlib.md5(content).hexdigest()
        assert got.headers.get("x-oss-meta-md5", md5) == md5, f"{key} has the metadata of another content"
        if len(got.etag) == 32 and got.headers["x-oss-object-type"] == "Normal":
            assert got.etag == md5.upper(), f"{key} has the ETag of another content"
        return content

    def check(self) -> None:
        """Each object is as it was before the change, or after it, also for a program, and in lists."""
        listed = {each.key for each in oss2.ObjectIterator(self.bucket)}
        for key, allowed in self.known.items():
            content = self.read(key)
            assert content in allowed, f"{key} is neither the old one nor the new one: {content and len(content)} bytes"
            assert (key in listed) == (content is not None), f"{key} is in one of list and get only"
            self.known[key] = {content}
            path = self.harness.root / "oss" / BUCKET / key
            if content is not None and "//" not in key:
                assert path.read_bytes() == content, f"the file of {key} is another object"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        harness = ServiceHarness(Path(folder), "idle_seconds = 60\n")
        try:
            return run(harness, chance, options.kills)
        finally:
            harness.down()


def run(harness: ServiceHarness, chance: random.Random, kills: int) -> int:
    objects = Objects(harness, chance)
    objects.bucket.create_bucket()
    done: Counter[str] = Counter()
    times = dict.fromkeys(WAYS, 0.05)
    for number in range(kills):
        way = WAYS[number % len(WAYS)]
        change = objects.prepare(way)
        begun, finished = time.monotonic(), threading.Event()

        def run_change(change: Callable[[], object] = change, finished: threading.Event = finished) -> None:
            with suppress(oss2.exceptions.RequestError):
                change()
                finished.set()

        thread = threading.Thread(target=run_change)
        thread.start()
        finished.wait(chance.uniform(0, 1.2 * times[way]))
        was_finished = finished.is_set()
        harness.kill("daemon")
        thread.join()
        if was_finished:
            times[way] = (times[way] + time.monotonic() - begun) / 2
        else:
            times[way] *= 1.1
        done[f"{way}, {'after' if was_finished else 'in'} it"] += 1
        objects.open()
        objects.check()
    for upload in list(oss2.MultipartUploadIterator(objects.bucket))[:-1]:
        objects.bucket.abort_multipart_upload(upload.key, upload.upload_id)
    left = find_unfinished(harness.root / "oss")
    store = Store(harness.root / "oss")
    removed = tidy(store, time.time() + UPLOAD_SECONDS + 60)
    store.database.close()
    assert not find_unfinished(harness.root / "oss"), "an unfinished file is left for ever"
    objects.check()
    print(f"{kills} kills: {dict(sorted(done.items()))}")
    print(f"{len(left)} unfinished files were left, {removed} things removed when they are old")
    print("each object is the old one or the new one")
    return 0


def find_unfinished(root: Path) -> list[Path]:
    """The unfinished files, parts, and files of odd keys that are no object."""
    store = Store(root)
    with store.database.read() as db:
        named = {row[0] for row in db.execute("SELECT file FROM objects WHERE file != ''")}
    store.database.close()
    found = [path for path in (root / BUCKET).iterdir() if path.name.startswith(".part-")]
    with suppress(FileNotFoundError):
        found += [path for path in store.odd.iterdir() if path.name not in named]
    with suppress(FileNotFoundError):
        found += (store.own / "parts").iterdir()
    return found


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
