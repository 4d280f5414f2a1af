"""The daemon: `python -P -m batchcompute_local.daemon --data-dir DIR`. It owns the data folder while it runs.

It ends after `idle_seconds` without jobs and requests, unless it listens on a port (`batchcompute serve`). After a signal
it ends too; running programs stay with the runner, and the next daemon takes them over.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchcompute_local import folder_lock, known_state
from batchcompute_local.clocks import SteadyClock, uptime
from batchcompute_local.daemon_log import start_log
from batchcompute_local.errors import DaemonError, SettingsError
from batchcompute_local.foreground import PatientStream
from batchcompute_local.http.accounts import AccountError
from batchcompute_local.paths import Layout, default_data_dir
from batchcompute_local.procs import boot_id
from batchcompute_local.self_status import INSTALLATION, SelfStatus
from batchcompute_local.self_watch import SelfWatch

if TYPE_CHECKING:
    import socket

    from batchcompute_local.executors.base import AnyExecutor
    from batchcompute_local.http.network import Address
    from batchcompute_local.jobs.engine import Engine
    from batchcompute_local.jobs.store import Store
    from batchcompute_local.records import Introduce
    from batchcompute_local.settings import Settings

_log = logging.getLogger("batchcompute_local.daemon")
_STDOUT, _STDERR = 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run until idle or until a signal. Return the exit code, 0 also if another daemon serves the folder."""
    options = _options(arguments)
    if options.detach and os.fork():
        os._exit(0)
    layout = Layout.at(options.data_dir or default_data_dir())
    address = _address(options)
    in_background = options.detach or options.ready_fd >= 0  # then stderr is the log
    known_state.enter(keep=(options.ready_fd, options.lock_fd), foreground=not in_background)
    try:
        layout.create()
        start_log(layout, to_stderr=not in_background)
    except OSError as error:  # there is no log yet; in the background stderr is the file of the log
        sys.stderr.write(f"the daemon ends: {error.filename or layout.root} cannot be used: {error.strerror}\n")
        return 1
    try:
        is_restarted = in_background and not options.detach  # by the runner, which holds the start lock
        lock = folder_lock.take_for_port(layout) if address and not is_restarted else folder_lock.take(layout)
        folder_lock.release_start_lock(options.lock_fd)
        if lock is None:
            _notify(options.ready_fd)
            return 0
        _serve(layout, lock, options.ready_fd, address, is_restarted)
    except (DaemonError, SettingsError, AccountError) as error:  # errors that the user can correct
        _log.error("the daemon ends: %s", error)
        return 1
    except OSError as error:
        _log.error("the daemon ends: %s", error, exc_info=error.filename is None)
        return 1
    except Exception:
        _log.exception("the daemon ends")
        return 1
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="batchcompute_local.daemon", description="Run BatchCompute jobs here.")
    parser.add_argument("--data-dir", type=Path, default=None, help="the data folder")
    parser.add_argument("--detach", action="store_true", help="go to the background at once")
    parser.add_argument("--ready-fd", type=int, default=-1, help="write a byte here when requests are answered")
    parser.add_argument("--lock-fd", type=int, default=-1, help="unlock this when the data folder is locked")
    parser.add_argument("--port", type=int, default=None, help="listen on a port as well, and do not end when idle")
    parser.add_argument("--host", default="127.0.0.1", help="where that port is")
    parser.add_argument("--certfile", type=Path, default=None, help="its certificate, for TLS")
    parser.add_argument(
        "--keyfile", type=Path, default=None, help="the certificate's key, if it is not in the same file"
    )
    parser.add_argument("--insecure-bind", action="store_true", help="let other machines in without TLS")
    return parser.parse_args(arguments)


def _address(options: argparse.Namespace) -> Address | None:
    if options.port is None:
        return None
    from batchcompute_local.http.network import Address

    certificate, key = (path and path.absolute() for path in (options.certfile, options.keyfile))
    return Address(options.host, options.port, certificate, key, options.insecure_bind)


