"""The cluster process: `python -m batchcompute_dask.clusters ROOT FD`, with FD to say that it is ready. One for each data folder.

After it was killed the next one has the same address. Workers that still run find it there, and only others are started.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from urllib.parse import urlsplit

from batchcompute_local.filelocks import locked
from batchcompute_local.paths import Layout

from batchcompute.installing import advise
from batchcompute_dask.clusters import place
from batchcompute_dask.clusters.batch import Jobs
from batchcompute_dask.clusters.keeping import Starter, keep, watch_clients
from batchcompute_dask.clusters.processes import make_local, make_ssh
from batchcompute_dask.clusters.scheduler import host_of, start_scheduler
from batchcompute_dask.folder import folder_of
from batchcompute_dask.security import make_security
from batchcompute_dask.settings import LOCAL, SSH, Options

_log = logging.getLogger("batchcompute_dask.clusters")
_LOCK_SECONDS = 5.0
_CLOSE_SECONDS = 10.0


async def run(layout: Layout, options: Options, linger: float, ready: int) -> None:
    """Have the cluster run until nobody needs it. Raises OSError, ImportError, ValueError."""
    ends = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ends.set)
    security = make_security(options.tls_ca_file, options.tls_cert, options.tls_key)
    port = options.port or urlsplit(place.read_address(layout)).port or 0
    scheduler = await start_scheduler(host_of(options), port, security)
    starter = make_starter(layout, options, scheduler.address)
    place.write_address(layout, scheduler.address, f"http://127.0.0.1:{scheduler.http_server.port}/status")
    os.write(ready, b"1")
    os.close(ready)
    _log.info("the scheduler listens at %s", scheduler.address)
    works = (keep(scheduler, starter), watch_clients(scheduler, linger), ends.wait())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await starter.close()
        await asyncio.wait_for(scheduler.close(), _CLOSE_SECONDS)
    _log.info("the cluster has ended")


def make_starter(layout: Layout, options: Options, address: str) -> Starter:
    """Return what starts the workers. Raises OSError, ImportError, ValueError."""
    if options.cluster == LOCAL:
        return make_local(options, address, folder_of(layout))
    if options.cluster == SSH:
        return make_ssh(options, address, folder_of(layout))
    return Jobs(layout, options, address)


def main(root: str, ready: str) -> int:
    """Run it; what is wrong is the last line of the log."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("distributed").setLevel(logging.ERROR)
    layout = Layout.at(root)
    wanted = place.read_wanted(layout)
    try:
        with locked(place.lock_path(layout), time.monotonic() + _LOCK_SECONDS):
            asyncio.run(run(layout, Options(**wanted["options"]), wanted["linger"], int(ready)))
    except ImportError as error:
        print(f"{error}; {advise('jobqueue')}", file=sys.stderr)  # noqa: T201  # the log
        return 1
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # the log
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
