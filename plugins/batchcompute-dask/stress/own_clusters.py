"""The cluster of a service: its processes, and its end."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from batchcompute_dask.clusters import place
from batchcompute_local.client import control
from batchcompute_local.filelocks import find_holder
from batchcompute_local.paths import Layout
from dask_cluster import is_running, sweep

from tests.support.service import Cloud
from tests.support.waits import wait_for

WAITS = """
import os, time
print("begun", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.05)
print("done")
"""


def start_waiting(service: Cloud, count: int) -> tuple[str, list[Path]]:
    """Start a job whose programs wait for the file $GO; its id, and their logs, when all of them run."""
    service.program(WAITS)
    service.up()
    job = service.create({"A": {"InstanceCount": count, "ResourceDescription": {"Cpu": 100, "Memory": 500}}})
    logs = [service.root / "work" / job / f"stdout.{job}.A.{number}" for number in range(count)]
    wait_for(lambda: all(log.exists() and log.read_text() == "begun\n" for log in logs), "the starts", 90)
    return job, logs


def end_all(service: Cloud) -> None:
    """End the service, and its cluster as a user would; then what is left of its nodes."""
    control.stop(service.root)
    service.down()
    pid = cluster_pid(service.root)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not is_running(pid), "the end of the cluster", 30)
    wait_for(lambda: workers_of(service.root) == [], "the end of its workers", 30)
    sweep(service.root / "dask/nodes")


def cluster_pid(root: Path) -> int | None:
    """The cluster process."""
    return find_holder(place.lock_path(Layout.at(root)))


def processes_of(root: Path) -> dict[int, list[str]]:
    """The processes whose command line names the folder."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if any(str(root) in word for word in words):
            found[int(name)] = words
    return found


def workers_of(root: Path) -> list[int]:
    """The workers of the cluster."""
    return [pid for pid, words in processes_of(root).items() if "batchcompute_dask.nodes.worker" in words]


def listening(pid: int) -> list[str]:
    """The addresses at which a process listens, as /proc has them."""
    inodes = links(pid)
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    rows += [line.split() for line in Path(f"/proc/{pid}/net/tcp6").read_text().splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def links(pid: int) -> set[str]:
    """What the open files of a process are. It may open and close some meanwhile."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(each))
    return found


def first_byte(address: str, certificate: Path | None) -> bytes:
    """What a scheduler with TLS says to who comes with this certificate; nothing if it hangs up."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    try:
        with context.wrap_socket(wait_for(lambda: connect(address), "the scheduler")) as sock:
            return sock.recv(1)
    except (ssl.SSLError, ConnectionError):
        return b""


def connect(address: str) -> socket.socket | None:
    """Connect; None if nobody listens yet."""
    parts = urlsplit(address)
    try:
        return socket.create_connection((parts.hostname, parts.port or 0), timeout=20)
    except ConnectionRefusedError:
        return None
