"""What the service's benchmarks share: a service of their own, and the loop it is compared with.

Both sides run the same program with the same arguments and environment: mostly `/bin/true`, which `service.toml` names
as the interpreter, so that what is measured is the service and not a Python that starts.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchcompute_local.client import control
from batchcompute_local.jobs.model import Changes
from batchcompute_local.jobs.store import Store
from batchcompute_local.paths import Layout

from batchcompute import Client

SLOTS = 2
PROGRAM = "/bin/true"
PACKAGE = "oss://bench/worker.tar.gz"
LIMIT_BYTES = 150e6
"""What the daemon may take of memory."""
_LONGEST_SECONDS = 600.0

_SCRIPT = "print(1)\n"

FLOOR = """\
import os, shutil, sys, time
folder, program, script, slots, count = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
# what the service gives its programs is as large as this
environment = {f"BATCH_COMPUTE_DAG_VARIABLE_{n}": "x" * 30 for n in range(25)}
flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND

def start(number):
    work = f"{folder}/{number}"
    os.mkdir(work)
    out, err = os.open(f"{work}/stdout", flags, 0o600), os.open(f"{work}/stderr", flags, 0o600)
    actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, out, 1),
               (os.POSIX_SPAWN_DUP2, err, 2)]
    pid = os.posix_spawn(program, [program, script], environment, file_actions=actions)
    os.close(out)
    os.close(err)
    return pid

started = time.perf_counter()
begun = ended = 0
while ended < count:
    while begun < count and begun - ended < slots:
        start(begun)
        begun += 1
    os.waitpid(-1, 0)
    ended += 1
print((time.perf_counter() - started) / count)
"""


class Stage:
    """A running service in a folder of its own."""

    def __init__(self, client: Client, data: Path) -> None:
        self.client = client
        self.data = data
        found = control.status(data)
        assert found is not None
        self.daemon = int(found["pid"])

    def run(
        self,
        tasks: Mapping[str, Mapping[str, Any]],
        dependencies: Mapping[str, Any] | None = None,
    ) -> float:
        """Wall seconds for each instance of such a job, from before its submission to its end."""
        elapsed, job_id = self.finish(tasks, dependencies)
        self.delete(job_id)
        return elapsed / sum(int(task.get("InstanceCount", 1)) for task in tasks.values())

    def finish(
        self,
        tasks: Mapping[str, Mapping[str, Any]],
        dependencies: Mapping[str, Any] | None = None,
    ) -> tuple[float, str]:
        """Wall seconds of such a job, from before its submission to its end; and its id."""
        description = describe(tasks, dependencies or {})
        started = time.perf_counter()
        job = self.client.create_job(description)
        found = self.client.wait(job, timeout=_LONGEST_SECONDS)
        elapsed = time.perf_counter() - started
        count = sum(int(task.get("InstanceCount", 1)) for task in tasks.values())
        assert (found.State, found.NumFinishedInstance) == ("Finished", count), found
        return elapsed, job.JobId

    def delete(self, job_id: str) -> None:
        """Delete a job, and wait until its files are gone: what is measured next shall not pay for it."""
        self.client.delete_job(job_id)
        while (self.data / "work" / job_id).exists():
            time.sleep(0.001)

    def multiply(self, count: int) -> None:
        """Have `count` jobs in the store, copies of one that ran; the daemon is started again for it."""
        job_id = self.client.create_job(describe({"Task": {}}, {})).JobId
        self.client.wait(job_id, timeout=_LONGEST_SECONDS)
        control.stop(self.data)
        store, changes = Store(Layout.at(self.data).database), Changes()
        found = store.summary(job_id)
        assert found is not None
        pattern = store.complete(found)
        for _ in range(count - 1):
            seq, new_id = store.next_id()
            changes.created[seq] = copy = replace(pattern, seq=seq, id=new_id)
            changes.touch(copy)
        store.commit(changes)
        store.close()

    def memory(self, field: str = "VmRSS") -> float:
        """Bytes of the daemon's memory by /proc; `VmHWM` is the highest since its start."""
        status = Path(f"/proc/{self.daemon}/status").read_text()
        return float(status.partition(f"{field}:")[2].split()[0]) * 1024


def describe(tasks: Mapping[str, Mapping[str, Any]], dependencies: Mapping[str, Any]) -> dict[str, Any]:
    """A job of such tasks, whose other settings are the same for all."""
    plain = {
        "PackageUri": PACKAGE,
        "ProgramName": "main.py",
        "ProgramType": "python",
        "InstanceCount": 1,
        "ResourceDescription": {"Cpu": 1, "Memory": 1},
        "Timeout": 600,
        "ImageId": "img-local",
    }
    dag = {"TaskDescMap": {name: {**plain, **task} for name, task in tasks.items()}, "Dependencies": dependencies}
    return {"JobName": "bench", "Priority": 1, "TaskDag": dag}


def floor(folder: Path, count: int, slots: int = SLOTS, program: str = PROGRAM) -> float:
    """Wall seconds for each program, of a loop that makes a folder and two files for each."""
    with tempfile.TemporaryDirectory(dir=folder) as made:
        script = Path(made, "main.py")
        script.write_text(_SCRIPT)
        command = [sys.executable, "-I", "-S", "-c", FLOOR, made, program, str(script), str(slots), str(count)]
        run = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_LONGEST_SECONDS)
        return float(run.stdout)


@contextmanager
def stage(program: str = PROGRAM, settings: str = "") -> Iterator[Stage]:
    """A service with two slots, a package and a home of its own; nothing of it is left afterwards.

    `program` is the path of what runs the package's main.py; `settings` are more lines for service.toml.
    """
    before = {name: os.environ.get(name) for name in ("HOME", "BATCHCOMPUTE_DATA_DIR")}
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        data = Path(made, "data")
        data.mkdir(mode=0o700)
        (data / "service.toml").write_text(
            f'slots = {SLOTS}\nidle_seconds = 600\nrunner_linger_seconds = 1\nprograms.python = "{program}"\n{settings}'
        )
        os.environ |= {"HOME": made, "BATCHCOMPUTE_DATA_DIR": str(data)}
        try:
            with Client("local") as client:
                client.objects.put(PACKAGE, _package())
                client.list_images()
                yield Stage(client, data)
        finally:
            _end(data)
            for name, value in before.items():
                os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _end(data: Path) -> None:
    """Stop the daemon and wait for its runner, which ends with it when nothing runs."""
    found = control.status(data)
    try:
        control.stop(data)
    except Exception:
        with suppress(OSError, TypeError):
            os.kill(int((found or {})["pid"]), signal.SIGKILL)
        raise
    deadline = time.monotonic() + 20
    while (data / "runner.sock").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _package() -> bytes:
    text = _SCRIPT.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("main.py")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()
