"""A service in a folder of its own, seen from outside: its processes, its disk, its programs' lines."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.containment import remove_all
from batchcompute_local.paths import Layout
from batchcompute_local.storage import ObjectStore

from batchcompute import pack

FINISHED = 3


class ServiceHarness:
    """`folder` holds the data folder and a home; the environment of this process is pointed at them."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.folder = folder
        self.root = folder / "data"
        self.root.mkdir(mode=0o700, exist_ok=True)
        self.lines_folder = self.root / "oss/stress/lines"
        (self.root / "service.toml").write_text(settings)
        (folder / "home").mkdir()
        os.environ |= {"HOME": str(folder / "home"), "BATCHCOMPUTE_DATA_DIR": str(self.root)}

    def put_program(self, text: str) -> None:
        """The package `oss://stress/worker.tar.gz` with `text` as its main.py."""
        worker = self.folder / "worker"
        worker.mkdir(exist_ok=True)
        (worker / "main.py").write_text(text)
        ObjectStore(self.root / "oss").put("oss://stress/worker.tar.gz", pack(worker))

    def pid(self, what: str) -> int | None:
        """The pid of the `daemon` or the `runner` of this folder, by its command line; whoever started it."""
        return next(self.pids(what), None)

    def pids(self, what: str) -> Iterator[int]:
        """All of them."""
        mark, root = f"batchcompute_local.{what}".encode(), os.fsencode(self.root)
        for name in os.listdir("/proc"):
            with suppress(OSError):
                if name.isdigit():
                    words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
                    if root in words and any(mark in word for word in words):
                        yield int(name)

    def kill(self, what: str) -> bool:
        """SIGKILL; whether it was there."""
        pid = self.pid(what)
        if pid is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def down(self) -> None:
        """End everything of this folder. Daemon and runner start each other again, so they are killed until none is left."""
        with suppress(Exception):
            control.stop(self.root)
        while self.kill("daemon") or self.kill("runner"):
            time.sleep(0.01)
        for pid, _ in procs.attempts("job-"):
            with suppress(OSError):
                if f"BATCHCOMPUTE_OSS_ROOT={self.root}/".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not remove_all(Layout.at(self.root).groups, self.root) and time.monotonic() < deadline:
            time.sleep(0.01)

    def lines(self) -> list[Path]:
        """The files that programs appended to, one per instance."""
        return [path for path in self.lines_folder.iterdir() if path.suffix != ".lock"]

    def attempts(self) -> dict[str, int]:
        """How many attempts the service counts, by `<job>.<task>.<instance>`."""
        return _instances(self.root, "")


def finished_on_disk(root: Path) -> dict[str, int]:
    """The attempts by which instances are Finished, by `<job>.<task>.<instance>`."""
    return _instances(root, f"WHERE i.state = {FINISHED}")


def recorded_on_disk(root: Path) -> set[str]:
    """The attempts whose exit with 0 is in the runner's journal."""
    found = set()
    with suppress(FileNotFoundError):
        for line in (root / "runner.journal").read_bytes().split(b"\n")[:-1]:
            with suppress(ValueError):
                record = json.loads(line)
                if record.get("event") == "exited" and record["code"] == 0:
                    found.add(record["attempt"])
    return found


def _instances(root: Path, where: str) -> dict[str, int]:
    query = f"SELECT j.id, i.task, i.number, i.attempt FROM instances i JOIN jobs j ON j.seq = i.job {where}"
    if not (root / "state.sqlite3").exists():
        return {}
    # a reader of a database in WAL mode has to be able to write beside it
    with closing(sqlite3.connect(f"file:{root}/state.sqlite3?mode=rw", uri=True, timeout=10)) as db:
        return {f"{job}.{task}.{number}": attempt for job, task, number, attempt in db.execute(query)}
