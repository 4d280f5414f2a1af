"""A worker process: `python -m batchcompute_dask.nodes.worker SCHEDULER`. It looks for the scheduler for ever.

Its node stays the same meanwhile. A plain `dask worker` with this package can be a node too; it ends with its scheduler.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress

import dask
from distributed import Security, Worker
from distributed.comm import CommClosedError

from batchcompute_dask.nodes import place
from batchcompute_dask.nodes.calls import close_nodes

_log = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_THREADS_FOR_SLOT = 8
_MOST_CLOSING_SECONDS = 5.0
_CONFIG = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.comm.timeouts.connect": "5s",
}
"""Programs run in processes of their own: neither the profile nor the memory of this process says anything of them."""


async def work(scheduler: str, security: Security | None, slots: int, host: str | None) -> None:
    """Be a worker of the scheduler, and of the one after it, until cancelled."""
    while True:
        worker = Worker(
            scheduler,
            nthreads=slots * _THREADS_FOR_SLOT + 8,  # a chunk counts as one while it waits; slots limit the programs
            name=os.environ.get(place.ENV_NAME) or None,
            security=security,
            host=host,
            memory_limit=0,
            dashboard=False,
        )
        try:
            await worker
            await worker.finished()
            _log.warning("the connection to the scheduler was lost")
        except (OSError, TimeoutError, CommClosedError, RuntimeError, ValueError) as error:
            _log.warning("no connection to the scheduler %s: %s", scheduler, error or type(error).__name__)
        finally:
            with suppress(Exception):
                await asyncio.wait_for(worker.close(), _MOST_CLOSING_SECONDS)
        await asyncio.sleep(_PAUSE_SECONDS)


def make_security(options: argparse.Namespace) -> Security | None:
    """Return what the worker connects with, from the options."""
    if not options.tls_ca_file:
        return None
    return Security(
        require_encryption=True,
        tls_ca_file=options.tls_ca_file,
        tls_worker_cert=options.tls_cert,
        tls_worker_key=options.tls_key,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(prog="batchcompute_dask.nodes.worker", description="Be a node of a cluster.")
    parser.add_argument("scheduler", help="the address of the scheduler, such as tls://host:8786")
    parser.add_argument("--slots", type=int, default=os.cpu_count() or 1, help="instances that run at once")
    parser.add_argument("--cpu", type=int, default=0, help="limit on the sum of their Cpu, in hundredths of a core")
    parser.add_argument("--memory", type=int, default=0, help="limit on the sum of their Memory, in MB")
    parser.add_argument("--name", default="", help="the name of the node on its host")
    parser.add_argument("--folder", default="", help="where its files are")
    parser.add_argument("--host", default=None, help="the address at which it listens")
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        parser.add_argument(option, default="")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("distributed").setLevel(logging.WARNING)
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


async def _main(options: argparse.Namespace) -> None:
    working = asyncio.create_task(work(options.scheduler, make_security(options), options.slots, options.host))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, working.cancel)
    with suppress(asyncio.CancelledError):
        await working


if __name__ == "__main__":
    sys.exit(main())
