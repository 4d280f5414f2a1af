"""No secret reaches a cassette, whether or not somebody thought of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client, ClientError, Config, JobDescription, ServiceWarning
from batchcompute.hooks import AttemptContext, hookimpl
from batchcompute.testing import StubTransport, replay
from batchcompute.testing.cassette import Exchange, read_cassette
from batchcompute.testing.contracts.loopback import Seen, answer
from batchcompute.testing.scrubbing import Scrubber
from batchcompute.testing.tape import Tape
from batchcompute.wire import Response
from tests.support.server import ScriptedServer

KEY, SECRET, TOKEN = "canary-key-1", "canary-secret-2/+=", "canary-token-3/+="
TENANT = "canary-tenant-4"
ACCOUNT = 1234567890123456


class Tenant:
    """A platform's own authentication, which we know nothing about."""

    @hookimpl
    def request_headers(self, ctx: AttemptContext) -> dict[str, str]:
        return {"x-platform-key": TENANT}


def echo(seen: Seen) -> bytes:
    """A service that repeats everything it got, in headers and body."""
    got = dict(seen.headers)
    body = {"Code": "Denied", "Message": f"{seen.target} {got} {seen.body.decode()}", "OwnerId": ACCOUNT, "Raw": got}
    lines = "".join(f"X-Echo-{name}: {value}\r\n" for name, value in seen.headers)
    return answer(json.dumps(body).encode(), 403, f"{lines}X-Acs-Request-Id: {got['authorization']}\r\n")


def description(**environment: str) -> JobDescription:
    job = JobDescription()
    job.JobName = "scrubbed"
    job.Priority = 1
    arguments = f"--bucket logs-{ACCOUNT} --name caller-named-7 --again {environment.get('PASSWORD', '')}"
    task = {"PackageUri": f"oss://logs-{ACCOUNT}/w.tar.gz", "ProgramName": "w.py", "ImageId": "img-1", "Timeout": 60}
    job.TaskDag.add_task("Work", task | {"ProgramArguments": arguments, "EnvironmentVariables": environment})
    return job


