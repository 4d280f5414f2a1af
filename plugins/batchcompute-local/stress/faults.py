"""Do faults to the service under load, and see that each stays where it is.

    python plugins/batchcompute-local/stress/faults.py [--rounds 100] [--seed N] [--only KIND,KIND]

Each round has one or two faults: a full disk (needs root), a locked database, a stopped runner or daemon, 1,000 clients at
once, a moved clock, a client that is killed while it starts the service, deleted sockets, kills. Meanwhile three processes
create, stop, restart, delete and read jobs; each call has a timeout. At the end no job is lost or doubled, no attempts of an
instance overlapped, reads were answered, and no call took longer than its timeout.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from batchcompute_local.client import control
from evidence import print_evidence
from fault_kinds import CLIENTS, Faults, SecondDaemons
from fault_report import Report
from harness import ServiceHarness
from lines import PROGRAM
from moved_clock import make_interpreter

from batchcompute import Client
from batchcompute.errors import BatchComputeError

LOADS = 3
SETTLE_SECONDS = 60.0
DISK = "96m"
SETTINGS = """
slots = 4
leftover_seconds = 0.2
grace_seconds = 0.5
runner_linger_seconds = 5
interpreter = "{interpreter}"
[programs]
python = "{python}"
[environment]
STRESS_LINES = "{lines}"
"""


def mount(root: Path) -> bool:
    """Put a small file system at `root`. False if this user may not."""
    root.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(root)]
    return (
        os.getuid() == 0 and shutil.which("mount") is not None and subprocess.run(command, check=False).returncode == 0
    )


def make_harness(folder: Path) -> ServiceHarness:
    interpreter, lines = make_interpreter(folder), folder / "lines"
    lines.mkdir()
    harness = ServiceHarness(folder, SETTINGS.format(interpreter=interpreter, python=sys.executable, lines=lines))
    harness.lines_folder = lines
    harness.put_program(PROGRAM)
    return harness


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(CLIENTS), *words, str(folder)])


def run_rounds(faults: Faults, rng: random.Random, rounds: int, only: str) -> Counter[str]:
    """Returns how often there was which fault."""
    done: Counter[str] = Counter()
    for _ in range(rounds):
        kinds = only.split(",") if only else rng.sample(sorted(faults.kinds), rng.choice((1, 1, 2)))
        dice = [random.Random(rng.random()) for _ in kinds]
        threads = [
            threading.Thread(target=faults.kinds[kind], args=(one,)) for kind, one in zip(kinds, dice, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.update(kinds)
        time.sleep(rng.uniform(0.5, 1.5))
        if faults.problems:
            break
    return done


def settle(report: Report, seconds: float) -> None:
    """Until every job is in a state in which it may end, or the time is over."""
    deadline = time.monotonic() + seconds
    with Client("local") as client:
        while True:
            try:
                states = {str(job.JobId): (str(job.JobName), str(job.State)) for job in client.list_jobs(timeout=30)}
            except BatchComputeError as error:
                problems = [f"the jobs cannot be listed: {error}"]
            else:
                problems = report.compare(states)
            if not problems or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    report.problems += problems


def main() -> int:
    """Exit code 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="these faults in each round, at once: lock,kill")
    parser.add_argument(
        "--busy", action="store_true", help="other programs use the processors: do not count waits for one"
    )
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without unmounting the disk
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        small_disk = mount(folder / "data")
        if not small_disk:
            print("without the full disk: only root can mount one")
        harness = make_harness(folder)
        faults = Faults(harness, small_disk)
        watch = SecondDaemons(harness)
        try:
            control.ensure_running(harness.root)
            watch.start()
            helpers = [start(folder, "tick"), *(start(folder, "load", f"c{i}", str(seed + i)) for i in range(LOADS))]
            done = run_rounds(faults, random.Random(seed), options.rounds, options.only)
            (folder / "stop").touch()
            faults.hung += sum(helper.wait(60) != 0 for helper in helpers)
            watch.over.set()
            report = Report(folder, faults.away, options.busy)
            settle(report, SETTLE_SECONDS)
            if report.problems or faults.problems:
                print_evidence(harness)
            report.check_programs(harness)
        finally:
            (folder / "stop").touch()
            faults.close()
            harness.down()
            if small_disk:
                subprocess.run(["umount", "--lazy", str(harness.root)], check=True)
        report.problems += faults.problems
        report.problems += [f"two daemons: {text}" for text in watch.found.values()]
        report.counts["hangs"] += faults.hung
        report.counts["second daemons beside a living one"] = len(watch.found)
        print(f"{sum(done.values())} faults in {options.rounds} rounds, {time.monotonic() - began:.0f} s: ", end="")
        print(", ".join(f"{number} of {what}" for what, number in sorted(done.items())))
        return report.show()


if __name__ == "__main__":
    sys.exit(main())
