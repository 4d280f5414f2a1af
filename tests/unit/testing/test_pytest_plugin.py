"""The marker, the fixture and the option, in a project of somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFTEST = '''
import pytest
from batchcompute.testing import StubTransport
from batchcompute.wire import Response

@pytest.fixture(autouse=True)
def service(request):
    """A service that is there when recording; the plugin of the cassette stands around it."""
    if request.config.getoption("--batchcompute-record") == "replay":
        return ()
    answer = b'{"ResourceId": "job-1", "State": "Running"}'
    return (StubTransport(Response(200, {}, answer)),)
'''
TESTS = """
import pytest
from batchcompute import Client

@pytest.mark.batchcompute_cassette
def test_marked(service):
    assert Client("cn-qingdao", plugins=service).get_job("job-1").State == "Running"

@pytest.mark.batchcompute_cassette(path="shared/named.yaml", scrub=["Running"])
def test_named(service):
    Client("cn-qingdao", plugins=service).get_job("job-1")

@pytest.mark.batchcompute_cassette
def test_marked_and_given(service, batchcompute_cassette):
    Client("cn-qingdao", plugins=[*service, batchcompute_cassette]).get_job("job-1")

def test_given(service, batchcompute_cassette):
    Client("cn-qingdao", plugins=[*service, batchcompute_cassette]).get_job("job-1")

class TestClass:
    @pytest.mark.batchcompute_cassette
    @pytest.mark.parametrize("which", ["a/b", "a?b"])
    def test_many(self, service, which):
        Client("cn-qingdao", plugins=service).get_job(which)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """pytest in a project of its own, with every warning an error."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -p no:randomly\nfilterwarnings = error\n")
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}

    def pytest_in_project(
        *arguments: str, tests: str = TESTS, conftest: str = CONFTEST
    ) -> subprocess.CompletedProcess[str]:
        (project / "conftest.py").write_text(conftest)
        (project / "test_theirs.py").write_text(tests)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)

    return pytest_in_project


def test_record_and_replay(run: Run, tmp_path: Path) -> None:
    missing = run()
    assert "6 failed" in missing.stdout, missing.stdout
    assert "no cassette" in missing.stdout
    recorded = run("--batchcompute-record")
    assert "6 passed" in recorded.stdout, recorded.stdout
    folder = tmp_path / "project" / "cassettes"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml"))
    assert names[0] == "shared/named.yaml"
    assert "Running" not in (folder / "shared/named.yaml").read_text()
    assert (folder / "test_theirs/test_marked_and_given.yaml").read_text().count("uri:") == 1
    assert [name.rpartition("-")[0] for name in names[1:3]] == ["test_theirs/TestClass.test_many[a-b]"] * 2
    assert names[3:] == [f"test_theirs/{name}.yaml" for name in ("test_given", "test_marked", "test_marked_and_given")]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.yaml")}
    assert "6 passed" in run().stdout
    assert "6 passed" in run("--batchcompute-record=once").stdout
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.yaml")} == before


def test_a_failed_test_leaves_its_cassette_alone(run: Run, tmp_path: Path) -> None:
    tests = TESTS.partition("@pytest.mark.batchcompute_cassette(path")[0]
    assert "1 passed" in run("--batchcompute-record", tests=tests).stdout
    cassette = tmp_path / "project/cassettes/test_theirs/test_marked.yaml"
    before = cassette.read_bytes()
    failing = tests.replace("job-1", "job-2") + "    assert 'the test' == 'right'\n"
    assert "1 failed" in run("--batchcompute-record", tests=failing).stdout
    assert cassette.read_bytes() == before


def test_who_does_not_use_it_pays_nothing(run: Run) -> None:
    tests = (
        "import sys\n\ndef test_plain():\n"
        "    assert [m for m in sys.modules if m.split('.')[0] in ('vcr', 'urllib3') or m == 'batchcompute.client'] == []\n"
    )
    done = run(tests=tests, conftest="")
    assert "1 passed" in done.stdout, done.stdout


def test_a_contract_takes_three_lines(run: Run) -> None:
    tests = (
        "from batchcompute.testing import TransportContract\n"
        "from batchcompute.builtins.transport import Urllib3Factory\n\n"
        "class TestTheirs(TransportContract):\n"
        "    def make_factory(self):\n"
        "        return Urllib3Factory()\n"
    )
    done = run(tests=tests, conftest="")
    assert " passed" in done.stdout, done.stdout
    assert "failed" not in done.stdout


def test_an_unrecorded_request_fails_the_test_that_swallowed_its_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "project" / "test_swallow.py").write_text(
        "import pytest\n"
        "from batchcompute import BatchComputeError, Client\n"
        "@pytest.mark.batchcompute_cassette\n"
        "def test_it(service, request):\n"
        "    client = Client('cn-qingdao', plugins=service)\n"
        "    client.get_job('job-1')\n"
        "    if request.config.getoption('--batchcompute-record') == 'replay':\n"
        "        try:\n"
        "            client.get_job('job-2')\n"
        "        except BatchComputeError:\n"
        "            pass\n"
    )
    assert run("test_swallow.py", "--batchcompute-record").returncode == 0
    done = run("test_swallow.py")
    assert done.returncode == 1
    assert "asked what was never recorded" in done.stdout


def test_a_cassette_stays_in_its_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "project" / "test_out.py").write_text(
        "import pytest\n@pytest.mark.batchcompute_cassette(path='../../out.yaml')\ndef test_it(service):\n    pass\n"
    )
    done = run("test_out.py", "--batchcompute-record")
    assert done.returncode != 0
    assert "outside of" in done.stdout