def test_canaries_in_every_place(
    tmp_path: Path, server: ScriptedServer, offline: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "session.yaml"
    server.script = echo
    environment = {"PASSWORD": "canary-environment-5", "SHORT": "q7"}
    errors = []
    with (
        replay.use_cassette(path, "record", scrub=["caller-named-7"]) as plugin,
        Client(server.url, KEY, SECRET, security_token=TOKEN, plugins=[Tenant(), plugin]) as client,
    ):
        for call in (client.list_jobs, lambda: client.create_job(description(**environment))):
            with pytest.raises(ClientError) as caught:
                call()
            errors.append(caught.value.code)
    text = path.read_text()
    sent = dict(server.seen[1].headers)
    scheme, _, signature = sent["authorization"].rpartition(":")
    hidden = [KEY, SECRET, TOKEN, TENANT, str(ACCOUNT), "canary", "caller-named-7", "127.0.0.1"]
    hidden += [signature, sent["x-acs-signature-nonce"], sent["date"], scheme, sent["contentmd5"], str(Path.home())]
    assert [value for value in hidden if value in text] == []
    assert '"q7"' not in read_cassette(path)[1].body.decode()
    for name in re.findall(r"^ {6}(\S+):$", text, re.MULTILINE):
        assert name in {"accept", "content-type", "x-acs-version", "x-acs-request-id"}
    with offline(), replay.use_cassette(path, "replay", scrub=["caller-named-7"]) as plugin:
        client = Client(server.url, plugins=[Tenant(), plugin])
        for call in (client.list_jobs, lambda: client.create_job(description(PASSWORD="x", SHORT="y"))):
            with pytest.raises(ClientError) as caught:
                call()
            assert caught.value.code in errors


def test_one_value_has_one_placeholder() -> None:
    scrubber = Scrubber(["named-by-caller"])
    one, two = scrubber.clean(
        [
            Exchange("GET", "/jobs?Owner=named-by-caller", _answer({"OwnerId": ACCOUNT, "Text": "named-by-caller"})),
            Exchange("GET", "/jobs", _answer({"A": {"OwnerId": 1000}, "B": {"OwnerId": ACCOUNT}, "C": {"OwnerId": 0}})),
        ]
    )
    first, second = _body(one), _body(two)
    assert first["Text"] == "<scrubbed:value-1>"
    assert one.target == "/jobs?Owner=<scrubbed:value-1>"
    assert first["OwnerId"] == second["B"]["OwnerId"] != second["A"]["OwnerId"]
    assert isinstance(first["OwnerId"], int)
    assert second["C"]["OwnerId"] == 0, "0 is the service itself"


def test_what_is_learned_late_is_hidden_in_what_came_early() -> None:
    early = Exchange("POST", "/jobs", _answer({}), json.dumps({"Uri": f"oss://logs-{ACCOUNT}/x"}).encode())
    late = Exchange("GET", "/jobs", _answer({"OwnerId": ACCOUNT}))
    scrubbed, _ = Scrubber().clean([early, late])
    assert str(ACCOUNT).encode() not in scrubbed.body
    # nobody has to know the account to replay it
    tape = Tape([scrubbed], Scrubber(), Path("x.yaml"))
    assert tape.play("POST", "/jobs", early.body)[1]


@pytest.mark.parametrize(
    "name", ["AccessKeyId", "access_key_secret", "SecurityToken", "Signature", "password", "Token", "X-Authorization"]
)
def test_secrets_are_hidden_by_their_names(name: str) -> None:
    exchange = Exchange("GET", f"/jobs?a=1&{name}=abc%2Fdef&b=2", _answer({"Nested": [{name: "abc/def"}]}))
    (scrubbed,) = Scrubber().clean([exchange])
    if name == "X-Authorization":  # no name of ours; it would be hidden as a header
        assert scrubbed.target == exchange.target
        return
    assert scrubbed.target == f"/jobs?a=1&{name}=%3Cscrubbed%3A{name}%3E&b=2"
    assert _body(scrubbed) == {"Nested": [{name: f"<scrubbed:{name}>"}]}


def test_ordinary_words_stay() -> None:
    """An environment variable may hold a word of the protocol: the state of a job must not become a placeholder."""
    variables = {"STATE": "Finished", "ALSO": "Terminated", "N": "1", "DEBUG": "true", "PATH": "python"}
    body = {"EnvironmentVariables": variables, "State": "Terminated", "ProgramType": "python", "Priority": 1}
    (scrubbed,) = Scrubber().clean([Exchange("GET", "/jobs/job-1", _answer(body))])
    found = _body(scrubbed)
    assert (found["State"], found["ProgramType"], found["Priority"]) == ("Terminated", "python", 1)
    assert set(found["EnvironmentVariables"].values()) == {f"<scrubbed:{name}>" for name in variables}


@pytest.mark.parametrize("body", [b"", b"plain canary-secret-9 text", b"\xff\xfe canary-secret-9 \x00", b"[1, 2", b"7"])
def test_bodies_that_are_no_json(body: bytes) -> None:
    (scrubbed,) = Scrubber(["canary-secret-9"]).clean([Exchange("GET", "oss://b/k", Response(200, {}, body))])
    assert isinstance(scrubbed.answer, Response)
    assert scrubbed.answer.body == body.replace(b"canary-secret-9", b"<scrubbed:value-1>")


def test_a_key_that_comes_twice_hides_nothing() -> None:
    body = b'{"A": "canary-secret-9", "A": "x"}'
    (scrubbed,) = Scrubber(["canary-secret-9"]).clean([Exchange("GET", "/jobs", Response(200, {}, body))])
    assert _body(scrubbed) == {"A": "x"}
    assert isinstance(scrubbed.answer, Response)
    assert b"canary" not in scrubbed.answer.body


def test_binary_objects_survive_the_file(tmp_path: Path) -> None:
    from batchcompute.testing.cassette import write_cassette

    data = bytes(range(256))
    write_cassette(tmp_path / "x.yaml", [Exchange("GET", "oss://b/k", Response(200, {}, data))])
    (found,) = read_cassette(tmp_path / "x.yaml")
    assert isinstance(found.answer, Response)
    assert found.answer.body == data


def test_the_recorded_sessions_of_this_repository(request: pytest.FixtureRequest) -> None:
    """Nothing in the committed cassettes looks like a key, a signature or somebody's folder."""
    files = sorted((request.config.rootpath / "cassettes").rglob("*.yaml"))
    assert files
    forbidden = re.compile(
        r"LOCAL[0-9A-F]{8}|acs [A-Za-z0-9]+:|[Aa]uthorization|nonce|/home/|/tmp/|/root|canary|OwnerId\":1000\b"
    )
    assert [file.name for file in files if forbidden.search(file.read_text())] == []


def test_a_real_session_with_its_real_key(tmp_path: Path, local_region: Path) -> None:
    from batchcompute_local.client import control

    path = tmp_path / "session.yaml"
    with replay.use_cassette(path, "record") as plugin, Client("local", plugins=[plugin]) as client:
        with pytest.warns(ServiceWarning):  # there is no such image
            job = client.create_job(description(PASSWORD="canary-environment-5"))
        client.get_job(job)
        client.get_job_description(job)
        client.wait(job, timeout=60)  # it fails: there is no such package
    text = path.read_text()
    hidden = [*control.read_credentials(local_region), "canary", str(local_region), str(tmp_path), "acs "]
    assert [value for value in hidden if value in text] == []


def test_two_clients_with_two_keys(tmp_path: Path) -> None:
    stub = StubTransport(Response(200, {}, json.dumps({"X": "canary-a canary-b"}).encode()))
    with replay.use_cassette(tmp_path / "x.yaml", "record") as plugin:
        for key in ("canary-a", "canary-b"):
            Client("cn-qingdao", key, "s-" + key, plugins=[stub, plugin], config=Config()).list_jobs()
    assert "canary" not in (tmp_path / "x.yaml").read_text()


def _answer(body: object) -> Response:
    return Response(200, {"content-type": "application/json", "set-cookie": "canary"}, json.dumps(body).encode())


def _body(exchange: Exchange) -> Any:
    assert isinstance(exchange.answer, Response)
    return json.loads(exchange.answer.body)
