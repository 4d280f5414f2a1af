"""Jobs run with the surroundings of their submitter, whoever started the service: real shells, venvs and services."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control
from batchcompute_local.jobs.descriptions import read_description
from batchcompute_local.paths import Layout
from batchcompute_local.settings import read_settings

from batchcompute import Client, ClientError, Surroundings
from batchcompute.surroundings import HEADER
from tests.support.descriptions import describe
from tests.support.engine import FakeExecutor, World
from tests.support.programs import make_tool
from tests.support.service import Cloud
from tests.support.venvs import Shell, Venv

LOOK = """
import json, os, sys
try:
    from mylib import X
except ImportError:
    X = None
names = ("PATH", "LANG", "LC_TIME", "TZ", "SECRET", "HOME")
print(json.dumps({"python": sys.executable, "mylib": X, **{name: os.environ.get(name) for name in names}}))
"""
SUBMIT = """
import sys
from batchcompute import Client
with Client("local") as client:
    job = client.create_job(open(sys.argv[1]).read())
    client.wait(job, check=True, timeout=60)
    print(client.read_log(job, "Look", stream="stdout").decode())
"""


@pytest.fixture
def data_dir(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of `cloud`, where Clients find it."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    return cloud.root


@pytest.fixture
def look(cloud: Cloud, tmp_path: Path) -> str:
    """The file of a job that prints what it runs in. Its package is there; look.py is here too."""
    Layout.at(cloud.root).create()
    cloud.program(LOOK)
    (tmp_path / "look.py").write_text(LOOK)
    (tmp_path / "look.json").write_bytes(describe({"Look": {}}))
    return str(tmp_path / "look.json")


@pytest.fixture
def shells(tmp_path: Path, data_dir: Path) -> tuple[Shell, Shell]:
    """One user in two shells, each with a venv, a PATH, a locale and a time zone of its own. mylib is in the second one's."""
    one, two = Venv(tmp_path / "A"), Venv(tmp_path / "B", {"mylib": "X = 7"})
    return (
        Shell(one.python, data_dir, tmp_path, LANG="C", TZ="Asia/Tokyo", SECRET="hush"),  # a word
        Shell(two.python, data_dir, tmp_path, LANG="de_DE.UTF-8", LC_TIME="C", SECRET="hush"),  # a word
    )


def _expected(shell: Shell, mylib: int | None) -> dict[str, Any]:
    get = shell.environment.get
    return {
        "python": str(shell.python), "mylib": mylib, "PATH": get("PATH"), "LANG": get("LANG"), "LC_TIME": get("LC_TIME"),
        "TZ": get("TZ"), "SECRET": None,
    }  # fmt: skip