def _serve(layout: Layout, lock: int, ready: int, address: Address | None, is_restarted: bool) -> None:
    from batchcompute_local.http.accounts import WatchedAccounts, ensure_credentials
    from batchcompute_local.objects.backing import find_missing
    from batchcompute_local.objects.buckets import find_owner
    from batchcompute_local.objects.remote import open_objects
    from batchcompute_local.objects_service import Endpoint
    from batchcompute_local.places import mend_places
    from batchcompute_local.settings import read_settings

    for mended in mend_places(layout):
        _log.warning("%s", mended)
    settings = read_settings(layout.settings)
    if settings.programs or settings.images or settings.executors or settings.buckets:
        from batchcompute_local.extensions import check_names

        check_names(settings, layout.settings)
    known = WatchedAccounts(ensure_credentials(layout.credentials), layout)
    tls, port = (address.tls(), address.listen()) if address else (None, None)
    url = address.url(port) if address and port else ""
    for folder in (layout.oss, layout.programs_socket.parent):
        with suppress(FileExistsError):  # Path.mkdir would look at it, and the objects may be on a network folder
            os.mkdir(folder, 0o700)
    endpoint = Endpoint(layout, settings, address)
    clock = SteadyClock()
    engine, executor = _engine(layout, settings, clock, _introduction(layout, address, port))
    failure: list[BaseException] = []
    # start the runner and read the jobs while the server's modules are imported
    recovery = threading.Thread(target=_recover, args=(engine, failure))
    recovery.start()
    from batchcompute_local import unixsocket
    from batchcompute_local.attempt_files import AttemptKeys
    from batchcompute_local.copying import Copying
    from batchcompute_local.housekeeping import Housekeeping
    from batchcompute_local.http.application import Front
    from batchcompute_local.http.attempts import AttemptAccounts
    from batchcompute_local.http.auth import Authenticator
    from batchcompute_local.http.connections import Limits, fit_to_descriptors
    from batchcompute_local.http.nonces import Nonces
    from batchcompute_local.http.server import Listener, serve
    from batchcompute_local.jobs.opening import describe_failure

    recovery.join()
    if failure:
        raise describe_failure(layout, failure[0])
    engine.start()
    copying = Copying(layout, settings)
    copying.start()
    housekeeping = Housekeeping(layout, settings, engine, clock.least)
    housekeeping.start()
    nonces = Nonces(layout.nonces, time.time())
    accounts = AttemptAccounts(known, AttemptKeys.of(layout), engine.runs)
    authenticator = Authenticator(accounts, nonces=nonces, require_nonce=settings.require_nonce)
    count = 2 + (port is not None) + len(endpoint.sockets) + (endpoint.outer is not None)
    most, refusals = fit_to_descriptors(settings.max_connections, count)
    if most < settings.max_connections:
        _log.warning("at most %d connections at once: the limit on open files (ulimit -n) allows no more", most)
    limits = most, settings.request_seconds, refusals
    watch = SelfWatch(layout, lock, clock, lambda: engine.trouble)
    more: dict[str, Any] = {**({"url": url} if url else {}), **({"restarted": True} if is_restarted else {})}
    more |= endpoint.describe()
    if settings.buckets:
        more["buckets_elsewhere"] = {name: each.place for name, each in settings.buckets.items()}
    status = SelfStatus(
        engine,
        executor,
        more,
        (
            engine.writing.notes,
            watch.troubles,
            copying.troubles,
            lambda: getattr(executor, "notes", ()),
            lambda: [text for each in settings.buckets.values() if (text := find_missing(each))],
        ),
    )
    objects = open_objects(layout.oss, settings.buckets, layout.unsent)
    owner_of = partial(find_owner, objects)
    is_shared = layout.accounts.exists
    front = Front(engine, authenticator, settings, layout, status.answers(), owner_of, is_shared, aside=[INSTALLATION])
    others = Front(engine, authenticator, settings, layout, None, owner_of, is_shared, endpoint.outer_port)
    listeners = [Listener(unixsocket.listen(layout.socket), front, Limits(*limits), path=layout.socket)]
    inside = layout.programs_socket  # with limits of its own, as the port: programs do not keep the user out
    listeners.append(Listener(unixsocket.listen(inside), others, Limits(*limits), path=inside))
    if port is not None:
        listeners.append(Listener(port, others, Limits(*limits), tls))
    oss = endpoint.application(objects, accounts, settings)
    listeners += [Listener(sock, oss, Limits(*limits)) for sock in endpoint.sockets]
    if endpoint.outer is not None:
        listeners.append(Listener(endpoint.outer[0], oss, Limits(*limits), tls))
    idle_seconds = settings.idle_seconds if address is None else None
    has_failed = True
    try:
        serve(listeners, engine, idle_seconds, lambda: _announce(layout, ready, url), watch.look)
        has_failed = not engine.alive
    finally:
        housekeeping.close()
        copying.close()
        engine.close(has_failed)
        nonces.close()
        oss.close()
        objects.database.close()
    if has_failed:
        raise DaemonError("the engine or its executor has failed; see above")
    _log.info("ended")


