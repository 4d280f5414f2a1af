"""The plugin of the example: its contracts, its tokens, retry and logs by configuration, and a session, recorded."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from bearergateway.plugin import NAME, GatewaySettings, LoggedTransport, Tokens, plugin
from standin import CLIENT, StandIn

from batchcompute import Client, Config, Credentials, CredentialsConfig, CredentialsError, JobDescription, Region
from batchcompute.builtins import Urllib3Factory
from batchcompute.config import TransportConfig
from batchcompute.hooks import AttemptContext, CredentialProvider, TransportFactory
from batchcompute.testing import CredentialProviderContract, SignerContract, TransportContract

EXAMPLE = Path(__file__).parents[1]


@pytest.fixture
def gateway(data_dir: Path) -> Iterator[StandIn]:
    standin = StandIn(data_dir)
    yield standin
    standin.close()


def settings(url: str, secret: str = CLIENT[1]) -> GatewaySettings:
    return GatewaySettings(url, CLIENT[0], secret)


def client(gateway: StandIn, **more: Any) -> Client:
    return Client(NAME, plugins=[plugin], config=Config(sections={NAME: settings(gateway.url)}, **more))


class TestTransport(TransportContract):
    def make_factory(self) -> TransportFactory:
        return Urllib3Factory("gateway-http", LoggedTransport)


class TestProvider(CredentialProviderContract):
    @pytest.fixture
    def provider(self, gateway: StandIn) -> CredentialProvider:
        return Tokens(settings(gateway.url), TransportConfig())

    @pytest.fixture
    def empty_provider(self, gateway: StandIn) -> CredentialProvider:
        return Tokens(settings(gateway.url, "canary-wrong-secret"), TransportConfig())


class TestSignature(SignerContract):
    region = Region(NAME, "gateway.example")
    sends = ("access_key_secret",)
    covers_request = False

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return plugin.sign_request(ctx)

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        return headers["authorization"] == f"Bearer {credentials.access_key_secret}"


def test_one_token_serves_many_calls(gateway: StandIn) -> None:
    with client(gateway) as first, client(gateway) as second:
        for _ in range(3):
            assert list(first.list_jobs()) == []
        second.list_jobs()
    assert len(gateway.given) == 2, "one for each Client"


def test_a_token_is_replaced_before_it_expires(gateway: StandIn) -> None:
    gateway.lifetime = 30
    with client(gateway, credentials=CredentialsConfig(refresh_at_latest=60)) as first:
        first.list_jobs()
        gateway.good.clear()  # what the first call had is not sent again
        first.list_jobs()
    assert len(gateway.given) == 2


def test_a_token_that_the_gateway_has_ended_is_replaced(gateway: StandIn) -> None:
    with client(gateway) as first:
        first.list_jobs()
        gateway.good.clear()
        first.list_jobs()
    assert len(gateway.given) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (GatewaySettings("http://127.0.0.1:1"), "set gateway.client_id and gateway.client_secret"),
        (settings("http://127.0.0.1:1"), "http://127.0.0.1:1/token, for team-blue: 127.0.0.1:1 could not be reached"),
    ],
)
def test_why_there_is_no_token(given: GatewaySettings, message: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        Tokens(given, TransportConfig()).get()
    assert message in str(caught.value)
    assert CLIENT[1] not in str(caught.value)


def test_retry_and_json_logs_are_configuration(gateway: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """The file of the README, with the address and the key of this gateway."""
    (text,) = [block.partition("```")[0] for block in (EXAMPLE / "README.md").read_text().split("```toml\n")[1:]]
    text = text.replace("https://gateway.example", gateway.url).replace("the-secret-of-the-team", CLIENT[1])
    file = Path.home() / ".config/batchcompute/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(0o600)
    events = io.StringIO()
    handler = logging.StreamHandler(events)
    handler.addFilter(lambda record: record.name == "batchcompute")  # not what its parts log for their makers
    logging.getLogger("batchcompute").addHandler(handler)
    gateway.failures = 5
    try:
        with caplog.at_level(logging.INFO, "bearergateway"), Client(NAME, plugins=[plugin]) as configured:
            assert list(configured.list_jobs()) == []
    finally:
        logging.getLogger("batchcompute").removeHandler(handler)
    event = json.loads(events.getvalue())
    assert (event["event"], event["operation"], event["attempts"], event["status"]) == ("call", "list_jobs", 6, 200)
    lines = [record.getMessage() for record in caplog.records if record.name == "bearergateway"]
    assert [line.split()[:3] for line in lines] == [["GET", "/jobs:", status] for status in (*["503"] * 5, "200")]
    assert not any(token in text for token in (*gateway.given, CLIENT[1]) for text in (events.getvalue(), *lines))


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """The address of a gateway; a session that is replayed needs none."""
    if request.config.getoption("--batchcompute-record") == "replay":
        return "https://gateway.example"
    return str(request.getfixturevalue("gateway").url)


@pytest.mark.batchcompute_cassette
def test_a_session(url: str) -> None:
    """Record it anew with --batchcompute-record: then a real service runs the job."""
    task = {"ProgramType": "command", "ProgramName": "echo", "ProgramArguments": "hello", "ImageId": "img-local"}
    description = JobDescription({"JobName": "hello", "Priority": 1, "TaskDag": {"TaskDescMap": {"Hello": task}}})
    with Client(NAME, plugins=[plugin], config=Config(sections={NAME: settings(url)})) as session:
        job = session.create_job(description)
        assert session.wait(job, check=True, timeout=60).State == "Finished"
        assert [task.TaskName for task in session.list_tasks(job)] == ["Hello"]
        session.delete_job(job)
        assert list(session.list_jobs()) == []


def test_installed_it_is_in_every_client(tmp_path: Path) -> None:
    """By the entry point of the distribution, beside its source."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site/gateway-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = project["entry-points"]["batchcompute"].items()
    (info / "entry_points.txt").write_text(
        "[batchcompute]\n" + "".join(f"{name} = {value}\n" for name, value in points)
    )
    path = os.pathsep.join([str(tmp_path / "site"), str(EXAMPLE / "src")])
    command = [sys.executable, "-c", "import batchcompute; print(batchcompute.Client('gateway'))"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "Client('gateway')\n", done.stderr


def test_it_stays_small() -> None:
    """It is an example: what it adds is to be read in one go."""
    lines = sum(len(file.read_text().splitlines()) for file in (EXAMPLE / "src").rglob("*.py"))
    assert lines < 150
