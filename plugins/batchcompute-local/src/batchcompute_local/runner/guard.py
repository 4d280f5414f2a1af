"""The guard of a runner with a lease: a process that ends what a killed runner leaves, if no other runner does it.

On one machine the daemon replaces a runner that was killed, and the next one ends its programs. On a node of a cluster the
worker may be stopped or gone as well, and then nobody would. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

from batchcompute_local.containment import close_others
from batchcompute_local.paths import Layout
from batchcompute_local.records import ExitRecord, StartRecord
from batchcompute_local.runner.groups import Groups
from batchcompute_local.runner.journal import Journal
from batchcompute_local.runner.leftovers import Leftovers
from batchcompute_local.runner.serving import set_title

_PAUSE_SECONDS = 0.05


def start_guard(layout: Layout, prefix: str) -> int:
    """Start it; return its pid, which is a child of this process, the runner. Raises OSError."""
    reading, writing = os.pipe()  # nobody writes: it is closed when the runner is gone
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            close_others((reading,))
            set_title(b"batchcompute guard")
            os.read(reading, 1)
            end_programs(layout, prefix)
        except Exception as error:  # nobody else hears of it
            text = str(error) or type(error).__name__
            sys.stderr.write(f"guard: programs of the runner that is gone cannot be ended: {text}\n")
            sys.stderr.flush()
        finally:
            os._exit(0)
    os.close(reading)
    os.set_inheritable(writing, False)
    return pid


def end_programs(layout: Layout, prefix: str) -> None:
    """End all programs that a runner of this data folder has left, unless another one is there already. Raises OSError."""
    lock = os.open(layout.runner_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # while it is held, no other runner begins
    except BlockingIOError:
        return
    journal = Journal(layout.journal)
    ended = {record.attempt for record in journal.records if isinstance(record, ExitRecord)}
    begun = [one for one in journal.records if isinstance(one, StartRecord) and one.attempt not in ended]
    leftovers = Leftovers(begun, prefix, layout, Groups(layout, is_wanted=False).stale)
    while leftovers.wait() is not None:
        leftovers.collect()
        time.sleep(_PAUSE_SECONDS)
