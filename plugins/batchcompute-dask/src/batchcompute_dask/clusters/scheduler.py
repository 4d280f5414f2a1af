"""Dask's scheduler with our certificate: `python -m batchcompute_dask.clusters.scheduler`. Its dashboard is on loopback only."""

from __future__ import annotations

import argparse
import asyncio
import signal

import dask
from distributed import Scheduler, Security
from distributed.utils import get_ip

from batchcompute_dask.security import make_security
from batchcompute_dask.settings import LOCAL, Options

DASHBOARD = "127.0.0.1:0"
_CONFIG = {"distributed.scheduler.allowed-failures": 0, "distributed.comm.timeouts.connect": "5s"}


def host_of(options: Options) -> str:
    """Return the address of this machine for the nodes of a cluster that the service starts."""
    return options.host or ("127.0.0.1" if options.cluster == LOCAL else str(get_ip()))


async def start_scheduler(host: str, port: int, security: Security | None) -> Scheduler:
    """Return a scheduler that listens there; on another port if that one is taken. Raises OSError."""
    dask.config.set(_CONFIG)
    protocol = "tls" if security is not None else "tcp"
    try:
        return await _make(host, port, protocol, security)
    except (OSError, RuntimeError):
        if not port:
            raise
        return await _make(host, 0, protocol, security)


async def _make(host: str, port: int, protocol: str, security: Security | None) -> Scheduler:
    scheduler = Scheduler(host=host, port=port, protocol=protocol, security=security, dashboard_address=DASHBOARD)
    await scheduler
    return scheduler


async def _run(options: argparse.Namespace) -> None:
    ends = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ends.set)
    security = make_security(options.tls_ca_file, options.tls_cert, options.tls_key)
    scheduler = await start_scheduler(options.host, options.port, security)
    print(f"Listening on {scheduler.address}", flush=True)  # noqa: T201  # for who started it
    await ends.wait()
    await scheduler.close()


def main(arguments: list[str] | None = None) -> None:
    """Run until a signal."""
    parser = argparse.ArgumentParser(prog="batchcompute_dask.clusters.scheduler", description="Be a scheduler.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8786)
    for option in ("--tls-ca-file", "--tls-cert", "--tls-key"):
        parser.add_argument(option, required=option != "--tls-key", default="")
    asyncio.run(_run(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
