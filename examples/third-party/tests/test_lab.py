"""The region lab, with a real gateway, a real service and a real keyring file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control
from labregion import credentials, plugin
from labregion.credentials import KeyringProvider
from labregion.transport import HttpxFactory

from batchcompute import Client, ClientError, Config, CredentialsError, JobDescription, ValidationError, pack
from batchcompute.hooks import AttemptContext, hookimpl
from batchcompute.testing import CredentialProviderContract, TransportContract

PROJECT = Path(__file__).parents[1]


class TestTransport(TransportContract):
    def make_factory(self) -> HttpxFactory:
        return HttpxFactory()


class TestProvider(CredentialProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> KeyringProvider:
        credentials.store(str(tmp_path / "keys"), "testid", "canary-of-the-keyring")
        return KeyringProvider(str(tmp_path / "keys"))

    @pytest.fixture
    def empty_provider(self, tmp_path: Path) -> KeyringProvider:
        return KeyringProvider(str(tmp_path / "none"))


@pytest.fixture
def gateway(data_dir: Path) -> Iterator[int]:
    """The port of a gateway in front of the test's service."""
    command = [sys.executable, "-m", "labregion.gateway", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


def lab(port: int, **settings: Any) -> Client:
    """A Client of the region, its key in the keyring file `keys`."""
    section = {"port": port, "keyring_file": "keys", **settings}
    return Client("lab", plugins=[plugin], config=Config(sections={"lab": section}), timeout=60)


@pytest.fixture
def key(data_dir: Path) -> str:
    """The service's key is in the keyring; its secret."""
    control.ensure_running(data_dir)
    key_id, secret = control.read_credentials(data_dir)
    credentials.store("keys", key_id, secret)
    return secret


def hello(**more: Any) -> JobDescription:
    task = {"PackageUri": "oss://lab/hello.tar.gz", "ProgramName": "hello.py", "ImageId": "img-local"}
    dag = {"TaskDescMap": {"Hello": {**task, **more}}, "Dependencies": {}}
    return JobDescription({"JobName": "hello", "Priority": 5, "TaskDag": dag})


def test_a_job_runs_through_the_gateway(gateway: int, key: str, tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker/hello.py").write_text("print('hello from the lab')")
    with lab(gateway) as client:
        client.objects.put("oss://lab/hello.tar.gz", pack(tmp_path / "worker"))
        job = client.create_job(hello())
        assert client.wait(job, check=True, timeout=60).State == "Finished"
        assert client.read_log(job, "Hello", 0, "stdout") == b"hello from the lab\n"


def test_the_lab_has_its_own_rules(gateway: int, key: str) -> None:
    with lab(gateway) as client, pytest.raises(ValidationError) as caught:
        client.create_job(hello(InstanceCount=65, ProgramType="php"))
    assert [problem.path.rpartition(".")[2] for problem in caught.value.problems] == ["ProgramType", "InstanceCount"]
    assert all(problem.source == "the lab's rules" for problem in caught.value.problems)


def test_tenant_and_trace_go_with_every_attempt(gateway: int, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[AttemptContext] = []

    class Watch:
        @hookimpl
        def after_attempt(self, ctx: AttemptContext) -> None:
            seen.append(ctx)

    monkeypatch.setenv("TRACEPARENT", f"00-{'a' * 32}-{'b' * 16}-01")
    section = {"port": gateway, "keyring_file": "keys", "tenant": "blue"}
    with Client("lab", plugins=[plugin, Watch()], config=Config(sections={"lab": section})) as client:
        client.list_jobs()
        client.list_jobs()
    headers = [dict(ctx.request.headers) for ctx in seen]
    assert {one["x-acs-lab-tenant"] for one in headers} == {"blue"}
    spans = {re.fullmatch(rf"00-{'a' * 32}-([0-9a-f]{{16}})-01", one["traceparent"])[1] for one in headers}  # type: ignore[index]  # each has one
    assert len(spans) == 2
    assert {ctx.endpoint.transport for ctx in seen} == {"lab-httpx"}
    assert all(ctx.response is not None and ctx.response.status == 200 for ctx in seen), "the tenant was signed"


def test_another_key_is_refused_by_the_service(gateway: int, key: str) -> None:
    key_id = json.loads((Path(os.environ["BATCHCOMPUTE_DATA_DIR"]) / "credentials.json").read_text())["access_key_id"]
    credentials.store("keys", key_id, "not the secret")
    with lab(gateway) as client, pytest.raises(ClientError) as caught:
        client.list_jobs()
    assert caught.value.code == "SignatureDoesNotMatch"


def test_the_service_comes_back_when_it_has_ended(gateway: int, key: str, data_dir: Path) -> None:
    with lab(gateway) as client:
        assert list(client.list_jobs()) == []
        assert control.stop(data_dir)
        assert list(client.list_jobs()) == []


def test_the_keyring_file_is_for_its_owner_only(data_dir: Path) -> None:
    before = os.umask(0)
    try:
        credentials.store("deep/keys", "testid", "canary-of-the-keyring")
    finally:
        os.umask(before)
    assert Path("deep").stat().st_mode & 0o777 == 0o700
    assert Path("deep/keys").stat().st_mode & 0o777 == 0o600
    Path("deep/keys").chmod(0o640)
    with pytest.raises(CredentialsError, match="chmod 600"):
        credentials.read("deep/keys")


def test_a_damaged_entry_is_not_shown(data_dir: Path) -> None:
    credentials.store("keys", "testid", "canary-of-the-keyring")
    backend, _ = credentials._open("keys")
    backend.set_password(credentials._SERVICE, credentials._ENTRY, "canary-without-braces")
    with pytest.raises(CredentialsError, match="damaged") as caught:
        credentials.read("keys")
    assert "canary" not in str(caught.value)


def test_the_demo_by_the_command_line(data_dir: Path, tmp_path: Path) -> None:
    """As installed: the distribution's own entry points, beside its source."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["batchcompute"].items()
    (info / "entry_points.txt").write_text(
        "[batchcompute]\n" + "".join(f"{name} = {value}\n" for name, value in points)
    )

    def batchcompute(*arguments: str, port: str = "1") -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(PROJECT / "src")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BATCHCOMPUTE_LAB_PORT": port,
        }
        command = [sys.executable, "-c", "from batchcompute.cli import main; main()", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    done = batchcompute("lab", "login", "--from-local")
    assert done.returncode == 0, done.stderr
    secret = control.read_credentials(data_dir)[1]
    assert secret not in done.stdout + done.stderr
    started = batchcompute("lab", "gateway", "--port", "0", "--background")
    assert started.returncode == 0, started.stderr
    try:
        done = batchcompute("demo", "-e", "lab", port=started.stderr.strip().rpartition(":")[2])
    finally:
        os.kill(int(started.stdout), signal.SIGTERM)
    assert "Primes below 10000: 1229" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
