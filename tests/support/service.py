"""A real local service, spoken to as an SDK would."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchcompute_local import procs
from batchcompute_local.client import control
from batchcompute_local.containment import remove_all
from batchcompute_local.paths import Layout
from batchcompute_local.storage import ObjectStore

from .descriptions import PACKAGE, describe, pack_files
from .runner import find_processes, find_runner
from .signed import SignedClient, connect_to
from .waits import wait_for


class Cloud:
    """A real daemon in a data folder of its own, spoken to as an SDK would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.oss = ObjectStore(root / "oss")
        self.client = SignedClient(lambda: connect_to(self.root), lambda: control.read_credentials(self.root))

    def settings(self, text: str) -> None:
        self.root.mkdir(mode=0o700, exist_ok=True)
        (self.root / "service.toml").write_text(text)

    def up(self) -> int:
        """Have it run; its pid."""
        control.ensure_running(self.root)
        self.client.close()
        found = control.status(self.root)
        assert found is not None
        return int(found["pid"])

    def program(self, text: str) -> None:
        self.oss.put(PACKAGE, pack_files({"main.py": text}))

    def call(self, method: str, target: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        """Status and decoded answer of a signed request."""
        return self.client.call(method, target, body, **headers)

    def create(
        self,
        tasks: Mapping[str, Mapping[str, Any]],
        dependencies: Mapping[str, Sequence[str]] | None = None,
        **more: Any,
    ) -> str:
        status, answer = self.call("POST", "/jobs", describe(tasks, dependencies, **more))
        assert status == 201, answer
        return str(answer["ResourceId"])

    def job(self, job_id: str) -> dict[str, Any]:
        status, answer = self.call("GET", f"/jobs/{job_id}")
        assert status == 200, answer
        return dict(answer)

    def ended(self, job_id: str) -> dict[str, Any]:
        """The job, once it has ended."""

        def look() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["State"] in ("Terminated", "Failed", "Stopped") else None

        return wait_for(look, "the end of the job")

    def log(self, job_id: str, task: str, number: int = 0, stream: str = "stdout") -> str:
        return (self.root / "work" / job_id / f"{stream}.{job_id}.{task}.{number}").read_text()

    def runner_pid(self) -> int | None:
        """The runner of this folder, by its command line."""
        return find_runner(self.root)

    def down(self) -> None:
        """End everything of this folder."""
        self.client.close()
        runners = list(find_processes(self.root, b"batchcompute_local.runner"))
        for pid in runners:
            _signal(pid, signal.SIGSTOP)  # else it starts the daemon again
        for pid in (*find_processes(self.root, b"batchcompute_local.daemon"), *runners):
            _signal(pid, signal.SIGKILL)
        for pid, _ in procs.attempts("job-"):
            if _works_in(pid, self.root):
                _signal(pid, signal.SIGKILL)
        file = Layout.at(self.root).groups
        wait_for(lambda: remove_all(file, self.root), "the groups to be removed")


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(folder))
    except OSError:
        return False
