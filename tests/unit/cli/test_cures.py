"""What to do about an error follows from what was said, not from the HTTP status."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from batchcompute import errors
from batchcompute.cli.cures import find_cure
from tests.support.command_line import Run
from tests.support.unprivileged import as_ordinary_user

JOB = "job-" + "0" * 32


@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (404, "InvalidAccessKeyId.NotFound", "does not know this access key; `batchcompute doctor` shows the key"),
        (400, "InvalidAccessKeyId.NotFound", "does not know this access key"),
        (400, "InvalidAccessKeyId.Inactive", "the key is disabled"),
        (400, "SignatureDoesNotMatch", "the secret is not that of this access key"),
        (403, "Forbidden.RAM", "no right to do it"),
        (403, "InvalidSecurityToken.Expired", "new temporary credentials"),
        (403, "SecurityTokenExpired", "new temporary credentials"),
        (400, "InvalidTimeStamp.Expired", "set this machine's clock"),
        (403, "RequestTimeTooSkewed", "set this machine's clock"),
        (401, "NewCode", "does not accept this access key; `batchcompute doctor`"),
        (403, "NewCode", "no right to do it"),
        (403, "QuotaExhausted", "job prune"),
        (404, "ResourceNotFound", "`batchcompute job list` shows the jobs"),
        (404, "InvalidResource.NotFound", "`batchcompute job list` shows the jobs"),
        (404, "InvalidApi.NotFound", "does not offer this operation"),
        (403, "InvalidVersion.NotFound", "does not offer this operation"),
        (409, "StateConflict", "stop is for Waiting and Running jobs"),
        (404, "HTTP404", "another web server or a proxy"),
        (409, "HTTP409", "another web server or a proxy"),
        (503, "Throttling.User", "less often"),
        (403, "InvalidHttpBody", ""),
        (500, "InternalError", ""),
    ],
)
def test_codes(status: int, code: str, cure: str) -> None:
    found = find_cure(errors.client_error(status, code, "m", "r"))
    assert (cure in found, bool(found)) == (True, bool(cure))


def test_a_note_of_the_error_is_its_cure() -> None:
    error = errors.ConfigError("m")
    error.add_note("look here")
    assert find_cure(error) == "look here"
    lost = errors.ConnectError("m")
    lost.add_note("list_jobs gave up after 4 attempts")
    assert find_cure(lost) == "list_jobs gave up after 4 attempts; `batchcompute doctor` finds the cause"
    assert find_cure(ZeroDivisionError()) == ""


def test_keys_that_a_service_refuses(bc: Run, served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bc("-e", served, "job", "list").code == 0
    done = bc("-e", served, "job", "stop", JOB)
    assert (done.code, done.err.endswith("`batchcompute job list` shows the jobs\n")) == (7, True)
    assert bc("-e", served, "oss", "ls").err.startswith("There are no buckets.")
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_SECRET", "zq9-canary-secret")
    done = bc("-e", served, "job", "list")
    assert "SignatureDoesNotMatch" in done.err
    assert "; the secret is not that of this access key; `batchcompute doctor` shows the key in use" in done.err
    assert "SignatureDoesNotMatch" in bc("-e", served, "oss", "ls").err
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_ID", "LTAIx")
    done = bc("-e", served, "job", "list")
    assert "; the service does not know this access key; `batchcompute doctor`" in done.err
    assert "job list" not in done.err
    done = bc("-e", served, "doctor")
    assert "cure: the service does not know this access key;" in done.out
    assert "zq9-canary" not in done.out + done.err
    monkeypatch.delenv("BATCHCOMPUTE_ACCESS_KEY_ID")
    monkeypatch.delenv("BATCHCOMPUTE_ACCESS_KEY_SECRET")
    done = bc("-e", served, "job", "list")
    assert "for a `serve`, `batchcompute local credentials` prints it on its machine" in done.err


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.startswith("/images")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", "22")
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a web server of somebody else."""
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_ID", "LTAIx")
    monkeypatch.setenv("BATCHCOMPUTE_ACCESS_KEY_SECRET", "y")
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", [("job", "list"), ("job", "show", JOB), ("image", "list")])
def test_another_web_server_at_the_address(bc: Run, web_server: str, words: tuple[str, ...]) -> None:
    done = bc("-e", web_server, *words)
    assert done.code == 7
    assert "another web server" in done.err
    assert "job list" not in done.err


def test_a_bad_service_toml(bc: Run, data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "service.toml").write_text("slotss = 3\n")
    for words in (("job", "list"), ("serve", "--port", "0")):
        done = bc(*words)
        assert done.code == 2
        assert done.err.endswith("did you mean 'slots'?; correct the file; region local does not start with it\n")
    assert "cure: correct the file; region local does not start with it" in bc("doctor").out


@as_ordinary_user
def test_no_rights(bc: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "others"
    closed.mkdir(mode=0o500)
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(closed / "data"))
    for words in (("job", "list"), ("local", "credentials")):
        done = bc(*words)
        assert "Permission denied" in done.err
        assert (
            f"; change the rights of {closed}/data or of its folder, or use another one; `batchcompute doctor`"
            in done.err
        )
