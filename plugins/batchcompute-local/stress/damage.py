"""Damage every state file of the service in every way, and see that it starts, or says which file it is, and that the cure works.

    python plugins/batchcompute-local/stress/damage.py [--rounds N] [--seed N]

A service with jobs, an account, copies and a running program is killed with SIGKILL. Each round takes what it left, damages
one file and starts the service. No job may be lost, none may appear, and no former state may be gone. Where the service
refuses to start, the error has to name the file; then the documented cure is applied: `local restore` for the database,
another name for everything else. Without --rounds each file is damaged once in each way.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from batchcompute_local.client.restore import restore
from batchcompute_local.damage import MARK
from batchcompute_local.http.accounts import Book
from batchcompute_local.jobs.copies import copy_database
from batchcompute_local.paths import Layout
from harness import ServiceHarness
from ways import WAYS, damage

from batchcompute import Client
from batchcompute.errors import BatchComputeError, ClockSkewWarning

PROGRAM = """
import os, sys, time
if "hold" in sys.argv:
    open(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/stress/holding", "w").close()
    time.sleep(1000)
print("done")
"""
FILES = (
    "state.sqlite3", "state.sqlite3-wal", "state.sqlite3-shm", "logs.sqlite3", "runner.journal", "runner.groups",
    "credentials.json", "accounts.json", "attempts.key", "service.toml", "daemon.log", "daemon.log.1",
    "nonces", "nonces/boot", "nonces/MINUTE", "daemon.sock", "runner.sock", "socket",
    "daemon.lock", "runner.lock", "start.lock", "accounts.lock", "packages", "attempts", "work/.trash", "work/.pool",
    "copies", "COPY", "objects.json", "oss/.batchcompute/objects.sqlite3",
)  # fmt: skip
SETTINGS = "idle_seconds = 30\nslots = 2\ngrace_seconds = 0.2\n"


def describe(argument: str) -> dict[str, object]:
    task = {"ProgramName": "main.py", "PackageUri": "oss://stress/worker.tar.gz", "ProgramArguments": argument}
    return {"JobName": argument or "x", "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task}, "Dependencies": {}}}


def make_template(harness: ServiceHarness) -> dict[str, str]:
    """Have a service do something, then kill it. Returns the states of its jobs."""
    layout = Layout.at(harness.root)
    harness.put_program(PROGRAM)
    with Client("local") as client:
        done = [client.create_job(describe("")) for _ in range(3)]
        for job in done:
            client.wait(job, check=True, timeout=60)
        client.create_job(describe("hold"))
        deadline = time.monotonic() + 30
        while not (harness.root / "oss/stress/holding").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        Book(layout).add("ann")
        made = copy_database(layout.database, layout.copies, time.time())
        assert made is not None
        (harness.root / "daemon.log.1").write_text("an earlier log\n")
        states = read_jobs(client)
    while harness.kill("runner") or harness.kill("daemon"):  # they start each other again
        time.sleep(0.01)
    return states


def read_jobs(client: Client) -> dict[str, str]:
    return {str(one.JobId): str(one.State) for one in client.list_jobs()}


class Rounds:
    def __init__(self, template: Path, folder: Path, jobs: dict[str, str]) -> None:
        self.template, self.root, self.jobs = template, folder, jobs
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []

    def run(self, name: str, way: str, dice: random.Random) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.template, self.root, symlinks=True, ignore=_ignore_sockets)
        path = self.find(name)
        if path is None or not damage(path, way, dice):
            self.counts["way does not apply"] += 1
            return
        self.counts["damaged"] += 1
        before = time.monotonic()
        try:
            with Client("local", timeout=60) as client:
                self.compare(read_jobs(client), f"{name}, {way}", restored=False)
            self.counts["started"] += 1
        except BatchComputeError as error:
            self.cure(path, name, way, str(error))
        except Exception as error:
            self.problems.append(f"{name}, {way}: bare {type(error).__name__}: {error}")
        if time.monotonic() - before > 30:
            self.problems.append(f"{name}, {way}: took {time.monotonic() - before:.0f} s")
        kept = [one for folder in (self.root, self.root / "nonces") if folder.is_dir() for one in folder.iterdir()]
        self.counts["files kept under a dated name"] += sum(MARK in one.name for one in kept)

    def find(self, name: str) -> Path | None:
        if name == "COPY":
            return next((self.root / "copies").iterdir(), None)
        if name == "nonces/MINUTE":
            return next((one for one in (self.root / "nonces").iterdir() if one.name.isdecimal()), None)
        path = self.root / name
        if name.endswith(".sock") and not path.exists():
            path.touch()
        return path if os.path.lexists(path) else None

    def cure(self, path: Path, name: str, way: str, text: str) -> None:
        self.counts["refused, naming the file"] += 1
        if str(path).removesuffix("-wal").removesuffix("-shm") not in text:
            self.problems.append(f"{name}, {way}: the error does not name it: {text}")
        try:
            restored = name.startswith("state")
            if restored:
                restore(self.root)
                self.counts["restored from a copy"] += 1
            else:
                os.rename(path, f"{path}.old")
            with Client("local", timeout=60) as client:
                self.compare(read_jobs(client), f"{name}, {way}, after the cure", restored=restored)
            self.counts["started after the cure"] += 1
        except Exception as error:
            self.problems.append(f"{name}, {way}: the cure of {text!r} ended in {type(error).__name__}: {error}")

    def compare(self, found: dict[str, str], what: str, restored: bool) -> None:
        if set(found) != set(self.jobs):
            self.problems.append(
                f"{what}: jobs lost: {set(self.jobs) - set(found)}, new: {set(found) - set(self.jobs)}"
            )
        self.counts["jobs lost"] += len(set(self.jobs) - set(found))
        ended = {job for job, state in self.jobs.items() if state == "Finished"}
        for job in ended & set(found):
            if found[job] != "Finished":
                self.problems.append(f"{what}: {job} is {found[job]}")
        if restored and any(found.get(job) != "Stopped" for job in set(self.jobs) - ended):
            self.problems.append(f"{what}: a job that was active is not Stopped")


def _ignore_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".sock")]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=0, help="so many files and ways at random")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    warnings.simplefilter("ignore", ClockSkewWarning)  # without nonces, requests from before the start are refused
    dice, begun = random.Random(options.seed), time.monotonic()
    pairs = [(name, way) for name in FILES for way in WAYS]
    if options.rounds:
        dice.shuffle(pairs)
        by_file = {name: (name, way) for name, way in pairs}  # one of each file first
        pairs = [*by_file.values(), *(pair for pair in pairs if pair not in by_file.values())][: options.rounds]
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        folder = Path(name)
        harness = ServiceHarness(folder, SETTINGS)
        template = folder / "template"
        try:
            jobs = make_template(harness)
            harness.down()
            shutil.copytree(harness.root, template, symlinks=True, ignore=_ignore_sockets)
            rounds = Rounds(template, harness.root, jobs)
            for pair in pairs:
                rounds.run(*pair, dice)
                harness.down()
        finally:
            harness.down()
    print(f"seed {options.seed}, {time.monotonic() - begun:.0f} s")
    for what, count in rounds.counts.items():
        print(f"{what}: {count}")
    for problem in rounds.problems:
        print(f"PROBLEM {problem}")
    print(
        "nothing lost, and every refusal names its file" if not rounds.problems else f"{len(rounds.problems)} problems"
    )
    return 1 if rounds.problems or rounds.counts["jobs lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
