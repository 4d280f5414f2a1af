"""Take over what an earlier version left: its data folder, its runner, and programs that run or ended meanwhile.

    python plugins/batchcompute-local/stress/upgrade.py [--commit 35c966b]

Wheels of the earlier commit are built and installed in an environment of their own; this needs the package index, and a
clone that has the commit. Jobs are started with that version, and its daemon is ended with `batchcompute local stop`.
Then this version takes over: in one round while the programs run, in one after they and the old runner have ended.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import ServiceHarness

from batchcompute import Client

ROOT = Path(__file__).parents[3]
COMMIT = "35c966b"
_SECONDS = 60.0
PROGRAM = """
import os, sys, time
root = os.environ["BATCHCOMPUTE_OSS_ROOT"]
with open(f"{root}/stress/lines/{os.environ['BATCHCOMPUTE_ATTEMPT'].rpartition('.')[0]}", "a") as file:
    file.write("begun\\n")
while not os.path.exists(f"{root}/stress/{sys.argv[1]}"):
    time.sleep(0.01)
sys.exit(int(sys.argv[2]))
"""
CREATE = "import json, sys; from batchcompute import Client; print(Client('local').create_job(json.loads(sys.argv[1])).JobId)"


def build(commit: str, folder: Path) -> Path:
    """An environment with the wheels of `commit`; its folder of programs. Ends with a message where it cannot be."""
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, capture_output=True, check=False
    )
    if known.returncode:
        sys.exit(
            f"the commit {commit} is not in this clone, so its wheels cannot be built;"
            " a shallow clone gets it with: git fetch --unshallow"
        )
    sources, wheels, made = folder / "sources", folder / "wheels", folder / "old"
    sources.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(sources)], input=archive.stdout, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    packages = [str(sources), str(sources / "plugins/batchcompute-local")]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), *packages], check=True)
    built = [str(path) for path in wheels.glob("*.whl")]
    subprocess.run([*pip, "--python", str(made / "bin/python"), "install", *built], check=True)
    return made / "bin"


class Old:
    """The earlier version, by its programs in `bin`."""

    def __init__(self, bin_folder: Path) -> None:
        self._bin = bin_folder

    def create(self, gate: str, code: int) -> str:
        """A job that ends with `code` as soon as `gate` is open; its id."""
        return self._run("python", "-P", "-c", CREATE, json.dumps(describe(gate, code))).strip()

    def stop(self) -> None:
        """End the daemon."""
        self._run("batchcompute", "local", "stop")

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._bin / program), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=self._bin).stdout


def describe(gate: str, code: int) -> dict[str, Any]:
    """A job of one instance."""
    task = {"PackageUri": "oss://stress/worker.tar.gz", "ProgramName": "main.py", "ProgramArguments": f"{gate} {code}"}
    return {"JobName": "upgrade", "Priority": 1, "TaskDag": {"TaskDescMap": {"T": task | {"InstanceCount": 1}}}}


def wait_for(condition: Callable[[], Any], what: str) -> None:
    """Until `condition` holds. Raises TimeoutError."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {_SECONDS:g} s for {what}")
        time.sleep(0.02)


class Round:
    """A data folder of the earlier version, and what is wrong with how this version takes it over."""

    def __init__(self, old: Old, folder: Path) -> None:
        folder.mkdir()
        self.harness = ServiceHarness(folder, "slots = 4\nrunner_linger_seconds = 1\n")
        self.harness.put_program(PROGRAM)
        self.stress = self.harness.root / "oss/stress"
        (self.stress / "lines").mkdir()
        self.problems: list[str] = []
        self._old = old

    def begin(self) -> str:
        """A job of the old version runs, and its daemon has ended; the job's id."""
        job_id = self._old.create("first", 3)
        wait_for(lambda: list((self.stress / "lines").glob(f"{job_id}.*")), "the program of the old version")
        self._old.stop()
        self.expect(self.harness.pid("daemon") is None, "the old daemon has ended")
        self.expect(self.harness.pid("runner") is not None, "the old runner is there")
        return job_id

    def take_over_running(self) -> None:
        """The program runs when this version comes; the old runner gets work of this version as well."""
        job_id, runner = self.begin(), self.harness.pid("runner")
        with Client("local") as client:
            self.expect(client.get_job(job_id).State == "Running", "the job runs")
            self.expect(self.harness.pid("runner") == runner, "the old runner keeps running")
            second = client.create_job(describe("first", 4)).JobId
            wait_for(lambda: list((self.stress / "lines").glob(f"{second}.*")), "a program by the old runner")
            stopped = client.create_job(describe("never", 5)).JobId
            wait_for(lambda: list((self.stress / "lines").glob(f"{stopped}.*")), "another one")
            self.expect(self.harness.pid("runner") == runner, "the old runner runs programs of this version")
            client.stop_job(stopped)
            (self.stress / "first").touch()
            self.end(client, job_id, 3)
            self.end(client, second, 4)
            wait_for(lambda: self.harness.pid("runner") not in (runner, None), "a runner of this version")
            # it may come while the daemon changes over: such a start is returned unbegun, and is sent again as the next attempt
            self.end(client, client.create_job(describe("first", 6)).JobId, 6, attempts=(1, 2))

    def take_over_ended(self) -> None:
        """The program and the old runner have ended when this version comes; only the journal knows how."""
        job_id = self.begin()
        (self.stress / "first").touch()
        wait_for(lambda: self.harness.pid("runner") is None, "the old runner's end")
        with Client("local") as client:
            self.end(client, job_id, 3)

    def end(self, client: Client, job_id: str, code: int, attempts: tuple[int, ...] = (1,)) -> None:
        """The job ends with this exit code, in one of these attempts, and its program ran once."""
        wait_for(lambda: client.get_job(job_id).State not in ("Waiting", "Running"), "the job's end")
        state = client.get_job(job_id).State
        self.expect(state == "Failed", f"the job is Failed, not {state}")
        query = "SELECT i.attempt, i.exit_code FROM instances i JOIN jobs j ON j.seq = i.job WHERE j.id = ?"
        with closing(sqlite3.connect(f"file:{self.harness.root}/state.sqlite3?mode=rw", uri=True, timeout=10)) as db:
            found = db.execute(query, (job_id,)).fetchall()
        expected = [[(attempt, code)] for attempt in attempts]
        self.expect(found in expected, f"(attempt, exit code) is one of {expected}, not {found}")
        begun = (self.stress / f"lines/{job_id}.0.0").read_text()
        self.expect(begun == "begun\n", f"the program ran once, not {begun.count('begun')} times")

    def expect(self, holds: bool, what: str) -> None:
        """Note that it is wrong unless it `holds`."""
        if not holds:
            self.problems.append(what)


def main() -> int:
    """0 if all of it was taken over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--commit", default=COMMIT)
    options = parser.parse_args()
    kept = dict(os.environ)
    problems = []
    with tempfile.TemporaryDirectory(prefix="stress-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        old = Old(build(options.commit, folder))
        for number, take_over in enumerate((Round.take_over_running, Round.take_over_ended)):
            one = Round(old, folder / f"round-{number}")
            try:
                take_over(one)
            except (TimeoutError, subprocess.CalledProcessError) as error:
                one.problems.append(str(error))
            finally:
                one.harness.down()
                os.environ.clear()
                os.environ.update(kept)
            problems += [f"{take_over.__name__}: {problem}" for problem in one.problems]
    for problem in problems:
        print("WRONG: expected that", problem)
    print(f"{options.commit} is taken over" if not problems else f"{len(problems)} things are wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
