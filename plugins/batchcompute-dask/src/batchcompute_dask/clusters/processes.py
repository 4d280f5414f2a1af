"""Workers that are processes, here or behind ssh. They end with the process that started them; runners keep their programs."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from batchcompute_local.daemon_log import put_long_log_aside

from batchcompute_dask.settings import Options

_END_SECONDS = 5.0
_WORKER = "batchcompute_dask.nodes.worker"


class Processes:
    """A Starter of one command for each worker. With `stdin` they get that, and end when it is closed."""

    def __init__(self, commands: Mapping[str, list[str]], log: Path, stdin: bytes | None = None) -> None:
        self._commands = commands
        self._log = log
        self._stdin = stdin
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> Collection[str]:
        """See Starter."""
        return self._commands

    async def start(self, name: str) -> None:
        """See Starter."""
        path = self._log / f"worker-{name}.log"
        put_long_log_aside(path)
        with open(path, "ab", opener=lambda file, flags: os.open(file, flags, 0o600)) as log:
            process = subprocess.Popen(  # noqa: S603  # from the operator's settings
                self._commands[name],
                stdin=subprocess.DEVNULL if self._stdin is None else subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._running[name] = process
        if process.stdin is not None and self._stdin is not None:
            with suppress(BrokenPipeError):  # it has ended; its log says why
                process.stdin.write(self._stdin)  # less than a pipe takes
                process.stdin.flush()

    async def is_there(self, name: str) -> bool:
        """See Starter."""
        process = self._running.get(name)
        return process is not None and process.poll() is None

    async def close(self) -> None:
        """See Starter."""
        for process in self._running.values():
            if process.stdin is not None:
                with suppress(BrokenPipeError):
                    process.stdin.close()
            process.terminate()
        await asyncio.to_thread(self._end)  # they take their leave of the scheduler, which is in this loop

    def _end(self) -> None:
        end = time.monotonic() + _END_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def make_local(options: Options, address: str, log: Path) -> Processes:
    """Return a Starter of workers on this machine."""
    slots = max(1, (os.cpu_count() or 1) // max(1, options.workers))
    more = [*_limits({"slots": slots, **options.table}), *_security(options), "--parent", str(os.getpid())]
    folder = str(log / "nodes")
    commands = {
        f"w{number}": [
            *(sys.executable, "-P", "-m", _WORKER, address, "--name", f"w{number}"),
            *("--folder", folder, "--host", str(urlsplit(address).hostname), *more),
        ]
        for number in range(1, options.workers + 1)
    }
    return Processes(commands, log)


def make_ssh(options: Options, address: str, log: Path) -> Processes:
    """Return a Starter of a worker on each host. Its certificate travels over stdin, and is on no disk there. Raises OSError."""
    python = str(options.table.get("python") or (sys.executable if options.shared_files else "python3"))
    folder = options.table.get("folder")
    more = [*_limits(options.table), "--tls-stdin", *(("--folder", str(folder)) if folder else ())]
    commands = {}
    for host in options.table["hosts"]:
        name = str(host).rpartition("@")[2]
        there = shlex.join([python, "-P", "-m", _WORKER, address, "--name", name, *more])
        commands[name] = ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5", "--", str(host), f"exec {there}"]
    parts = [
        Path(path).read_bytes()
        for path in dict.fromkeys((options.tls_ca_file, options.tls_cert, options.tls_key))
        if path
    ]
    return Processes(commands, log, b"".join(parts) + b"\n")


def _limits(table: Mapping[str, object]) -> list[str]:
    return [word for name in ("slots", "cpu", "memory") if name in table for word in (f"--{name}", str(table[name]))]


def _security(options: Options) -> list[str]:
    found = {"--tls-ca-file": options.tls_ca_file, "--tls-cert": options.tls_cert, "--tls-key": options.tls_key}
    return [word for name, path in found.items() if path for word in (name, path)]
