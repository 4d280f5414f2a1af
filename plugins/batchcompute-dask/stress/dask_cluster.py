"""A real Dask cluster in a folder of its own: a scheduler and worker processes, each of which can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batchcompute_local import procs
from batchcompute_local.containment import remove_all
from batchcompute_local.paths import Layout
from networks import Networks

_OTHER_VERSION = """
import sys
import batchcompute_dask
batchcompute_dask.__version__ = sys.argv.pop(1)
sys.exit(__import__("batchcompute_dask.nodes.worker", fromlist=["main"]).main())
"""


class DaskCluster:
    """`folder` holds the nodes' folders and the logs. The scheduler has a port, which it keeps when it is started again."""

    def __init__(self, folder: Path, slots: int = 2, networks: Networks | None = None, tls: Path | None = None) -> None:
        """`tls`: a file with the certificate that all have, which is its own authority, and its key."""
        self.folder = folder
        self.nodes = folder / "nodes"
        self.slots = slots
        self.networks = networks
        self.tls = tls
        self.port = _free_port()
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def up(self, *names: str) -> None:
        """Start the scheduler and these workers."""
        self.start_scheduler()
        for name in names:
            self.start_worker(name)

    def start_scheduler(self) -> None:
        """Start it, again if it was killed."""
        self.scheduler = self._spawn(
            "scheduler",
            [
                *(sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--port", str(self.port)),
                *(("--tls-ca-file", str(self.tls), "--tls-cert", str(self.tls)) if self.tls else ()),
                *("--host", "0.0.0.0" if self.networks else "127.0.0.1"),  # the networks are of this machine only
            ],
        )

    def start_worker(self, name: str, version: str = "") -> None:
        """Start a worker, again if it was killed; with `version` one of that version."""
        options = ["--name", name, "--slots", str(self.slots), "--folder", str(self.nodes)]
        address, host, words = self.address, "127.0.0.1", [sys.executable]
        if self.networks is not None:
            address = f"tcp://{self.networks.service_address(name)}:{self.port}"
            host, words = self.networks.address(name), [*self.networks.inside(name), sys.executable]
        if self.tls is not None:
            options += ["--tls-ca-file", str(self.tls), "--tls-cert", str(self.tls), "--tls-key", str(self.tls)]
        module = ["-c", _OTHER_VERSION, version] if version else ["-m", "batchcompute_dask.nodes.worker"]
        self.workers[name] = self._spawn(name, [*words, *module, address, *options, "--host", host])

    def _spawn(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        self.folder.mkdir(exist_ok=True)
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """SIGKILL to a worker, or to the `scheduler`."""
        process = self.scheduler if name == "scheduler" else self.workers[name]
        if process is not None:
            process.kill()
            process.wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a worker."""
        self.workers[name].send_signal(number)

    def runners(self) -> Iterator[int]:
        """The runners of all nodes."""
        yield from (pid for pid, _ in self.find_runners())

    def find_runners(self) -> Iterator[tuple[int, str]]:
        """Pid and node folder of each runner."""
        return find_runners(self.nodes)

    def programs(self) -> list[int]:
        """The programs of all nodes."""
        return find_programs(self.nodes)

    def down(self) -> None:
        """End all of it."""
        for process in [*self.workers.values(), *([self.scheduler] if self.scheduler is not None else [])]:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        sweep(self.nodes)


def find_runners(nodes: Path) -> Iterator[tuple[int, str]]:
    """Pid and node folder of each runner of the nodes in a folder."""
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit():
                words = os.fsdecode(Path("/proc", name, "cmdline").read_bytes()).split("\0")
                if any("batchcompute_local.runner" in word for word in words):
                    found = [word for word in words if word.startswith(str(nodes))]
                    if found:
                        yield int(name), found[0]


def find_programs(nodes: Path) -> list[int]:
    """The programs of the nodes in a folder."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.readlink(f"/proc/{name}/cwd").startswith(str(nodes)):
                found.append(int(name))
    return found


def sweep(nodes: Path) -> None:
    """End what runs without workers in the nodes of a folder."""
    deadline = time.monotonic() + 20
    while (left := [*(pid for pid, _ in find_runners(nodes)), *find_programs(nodes)]) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for file in nodes.glob("*/*/runner.groups"):
        while not remove_all(Layout.at(file.parent).groups, file.parent) and time.monotonic() < deadline:
            time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    return procs.start_time(pid) is not None


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
