"""What a service that does not go on has to say: printed where jobs do not settle, so that one failed round tells its cause."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from harness import ServiceHarness
from moved_clock import STACKS_SIGNAL

_DUMP_SECONDS = 1.0
_LOG_LINES, _JOURNAL_LINES, _ROWS = 80, 30, 60
_QUERIES = {
    "jobs that have not ended": "SELECT id, state, waiting, running, finished, failed FROM jobs WHERE state < 3",
    "their instances": (
        "SELECT j.id, i.task, i.number, i.state, i.attempt, i.started, i.reason FROM instances i JOIN jobs j ON j.seq = i.job"
        " WHERE j.state < 3"
    ),
}


def print_evidence(harness: ServiceHarness) -> None:
    """Print status, processes, locks, rows, the end of the journal, and the end of the log with the stacks of the daemon."""
    layout = Layout.at(harness.root)
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "status": lambda: _status(harness),
        "processes": lambda: _processes(harness),
        "locks": lambda: _locks(layout),
        **{what: partial(_rows, layout, query) for what, query in _QUERIES.items()},
        "the end of the journal": lambda: _tail(layout.journal, _JOURNAL_LINES),
        "the end of the log": lambda: _log(harness, layout),
    }
    for what, lines in sections.items():
        print(f"-- {what}")
        try:
            for line in lines():
                print(f"   {line}")
        except Exception as error:  # the next section may say it
            print(f"   {type(error).__name__}: {error}")
    sys.stdout.flush()


def _status(harness: ServiceHarness) -> Iterator[str]:
    yield json.dumps(control.status(harness.root, time.monotonic() + 5), indent=1)


def _processes(harness: ServiceHarness) -> Iterator[str]:
    """All that name the folder in their command line, and those in its groups."""
    root = os.fsencode(harness.root)
    for pid in _pids():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
            if root in words.encode() or cwd.startswith(root):
                facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                waits = Path(f"/proc/{pid}/wchan").read_text()
                group = Path(f"/proc/{pid}/cgroup").read_text().rpartition("0::")[2].strip()
                yield f"{pid}: state {facts[0]}, parent {facts[1]}, waits in {waits}, group {group}: {words[:200]}"


def _locks(layout: Layout) -> Iterator[str]:
    """Who holds a lock file, and who has it open: a copy of a process may hold the lock of one that is gone."""
    for path in (layout.lock, layout.start_lock, layout.runner_lock):
        if not path.exists():
            continue
        facts = path.stat()
        rows = Path("/proc/locks").read_text().splitlines()
        held = [row for row in rows if row.split()[-3].endswith(f":{facts.st_ino}")]
        opened = []
        for pid in _pids():
            with suppress(OSError):
                names = os.listdir(f"/proc/{pid}/fd")
                if any(os.path.samestat(os.stat(f"/proc/{pid}/fd/{name}"), facts) for name in names):
                    opened.append(pid)
        yield f"{path.name}: {held or 'free'}; open in {opened}"


def _rows(layout: Layout, query: str) -> Iterator[str]:
    with closing(sqlite3.connect(f"file:{layout.database}?mode=rw", uri=True, timeout=5)) as db:
        rows = db.execute(query).fetchall()
    yield from map(str, rows[:_ROWS])
    if len(rows) > _ROWS:
        yield f"and {len(rows) - _ROWS} more"


def _log(harness: ServiceHarness, layout: Layout) -> Iterator[str]:
    for pid in harness.pids("daemon"):
        caught = next(
            line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")
        )
        if int(caught.split()[1], 16) >> (STACKS_SIGNAL - 1) & 1:  # else it would end by it
            os.kill(pid, STACKS_SIGNAL)
            time.sleep(_DUMP_SECONDS)
        else:
            yield f"{pid} dumps no stacks"
    yield from _tail(layout.log, 3 * _LOG_LINES)


def _tail(path: Path, lines: int) -> Iterator[str]:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines))
        yield from file.read().decode(errors="replace").splitlines()[-lines:]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