def _seen(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    assert found.pop("HOME")
    return found


def _run(shell: Shell, cloud: Cloud, *arguments: str, code: int = 0) -> str:
    """`batchcompute job run --wait`; the id of the job."""
    return shell.batchcompute("job", "run", "--wait", *arguments, code=code).splitlines()[0]


def _out(client: Client, job: str) -> str:
    return (client.read_log(job, "look", stream="stdout") or b"").decode()


def test_each_job_has_the_surroundings_of_its_submitter(cloud: Cloud, look: str, shells: tuple[Shell, Shell]) -> None:
    one, two = shells
    with Client("local") as client:
        for first, second in ((one, two), (two, one)):
            for shell in (first, second, first):
                job = _run(shell, cloud, "--", "python", "look.py")
                assert _seen(_out(client, job)) == _expected(shell, 7 if shell is two else None)
                assert _seen(shell.python_says(SUBMIT, look)) == _expected(shell, 7 if shell is two else None)
            assert control.stop(cloud.root)


def test_two_submitters_at_once(cloud: Cloud, look: str, shells: tuple[Shell, Shell]) -> None:
    processes = [(shell, shell.start("-c", SUBMIT, look)) for _ in range(3) for shell in shells]
    for shell, process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert _seen(out) == _expected(shell, 7 if shell is shells[1] else None)


def test_a_restart_uses_them_again_and_names_what_is_gone(cloud: Cloud, look: str, shells: tuple[Shell, Shell]) -> None:
    one, two = shells
    (two.cwd / "look.py").write_text(LOOK + "sys.exit(not os.path.exists(os.environ['BATCHCOMPUTE_OSS_ROOT'] + '/go'))")
    job = _run(two, cloud, "look.py", code=3)
    assert control.stop(cloud.root)
    one.batchcompute("job", "start", job)
    with Client("local") as client:
        assert client.wait(job, timeout=60).State == "Failed"
        assert _seen(_out(client, job)) == _expected(two, 7)
        shutil.rmtree(two.python.parents[1])
        client.start_job(job)
        assert client.wait(job, timeout=60).State == "Failed"
        reason = (client.read_log(job, "look") or b"").decode()
        assert reason.startswith(f"batchcompute: the Python with which the job was submitted, {two.python}, is gone")
        assert "submit the job with another one, or set [programs] python" in reason
        Venv(two.python.parents[1], {"mylib": "X = 8"})
        (cloud.root / "oss" / "go").touch()
        client.start_job(job)
        assert client.wait(job, timeout=60).State == "Finished"
        assert _seen(_out(client, job)) == _expected(two, 8)


def test_a_service_whose_venv_is_gone_is_replaced_by_the_next_caller(
    cloud: Cloud, look: str, shells: tuple[Shell, Shell]
) -> None:
    one, two = shells
    (one.cwd / "wait.py").write_text(
        "import os, time\nwhile not os.path.exists(os.environ['BATCHCOMPUTE_OSS_ROOT'] + '/go'): time.sleep(0.01)"
    )
    running = one.batchcompute("job", "run", "wait.py").splitlines()[0]
    with Client("local") as client:
        before = control.status(cloud.root)
        assert before is not None
        assert before["interpreter"] == str(one.python)
        shutil.rmtree(one.python.parents[1])
        job = _run(two, cloud, "look.py") if _can_run_beside(cloud) else ""
        after = control.status(cloud.root)
        assert after is not None
        assert (after["interpreter"], after["pid"] == before["pid"]) == (str(two.python), False)
        (cloud.root / "oss" / "go").touch()
        assert client.wait(running, timeout=60).State == "Finished", "its program went on"
        assert client.list_tasks(running)[0].InstanceList[0].WorkerStartTime
        assert job == "" or _seen(_out(client, job)) == _expected(two, 7)


def _can_run_beside(cloud: Cloud) -> bool:
    return read_settings(cloud.root / "service.toml").slots > 1


def test_settings_and_images_win(cloud: Cloud, look: str, shells: tuple[Shell, Shell], tmp_path: Path) -> None:
    one, two = shells
    images = f'[images."img-one"]\npython = "{one.python}"\n'
    cloud.settings(f'interpreter = "{two.python}"\n[environment]\nTMPDIR = "/scratch"\nTZ = "Europe/Paris"\n{images}')
    with Client("local") as client:
        job = _run(one, cloud, "look.py")
        assert _seen(_out(client, job)) == _expected(one, 7) | {"python": str(two.python)}
        job = _run(two, cloud, "--image", "img-one", "look.py")
        assert _seen(_out(client, job)) == _expected(two, None) | {"python": str(one.python)}
        job = _run(two, cloud, "--env", "TZ=Z", "--env", "PATH=/mine:/bin", "--env", "SECRET", "look.py")
        assert _seen(_out(client, job)) == _expected(two, 7) | {"TZ": "Z", "PATH": "/mine:/bin", "SECRET": "hush"}
    control.stop(cloud.root)
    named = make_tool(tmp_path / "named", "echo named; env")
    cloud.settings(f'[programs]\npython = "{named}"\n[environment]\nTMPDIR = "/scratch"\nTZ = "Europe/Paris"\n')
    with Client("local") as client:
        lines = _out(client, _run(one, cloud, "look.py")).splitlines()
        assert lines[0] == "named"
        assert {"TMPDIR=/scratch", "TZ=Asia/Tokyo"} < set(lines)


def test_commands_are_found_on_the_submitters_path(cloud: Cloud, look: str, shells: tuple[Shell, Shell]) -> None:
    for shell, word in zip(shells, ("first", "second"), strict=True):
        for name in ("mytool", "php"):
            make_tool(shell.python.parent / name, f"echo {name} of the {word}")
    (shells[0].cwd / "a.php").touch()
    (shells[0].cwd / "a.sh").write_text("#!/usr/bin/env mytool\n")
    with Client("local") as client:
        for shell, word in zip(shells, ("first", "second"), strict=True):
            for command, name in ((["--", "mytool"], "mytool"), (["a.php"], "php"), (["a.sh"], "mytool")):
                job = _run(shell, cloud, *command)
                (task,) = client.get_job_description(job).TaskDag.TaskDescMap
                assert client.read_log(job, task, stream="stdout") == f"{name} of the {word}\n".encode()


def test_a_client_that_says_nothing(cloud: Cloud, look: str, shells: tuple[Shell, Shell]) -> None:
    """As over a port, or with another SDK: it gets what the service has, not what its first caller had."""
    shells[1].batchcompute("job", "list")
    job = cloud.create({"A": {}})
    cloud.ended(job)
    assert _seen(cloud.log(job, "A")) == {
        "python": str(shells[1].python), "mylib": 7, "LANG": "C.UTF-8", "LC_TIME": None, "TZ": None, "SECRET": None,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    assert cloud.call("GET", f"/-/jobs/{job}/surroundings") == (200, {})
    with Client("local") as client:
        assert client.get_surroundings(job) is None
        with pytest.raises(ClientError, match="ResourceNotFound"):
            client.get_surroundings("job-none")


def test_every_attempt_is_launched_with_them(world: World) -> None:
    """An executor gets them with the first attempt, after a crash, and after a restart of the job."""
    own = Surroundings("/v/python", "/v")
    body = describe({"A": {}})
    plans = [read_description(body, world.settings, header) for header in (own.to_header(), None)]
    jobs = [world.do(lambda turn, plan=plan: world.service.create_job(turn, 1, plan))["ResourceId"] for plan in plans]  # type: ignore[misc]  # called at once, a default binds it
    expected = {jobs[0]: own, jobs[1]: None}
    assert _launched(world) == {f"{job}.0.0.1": expected[job] for job in jobs}
    world.crash(FakeExecutor())
    world.engine.turn()
    second = [f"{job}.0.0.2" for job in jobs]
    assert _launched(world) == dict(zip(second, expected.values(), strict=True))
    world.end(*second, code=1)
    for job in jobs:
        world.do(lambda turn, job=job: world.service.start_job(turn, 1, job))  # type: ignore[misc]  # called at once, a default binds it
    assert {name: found for name, found in _launched(world).items() if name.endswith("3")} == {
        f"{job}.0.0.3": expected[job] for job in jobs
    }


def _launched(world: World) -> dict[str, Surroundings | None]:
    return {launch.attempt: launch.surroundings for launch in world.executor.launched}


def test_they_are_stored_and_shown(cloud: Cloud, look: str, data_dir: Path) -> None:
    sent = Surroundings("/nowhere/python", "/a:/caf\udce9:" + 8000 * "x", {"LANG": "C"}, "UTC")
    with Client("local") as client:
        job = client.create_job(Path(look).read_text(), surroundings=sent)
        assert client.wait(job, timeout=60).State == "Failed"
        assert control.stop(cloud.root)
        assert client.get_surroundings(job) == sent


def test_a_bad_header_is_refused_whole(cloud: Cloud, look: str) -> None:
    cloud.up()
    for value, message in (
        ("bm8=", "Specified parameter Surroundings is not valid. Surroundings: expected JSON in base64, got 'bm8='"),
        (
            "eyJQYXRoIjo1fQ==",
            "Specified parameter Surroundings.Path is not valid. Surroundings.Path: expected text, got 5",
        ),
    ):
        status, answer = cloud.call("POST", "/jobs", describe({"A": {}}), **{HEADER: value})
        assert (status, answer["Code"], answer["Message"]) == (400, "InvalidParameter", message)
    assert cloud.call("GET", "/jobs") == (200, {})


def test_a_token_means_the_same_from_another_venv(cloud: Cloud, look: str, data_dir: Path) -> None:
    with Client("local") as client:
        make: Callable[[str], Any] = lambda python: client.create_job(  # noqa: E731  # short
            Path(look).read_text(), idempotency_token="one", surroundings=Surroundings(python)
        )
        jobs = {make(f"/{name}/python").JobId for name in ("a", "b")}
        assert len(jobs) == 1
        assert client.get_surroundings(jobs.pop()) == Surroundings("/a/python")


def test_a_variable_without_a_value_is_refused(cloud: Cloud, look: str) -> None:
    cloud.up()
    status, answer = cloud.call("POST", "/jobs", describe({"A": {"EnvironmentVariables": {"NAME": None}}}))
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert "EnvironmentVariables.NAME: expected a str, got a NoneType" in answer["Message"]
