"""The faults of `faults.py`. Each takes some seconds, and is over when it returns: what it took away is there again."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from batchcompute_local.client import control
from batchcompute_local.clocks import uptime
from batchcompute_local.filelocks import find_holder
from batchcompute_local.paths import Layout
from harness import ServiceHarness
from moved_clock import MovedClock

RECOVERY_SECONDS = 20.0
CLIENTS = Path(__file__).with_name("fault_clients.py")
_HOUR = 3600.0
_LOOKS = 5


class Faults:
    """Does faults to the service of `harness`. `away` has the times in which the service could not answer, by reason."""

    def __init__(self, harness: ServiceHarness, small_disk: bool) -> None:
        self.harness = harness
        self.layout = Layout.at(harness.root)
        self.clock = MovedClock(harness.folder / "clock")
        self.away: list[tuple[str, float, float]] = []
        self.problems: list[str] = []
        self.hung = 0
        command = [sys.executable, str(CLIENTS), "crowd", str(harness.folder)]
        self.crowd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._asking = threading.Lock()
        self.kinds: dict[str, Callable[[random.Random], None]] = {
            "disk": self.fill_disk,
            "lock": self.lock_database,
            "stopped runner": self.stop_runner,
            "stopped daemon": self.stop_daemon,
            "burst": self.burst,
            "clock": self.move_clock,
            "killed client": self.kill_client,
            "socket": self.delete_socket,
            "kill": self.kill,
            "killed starts": self.kill_starts,
        }
        if not small_disk:
            del self.kinds["disk"]

    def close(self) -> None:
        assert self.crowd.stdin is not None
        self.crowd.stdin.close()
        self.crowd.wait(60)

    def fill_disk(self, rng: random.Random) -> None:
        """No byte is free for a while; sometimes daemon, runner or both are killed meanwhile."""
        ballast = self.layout.root / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    with suppress(OSError):
                        while True:
                            file.write(b"0" * size)
            time.sleep(rng.uniform(0.3, 1.0))
            if rng.random() < 0.5:
                self._kill(rng, "kill on a full disk", ballast.unlink)
            time.sleep(rng.uniform(0.3, 1.0))
        finally:
            ballast.unlink(missing_ok=True)

    def lock_database(self, rng: random.Random) -> None:
        """Another process has begun to write, and takes its time."""
        with closing(sqlite3.connect(self.layout.database, timeout=10, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(rng.uniform(1.0, 2.5))
            db.execute("ROLLBACK")

    def stop_runner(self, rng: random.Random) -> None:
        self._stand("runner", rng.uniform(1.0, 3.0))

    def stop_daemon(self, rng: random.Random) -> None:
        with self._away("daemon stopped"):
            self._stand("daemon", rng.uniform(0.5, 3.0))

    def burst(self, rng: random.Random) -> None:
        """1,000 clients; see `fault_clients.Crowd`."""
        with self._away("all connections taken"):
            self.hung += int(self._ask("burst"))

    def move_clock(self, rng: random.Random) -> None:
        for _ in range(rng.choice((1, 2))):
            self.clock.ahead = rng.choice((-1, 1)) * rng.choice((0.1, 1, 5, 30, 1000)) * _HOUR
            time.sleep(rng.uniform(0.5, 1.5))
        self.clock.ahead = 0.0

    def kill_client(self, rng: random.Random) -> None:
        """The daemon is gone, and a client that starts another one is killed."""
        with self._away("client killed in its start"):
            self.harness.kill("daemon")
            self._ask(f"die {rng.uniform(0.0, 0.6):.3f}")

    def delete_socket(self, rng: random.Random) -> None:
        with self._away("socket deleted"):
            for path in rng.sample((self.layout.socket, self.layout.programs_socket, self.layout.runner_socket), 2):
                path.unlink(missing_ok=True)
            time.sleep(0.5)

    def kill(self, rng: random.Random) -> None:
        for _ in range(rng.choice((1, 2, 3))):
            self._kill(rng, "kill")
            time.sleep(rng.random() * 0.5)

    def kill_starts(self, rng: random.Random) -> None:
        """One runner after the other is killed, many of them while they begin."""
        for _ in range(rng.choice((3, 6))):
            self.harness.kill("runner")
            time.sleep(rng.uniform(0.0, 0.25))

    def _kill(self, rng: random.Random, why: str, heal: Callable[[], None] = lambda: None) -> None:
        what = rng.choice((("daemon",), ("runner",), ("daemon", "runner")))
        if what == ("runner",):
            self.harness.kill("runner")
            return
        with self._away(why):
            for one in what:
                self.harness.kill(one)
            time.sleep(rng.uniform(0.2, 1.5))
            heal()

    def _stand(self, what: str, seconds: float) -> None:
        pid = self.harness.pid(what)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                time.sleep(seconds)
                os.kill(pid, signal.SIGCONT)

    def _ask(self, line: str) -> str:
        assert self.crowd.stdin is not None
        assert self.crowd.stdout is not None
        with self._asking:
            self.crowd.stdin.write(line + "\n")
            self.crowd.stdin.flush()
            return self.crowd.stdout.readline()

    @contextmanager
    def _away(self, why: str) -> Iterator[None]:
        """Note the time from here until the service answers again after the fault."""
        began = time.monotonic()
        try:
            yield
        finally:
            over = time.monotonic()
            while control.status(self.harness.root, time.monotonic() + 1) is None:
                if time.monotonic() > over + RECOVERY_SECONDS:
                    self.problems.append(f"no service {RECOVERY_SECONDS:.0f} s after: {why}")
                    break
                time.sleep(0.02)
            self.away.append((why, began, time.monotonic()))


class SecondDaemons(threading.Thread):
    """Looks several times a second whether two daemons of the folder live side by side."""

    def __init__(self, harness: ServiceHarness) -> None:
        super().__init__(daemon=True)
        self.harness = harness
        self.over = threading.Event()
        self.found: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        before: dict[tuple[int, int], int] = {}
        while not self.over.wait(0.1):
            pids = sorted(self.harness.pids("daemon"))
            now = {(one, two): before.get((one, two), 0) + 1 for one in pids for two in pids if one < two}
            for pair, looks in now.items():
                if looks == _LOOKS:  # fewer: one that ends and one that waits for its lock, or one that forks
                    self.found[pair] = self._describe(pair)
            before = now

    def _describe(self, pids: tuple[int, int]) -> str:
        layout = Layout.at(self.harness.root)
        found = [f"the lock has {find_holder(layout.lock)}, that of the start {find_holder(layout.start_lock)}"]
        for pid in pids:
            with suppress(OSError):
                facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                age = uptime() - int(facts[19]) / os.sysconf("SC_CLK_TCK")
                found.append(f"{pid}: state {facts[0]}, parent {facts[1]}, age {age:.1f} s")
        return "; ".join(found)
