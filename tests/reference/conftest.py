"""Runs the examples of the reference, `examples-*.toml`, against a real local service."""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control

from batchcompute import Client, StateConflictError, pack
from tests.support.waits import wait_for

FOLDER = Path(__file__).parent
ENDED = ("Finished", "Failed", "Stopped")
PROGRAM = """
import os, sys, time
print("instance", os.environ["ALI_DIKU_INSTANCE_ID"], "of", os.environ["ALI_DIKU_TASK_ID"])
if sys.argv[1:] == ["endless"]:
    while True:
        time.sleep(60)
"""


@dataclass(frozen=True)
class Correction:
    """`old`, or what `pattern` matches, becomes `new`; an `old` of "" puts `new` in front."""

    why: str
    new: str
    old: str = ""
    pattern: str = ""

    def apply(self, code: str) -> str:
        """The corrected code. Raises AssertionError when there is nothing to correct."""
        if self.pattern:
            corrected = re.sub(self.pattern, self.new, code, flags=re.MULTILINE)
        else:
            corrected = code.replace(self.old, self.new) if self.old else self.new + code
        assert corrected != code, f"nothing to correct with {self}"
        return corrected


@dataclass(frozen=True)
class Example:
    """One example: `code` as the reference has it, `warns` what running it must warn about, and nothing else."""

    id: str
    section: str
    code: str
    warns: tuple[str, ...]
    corrections: tuple[Correction, ...]

    def corrected(self, without: int | None = None) -> str:
        """The code to run, with all corrections or all but one."""
        code = self.code
        for number, correction in enumerate(self.corrections):
            if number != without:
                code = correction.apply(code)
        return code

    def run(self, names: dict[str, Any], without: int | None = None) -> str:
        """Run it with these names defined, which then hold what it defined too. Answers what it printed."""
        names["__name__"] = "__main__"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(self.corrected(without), f"<{self.id}>", "exec"), names)
        return printed.getvalue()


def load_examples() -> dict[str, Example]:
    """All examples in the order of the reference."""
    found = {}
    for path in sorted(FOLDER.glob("examples-*.toml")):
        for item in tomllib.loads(path.read_text(encoding="utf-8"))["example"]:
            corrections = tuple(Correction(**each) for each in item.pop("correction", ()))
            example = Example(**item | {"warns": tuple(item.get("warns", ())), "corrections": corrections})
            assert example.id not in found, f"two examples are called {example.id}"
            found[example.id] = example
    return found


EXAMPLES = load_examples()


class World:
    """The service, a client of the test's own, and what the examples' placeholders stand for."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.names: dict[str, Any] = {}
        self.used: list[str] = []

    def task(self, arguments: str = "") -> dict[str, Any]:
        """A task that runs here."""
        logs = "oss://your-bucket/logs/"
        return {
            "PackageUri": "oss://your-bucket/worker.tar.gz",
            "ProgramName": "find_prime_worker.py",
            "ProgramArguments": arguments,
            "StdoutRedirectPath": logs,
            "StderrRedirectPath": logs,
        }

    def properties(self, arguments: str = "") -> dict[str, Any]:
        """A job of one such task."""
        dag = {"TaskDescMap": {"Find": self.task(arguments)}, "Dependencies": {}}
        return {"JobName": "find-prime", "Priority": 100, "TaskDag": dag}

    def job(self, state: str) -> str:
        """The id of a job in that state: Running (it never ends by itself), Stopped or Finished."""
        job_id = self.client.create_job(self.properties("" if state == "Finished" else "endless")).JobId
        if state == "Finished":
            self.client.wait(job_id, timeout=60, check=True)
        else:
            wait_for(lambda: self.client.get_job(job_id).State == "Running")
            if state == "Stopped":
                self.client.stop_job(job_id)
        return job_id

    def run(self, example_id: str, **given: Any) -> str:
        """Run an example as corrected. Its warnings must be the documented ones, each about a line of the example."""
        example = EXAMPLES[example_id]
        self.names = dict(given)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            printed = example.run(self.names)
        seen = {f"{each.category.__name__}: {each.message}".partition("; did you mean")[0] for each in caught}
        assert seen == set(example.warns)
        if example.warns:
            assert f"<{example.id}>" in {each.filename for each in caught}
        return printed

    def tidy(self) -> None:
        """Close the example's client, and stop the jobs."""
        client = self.names.get("client")
        if isinstance(client, Client):
            client.close()
        for job in self.client.list_jobs():
            if job.State not in ENDED:
                with contextlib.suppress(StateConflictError):  # it may end meanwhile
                    self.client.stop_job(job)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of the module's service, which is stopped at the end."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "service.toml").write_text("slots = 4\ngrace_seconds = 0.5\n")
    yield folder
    wait_for(lambda: (control.status(folder) or {"idle": True})["idle"])
    control.stop(folder)


@pytest.fixture
def world(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated_environment: None
) -> Iterator[World]:
    """A service with the program in it, at every place where the examples look for it."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(data_dir))
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "find_prime_worker.py").write_text(PROGRAM)
    with Client("local") as client:
        for folder in ("", "batch_python_sdk/", "batch-python-sdk/"):
            client.objects.put(f"oss://your-bucket/{folder}worker.tar.gz", pack(tmp_path / "worker"))
        made = World(client)
        yield made
        made.tidy()


@pytest.fixture(scope="session")
def examples() -> dict[str, Example]:
    """All examples, by id."""
    return EXAMPLES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`correction`: every correction of every example, as (example, number)."""
    if "correction" in metafunc.fixturenames:
        cases = [(example, number) for example in EXAMPLES.values() for number in range(len(example.corrections))]
        metafunc.parametrize("correction", cases, ids=[f"{example.id}-{number}" for example, number in cases])
