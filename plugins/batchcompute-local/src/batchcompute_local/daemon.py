"""The daemon: `python -P -m batchcompute_local.daemon --data-dir DIR`. It owns the data folder while it runs.

It ends by itself when nothing runs and nobody asks for `idle_seconds`. Ended by a signal it leaves running programs
to the runner, and the next daemon takes them up again.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchcompute_local import __version__
from batchcompute_local.paths import Layout, default_data_dir

if TYPE_CHECKING:
    from batchcompute_local.engine import Engine
    from batchcompute_local.settings import Settings

_log = logging.getLogger("batchcompute_local.daemon")
_LOCK_SECONDS = 15.0
_LOG_BYTES = 10 << 20


def main(arguments: list[str] | None = None) -> int:
    """Run until idle or told to end. Returns the exit code; 0 as well if another daemon serves the folder."""
    parser = argparse.ArgumentParser(prog="batchcompute_local.daemon", description="Run BatchCompute jobs here.")
    parser.add_argument("--data-dir", type=Path, default=None, help="the data folder")
    parser.add_argument("--detach", action="store_true", help="go to the background at once")
    parser.add_argument("--ready-fd", type=int, default=-1, help="write a byte here when requests are answered")
    options = parser.parse_args(arguments)
    if options.detach and os.fork():
        os._exit(0)
    layout = Layout.at(options.data_dir or default_data_dir())
    os.chdir("/")
    layout.create()
    _start_log(layout, to_stderr=not options.detach)
    try:
        lock = _take_lock(layout)
        if lock is None:
            _tell(options.ready_fd)
            return 0
        _serve(layout, options.ready_fd)
    except Exception:
        _log.exception("the daemon ends")
        return 1
    return 0


def _start_log(layout: Layout, to_stderr: bool) -> None:
    if layout.log.exists() and layout.log.stat().st_size > _LOG_BYTES:
        layout.log.replace(layout.log.with_suffix(".log.1"))
    os.close(os.open(layout.log, os.O_WRONLY | os.O_CREAT, 0o600))
    handlers: list[logging.Handler] = [logging.FileHandler(layout.log, encoding="utf-8", errors="backslashreplace")]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers)


def _take_lock(layout: Layout) -> int | None:
    """The lock on the folder, or None if another daemon holds it and answers. One that is ending is waited for."""
    from batchcompute_local.control import status

    handle = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            if status(layout.root) is not None:
                return None
            if time.monotonic() > deadline:
                raise TimeoutError(f"another daemon holds {layout.lock} and does not answer") from None
            time.sleep(0.02)


def _serve(layout: Layout, ready: int) -> None:
    from batchcompute_local.auth import Authenticator, OneAccount, ensure_credentials
    from batchcompute_local.settings import read_settings

    settings = read_settings(layout.settings)
    account = ensure_credentials(layout.credentials)
    layout.oss.mkdir(mode=0o700, exist_ok=True)
    engine = _engine(layout, settings)
    failure: list[BaseException] = []
    # the runner starts and the jobs are read while the server's modules are being imported
    recovery = threading.Thread(target=_recover, args=(engine, failure))
    recovery.start()
    from batchcompute_local.app import Front
    from batchcompute_local.server import serve

    recovery.join()
    if failure:
        raise failure[0]
    engine.start()
    front = Front(engine, Authenticator(OneAccount(account)), settings, lambda: _status(engine))
    try:
        serve(front, engine, layout.socket, settings.idle_seconds, lambda: _tell(ready))
    finally:
        engine.close()
    _log.info("ended")


def _engine(layout: Layout, settings: Settings) -> Engine:
    from batchcompute_local.engine import Engine
    from batchcompute_local.executors.process import ProcessExecutor
    from batchcompute_local.store import Store

    store = Store(layout.database)
    executor = ProcessExecutor(layout, settings, store.prefix, lambda job: store.summary(job) is not None)
    return Engine(store, executor, settings.slots)


def _recover(engine: Engine, failure: list[BaseException]) -> None:
    try:
        engine.recover()
    except BaseException as error:
        failure.append(error)


def _status(engine: Engine) -> dict[str, Any]:
    return {"version": __version__, "pid": os.getpid(), "idle": not engine.busy, "active_jobs": len(engine.jobs)}


def _tell(ready: int) -> None:
    if ready >= 0:
        os.write(ready, b"1")
        os.close(ready)


if __name__ == "__main__":
    sys.exit(main())