def _introduction(layout: Layout, address: Address | None, port: socket.socket | None) -> Introduce:
    """Return what the runner needs to start this daemon again."""
    from batchcompute_local.client import control
    from batchcompute_local.records import Introduce

    more = address.options(port) if address and port else ()
    return Introduce((*control.command(layout), *more), known_state.environment())


def _engine(
    layout: Layout, settings: Settings, clock: SteadyClock, introduction: Introduce
) -> tuple[Engine, AnyExecutor]:
    from batchcompute_local.jobs.capacity import Capacity
    from batchcompute_local.jobs.engine import Engine
    from batchcompute_local.jobs.opening import open_store

    store = open_store(layout, settings.kept_attempts)
    capacity = Capacity(settings.cpu, settings.memory)
    executor = _executor(layout, settings, store, introduction)
    begin = store.begin_of_boot(boot_id(), clock.begin, time.time())
    engine = Engine(
        store,
        executor,
        settings.slots,
        capacity=capacity,
        retry_seconds=settings.retry_seconds,
        steady=lambda: begin + uptime(),
        images=settings.images,
    )
    return engine, executor


def _executor(layout: Layout, settings: Settings, store: Store, introduction: Introduce) -> AnyExecutor:
    if settings.executor == "process":  # saves the search for installed executors
        from batchcompute_local.process.executor import ProcessExecutor

        return ProcessExecutor(layout, settings, store.prefix, store.keeps, introduction)
    from batchcompute_local.extensions import make_executor
    from batchcompute_local.jobs.snapshots import Snapshots
    from batchcompute_local.specs import ExecutorContext

    snapshots = Snapshots(store.path)

    def is_job(job_id: str) -> bool:
        with snapshots.open() as rows:
            return rows.keeps(job_id)

    options = settings.executors.get(settings.executor, {})
    return make_executor(ExecutorContext(layout, settings, store.prefix, is_job, options))


def _recover(engine: Engine, failure: list[BaseException]) -> None:
    try:
        engine.recover()
    except BaseException as error:
        failure.append(error)


def _announce(layout: Layout, ready: int, url: str) -> None:
    """Say where a service in the foreground listens, and how users get a key. Its output may be a pipe that nobody reads."""
    if url:
        where = "" if layout.root == default_data_dir() else f" --data-dir {shlex.quote(str(layout.root))}"
        PatientStream(_STDOUT).write(f"Listening on {url}\n")
        PatientStream(_STDERR).write(
            f"Its access key: batchcompute local credentials{where}\n"
            f"One for another user: batchcompute local account add NAME{where}\n"
        )
    _notify(ready)


def _notify(ready: int) -> None:
    if ready >= 0:
        with suppress(OSError):  # whoever started it waits no longer
            os.write(ready, b"1")
        os.close(ready)


if __name__ == "__main__":
    sys.exit(main())
