"""vcrpy reads what we write, and works by itself over TCP."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import vcr
from vcr.errors import CannotOverwriteExistingCassetteException

from batchcompute import Client
from batchcompute.testing import replay
from batchcompute.testing.contracts.loopback import answer
from tests.support.server import ScriptedServer


def session(client: Client) -> list[str]:
    """Reads, a poll, a change and an error."""
    found = [client.get_job("job-1").State for _ in range(3)]
    client.stop_job("job-1")
    return [*found, client.get_job("job-2").State]


@pytest.fixture
def states(server: ScriptedServer) -> None:
    words = iter(["Waiting", "Running", "Running", "Terminated", "Terminated"])
    server.script = lambda seen: answer(
        json.dumps({"ResourceId": "job-1", "State": next(words)}).encode() if seen.method == "GET" else b"",
        headers="x-acs-request-id: R1\r\n",  # every answer of a service has one, protocol 1.5
    )


def test_plain_vcrpy_records_and_replays(
    tmp_path: Path,
    server: ScriptedServer,
    connect: Callable[..., Client],
    states: None,
    offline: Callable[[], AbstractContextManager[None]],
) -> None:
    path = tmp_path / "plain.yaml"
    hidden = ["authorization", "x-acs-signature-nonce", "date"]
    with vcr.use_cassette(str(path), filter_headers=hidden):
        recorded = session(connect())
    requests = len(server.seen)
    assert requests == 5
    server.close()
    with offline(), vcr.use_cassette(str(path), filter_headers=hidden, record_mode="none"):
        client = connect()
        assert session(client) == recorded
        with pytest.raises(CannotOverwriteExistingCassetteException):
            client.list_images()
    assert len(server.seen) == requests


def test_vcrpy_replays_our_cassette(
    tmp_path: Path,
    server: ScriptedServer,
    connect: Callable[..., Client],
    states: None,
    offline: Callable[[], AbstractContextManager[None]],
) -> None:
    path = tmp_path / "ours.yaml"
    with replay.use_cassette(path, "record") as plugin:
        recorded = session(connect(plugins=[plugin]))
    server.close()
    with offline(), vcr.use_cassette(str(path), record_mode="none", match_on=["method", "path", "query"]):
        assert session(connect()) == recorded


def test_we_replay_what_vcrpy_recorded(
    tmp_path: Path,
    server: ScriptedServer,
    connect: Callable[..., Client],
    states: None,
    offline: Callable[[], AbstractContextManager[None]],
) -> None:
    path = tmp_path / "theirs.yaml"
    with vcr.use_cassette(str(path)):
        recorded = session(connect())
    server.close()
    path.write_text(path.read_text().replace(server.url, "https://batchcompute.invalid"))
    with offline(), replay.use_cassette(path, "replay") as plugin:
        assert session(Client("cn-qingdao", plugins=[plugin])) == recorded
