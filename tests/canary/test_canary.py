"""Canary secrets in every field that can hold one: afterwards they are searched for wherever they must not be."""

from __future__ import annotations

import json
import logging
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from batchcompute_local.client import control

from batchcompute import Client, Config, JobFailedError, RetryConfig, TracingConfig, TransportConfig, pack
from batchcompute.errors import BatchComputeError

SECRET = "CanarySecret5f3a"
TOKEN = "CanaryToken77b1"
PASSWORD = "CanaryPassword90cc"
VALUE = "CanaryValue1e55"
CANARIES = (SECRET, TOKEN, PASSWORD, VALUE)


def found_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


@pytest.fixture
def rude_server() -> Iterator[int]:
    """Answers everything with errors that repeat what it was sent."""

    class Rude(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            self.rfile.read(length)
            body = json.dumps({"Code": "InvalidParameter", "Message": "no"}).encode()
            self.send_response(400)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-acs-request-id", "R1")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # http.server's names

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Rude)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def description(**more: object) -> dict[str, object]:
    task = {
        "PackageUri": "oss://canary/worker.tar.gz",
        "ProgramName": "fail.py",
        "ImageId": "img-local",
        "Timeout": 60,
        "EnvironmentVariables": {"PASSWORD": VALUE},
        **more,
    }
    return {"JobName": "canary", "Priority": 1, "TaskDag": {"TaskDescMap": {"T": task}}}


def said_by(call: Callable[..., object], *args: object) -> str:
    """Everything that a failing call shows: its error as text, repr, notes and traceback, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = repr(call(*args))
        except (BatchComputeError, TypeError, ValueError) as error:
            result = "\n".join([str(error), repr(error), *traceback.format_exception(error)])
    return "\n".join([result, *(str(warning.message) for warning in caught)])


@pytest.mark.parametrize("form", ["console", "json"])
def test_calls_that_fail(
    rude_server: int, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    caplog.set_level(logging.DEBUG)
    config = Config(
        access_key_id="config-id",
        access_key_secret=SECRET,
        security_token=TOKEN,
        retry=RetryConfig(attempts=2, base_wait=0.001),
        tracing=TracingConfig(level="debug", format=form),
        transport=TransportConfig(https_proxy=f"http://user:{PASSWORD}@127.0.0.1:1"),
    )
    said = [repr(config), str(config)]
    for url in (f"http://127.0.0.1:{rude_server}", "http://127.0.0.1:1", "https://batchcompute.example.com"):
        for keys in ((), ("given-id", SECRET)):
            token = TOKEN if keys else None
            with Client(url, *keys, config=config, security_token=token) as client:
                said.append(repr(client))
                wide = description(ResourceDescription={"Cpu": 800, "Memory": 2000})
                for call, args in (
                    (client.create_job, (wide,)),
                    (client.create_job, (description(InstanceCount=0, ProgramType=5),)),
                    (client.create_job, (description(EnvironmentVariables={"PASSWORD": [VALUE]}),)),
                    (client.create_job, (description(EnvironmentVariables=f"PASSWORD={VALUE}"),)),
                    (client.list_jobs, ()),
                    (client.get_job, ("job-1",)),
                    (client.get_job_description, ("job-1",)),
                    (client.update_job_priority, ("job-1", 5)),
                    (client.stop_job, ("job-1",)),
                    (client.start_job, ("job-1",)),
                    (client.delete_job, ("job-1",)),
                    (client.list_tasks, ("job-1",)),
                    (client.list_images, ()),
                ):
                    said.append(said_by(call, *args))
    said += [
        said_by(Client, url, "id", secret) for url, secret in (("nowhere", SECRET), ("local", SECRET + "\n\u4f60"))
    ]
    said.append(said_by(Client, f"https://user:{PASSWORD}@host.example.com", "id", SECRET))
    out, err = capfd.readouterr()
    assert "attempt" in caplog.text  # it was traced at DEBUG
    assert found_in("\n".join([*said, caplog.text, out, err])) == []


def test_a_real_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The values of a job's environment stay between its description and its program."""
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "service"
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "fail.py").write_text("import os, sys; sys.exit('no' if os.environ['PASSWORD'] else 0)")
    try:
        with Client("local", "cloud-id", SECRET, security_token=TOKEN) as client:
            client.objects.put("oss://canary/worker.tar.gz", pack(tmp_path / "worker"))
            job = client.create_job(description(ProgramArguments="--slow"))
            processes = command_lines()
            with pytest.raises(JobFailedError) as caught:
                client.wait(job, check=True, timeout=60)
            said = [str(caught.value), repr(caught.value), repr(client.get_job_description(job))]
            said.append(said_by(client.create_job, description(ProgramName="", ImageId="windows")))
            assert client.get_job_description(job).TaskDag.get_task("T").EnvironmentVariables == {"PASSWORD": VALUE}
        said += [path.read_text(errors="replace") for path in folder.glob("*.log*")]
        own = json.loads((folder / "credentials.json").read_text())["access_key_secret"]
        text = "\n".join([*said, processes, caplog.text])
        assert str(folder) in processes
        assert found_in(text) == []
        assert own not in text
    finally:
        control.stop(folder)


def command_lines() -> str:
    """What `ps` shows of every process."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(lines)


def test_the_cassettes() -> None:
    """What recorded sessions hold of keys and signatures are placeholders."""
    import yaml

    cassettes = sorted((Path(__file__).parents[2] / "cassettes").rglob("*.yaml"))
    assert cassettes
    for path in cassettes:
        text = path.read_text()
        assert found_in(text) == []
        for interaction in yaml.safe_load(text)["interactions"]:
            names = {name.lower() for name in interaction["request"]["headers"]}
            assert not names & {"authorization", "x-acs-security-token", "x-acs-access-key-id", "x-acs-signature-nonce"}
