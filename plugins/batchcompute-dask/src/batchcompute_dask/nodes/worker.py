"""A worker process: `python -m batchcompute_dask.nodes.worker SCHEDULER`. It looks for the scheduler for ever.

Its node stays the same meanwhile. A plain `dask worker` with this package can be a node too; it ends with its scheduler.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import dask
from dask.utils import parse_bytes
from distributed import Security, Worker
from distributed.comm import CommClosedError

from batchcompute_dask.nodes import place
from batchcompute_dask.nodes.calls import close_nodes
from batchcompute_dask.security import make_security

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_THREADS_FOR_SLOT = 8
_MOST_CLOSING_SECONDS = 5.0
_MB = 1 << 20
_PARENT_DEATH_SIGNAL = 1  # prctl(2) PR_SET_PDEATHSIG
_CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "5s",
}
"""Programs run in processes of their own: neither the profile nor the memory of this process says anything of them."""


async def work(options: argparse.Namespace, security: Security | None) -> None:
    """Be a worker of the scheduler, and of the one after it, until cancelled, or too long without one."""
    alone_since = time.monotonic()
    while time.monotonic() - alone_since < options.death_timeout:
        worker = Worker(
            options.scheduler,
            nthreads=options.slots * _THREADS_FOR_SLOT
            + 8,  # a chunk counts as one while it waits; slots limit the programs
            name=os.environ.get(place.ENV_NAME) or None,
            security=security,
            host=options.host,
            interface=options.interface,
            memory_limit=0,
            dashboard=False,
            dashboard_address="127.0.0.1:0",  # it has a port of HTTP all the same
        )
        try:
            await worker
            await worker.finished()
            alone_since = time.monotonic()
            _log.warning("the connection to the scheduler was lost")
        except (OSError, TimeoutError, CommClosedError, RuntimeError, ValueError) as error:
            _log.warning("no connection to the scheduler %s: %s", options.scheduler, error or type(error).__name__)
        finally:
            with suppress(Exception):
                await asyncio.wait_for(worker.close(), _MOST_CLOSING_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Return the options, also those that dask-jobqueue gives to a worker."""
    parser = argparse.ArgumentParser(prog="batchcompute_dask.nodes.worker", description="Be a node of a cluster.")
    parser.add_argument("scheduler", help="the address of the scheduler, such as tls://host:8786")
    parser.add_argument(
        "--slots", "--nthreads", type=int, default=os.cpu_count() or 1, help="instances that run at once"
    )
    parser.add_argument("--cpu", type=int, default=0, help="limit on the sum of their Cpu, in hundredths of a core")
    parser.add_argument("--memory", type=int, default=0, help="limit on the sum of their Memory, in MB")
    parser.add_argument("--memory-limit", type=parse_bytes, help="the same with a unit, such as 4GiB; sets --cpu too")
    parser.add_argument("--name", default="", help="the name of the node on its host")
    parser.add_argument("--folder", "--local-directory", default="", help="where its files are")
    address = parser.add_mutually_exclusive_group()
    address.add_argument("--host", help="the address at which it listens")
    address.add_argument("--interface", help="the network interface at which it listens")
    parser.add_argument(
        "--death-timeout", type=float, default=math.inf, help="end after so many seconds without a scheduler"
    )
    parser.add_argument(
        "--parent", type=int, default=0, help="end with the process of this id, which must be the parent"
    )
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        parser.add_argument(option, default="")
    parser.add_argument("--tls-stdin", action="store_true", help="read them from stdin, and end when it is closed")
    options = parser.parse_args(arguments)
    if options.memory_limit is not None:  # dask-jobqueue: what the job was given
        options.memory = options.memory or options.memory_limit // _MB
        options.cpu = options.cpu or 100 * options.slots
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("distributed").setLevel(logging.WARNING)
    if options.parent and not _ends_with(options.parent):
        return 1
    if options.tls_stdin:
        options.tls_ca_file = options.tls_cert = _keep(_read_certificates())
    values = {
        place.ENV_SLOTS: str(options.slots),
        place.ENV_CPU: str(options.cpu),
        place.ENV_MEMORY: str(options.memory),
        place.ENV_NAME: options.name,
        place.ENV_FOLDER: os.path.abspath(options.folder) if options.folder else "",
    }
    os.environ.update({name: value for name, value in values.items() if value})
    with dask.config.set(_CONFIG):
        asyncio.run(_main(options))
    close_nodes()
    return 0


def _ends_with(parent: int) -> bool:
    """Have this process end with its parent; False if that has ended already."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    return os.getppid() == parent


def _read_certificates() -> bytes:
    """Return what stdin has up to an empty line."""
    lines = []
    while (line := sys.stdin.buffer.readline()).strip():
        lines.append(line)
    return b"".join(lines)


def _keep(certificates: bytes) -> str:
    """Return the path of a file in memory, which nobody else has."""
    number = os.memfd_create("certificates", os.MFD_CLOEXEC)
    os.write(number, certificates)
    return f"/proc/self/fd/{number}"


async def _main(options: argparse.Namespace) -> None:
    security = make_security(options.tls_ca_file, options.tls_cert, options.tls_key)
    working = asyncio.create_task(work(options, security))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)
    if options.tls_stdin:
        threading.Thread(target=_wait_for_end, args=(loop, working.cancel), daemon=True).start()
    with suppress(asyncio.CancelledError):
        await working


def _wait_for_end(loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(end)


if __name__ == "__main__":
    sys.exit(main())
