"""The surroundings of a submitter: what travels, how, and what is refused."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies as st

from batchcompute import Client, ClientError, ConfigError, DecodeError, Surroundings
from batchcompute.hooks import AttemptContext, hookimpl
from batchcompute.surroundings import HEADER, LOCALE_VARIABLES, MOST_BYTES
from batchcompute.testing.cassette import Exchange
from batchcompute.testing.scrubbing import Scrubber
from batchcompute.wire import Response
from tests.support.descriptions import describe_find
from tests.support.stub import Stub

PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")) | st.just("/caf\udce9")
ALL = Surroundings("/v/bin/python", "/v/bin:/usr/bin", {"LANG": "de_DE.UTF-8", "LC_TIME": "C"}, "Europe/Berlin")


@given(
    st.just("") | PATHS.map(lambda text: f"/{text}"),
    st.none() | PATHS,
    st.dictionaries(st.sampled_from(LOCALE_VARIABLES), PATHS),
    st.none() | PATHS,
)
def test_they_arrive_as_they_were(
    interpreter: str, path: str | None, locale: Mapping[str, str], time_zone: str | None
) -> None:
    sent = Surroundings(interpreter, path, locale, time_zone)
    header = sent.to_header()
    assert header.isascii()
    assert "\n" not in header
    assert Surroundings.from_header(header) == sent
    assert Surroundings.from_wire(json.loads(json.dumps(sent.to_wire()))) == sent


def test_nothing_else_of_an_environment_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*LOCALE_VARIABLES, "TZ"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/a:/b")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("LC_TOKEN", "hush")  # a way to get variables through ssh
    monkeypatch.setenv("TZX", "hush")
    assert Surroundings.of_process() == Surroundings(sys.executable, "/a:/b", {"LC_TIME": "C"}, None)
    assert Surroundings.of_process("/p/python").interpreter == "/p/python"
    assert Surroundings.of_process().variables == {"PATH": "/a:/b", "LC_TIME": "C"}
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert Surroundings.of_process().interpreter == ""


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ([], r"Surroundings: expected an object, got \[\]"),
        ({"Interpreter": 5}, "Surroundings.Interpreter: expected text, got 5"),
        ({"Interpreter": "bin/python"}, "Surroundings.Interpreter: expected an absolute path, got 'bin/python'"),
        ({"Path": ["/bin"]}, r"Surroundings.Path: expected text, got \['/bin'\]"),
        ({"Path": "/a\0b"}, "Surroundings.Path: expected text that a program can be given"),
        ({"TimeZone": "\ud800"}, "Surroundings.TimeZone: expected text that a program can be given"),
        ({"Locale": "C"}, "Surroundings.Locale: expected an object, got 'C'"),
        (
            {"Locale": {"LD_PRELOAD": "x"}},
            "Surroundings.Locale: 'LD_PRELOAD' is not a variable of a locale; allowed: LANG,",
        ),
        ({"Locale": {"LANG": None}}, "Surroundings.Locale.LANG: expected text, got None"),
    ],
)
def test_each_bad_field_is_named(wire: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Surroundings.from_header(base64.b64encode(json.dumps(wire).encode()).decode())


@pytest.mark.parametrize("text", ["", "{}", "é", "e30", "////", base64.b64encode(b"[" * 5000).decode()])
def test_what_is_no_json_in_base64(text: str) -> None:
    with pytest.raises(ValueError, match="Surroundings: expected JSON in base64, got"):
        Surroundings.from_header(text)


def test_what_a_newer_client_adds_is_ignored() -> None:
    assert Surroundings.from_wire({**ALL.to_wire(), "Shell": 5}) == ALL


def test_there_is_a_limit() -> None:
    large = Surroundings("/v/bin/python", "/" + "x" * (MOST_BYTES - 100))
    assert Surroundings.from_header(large.to_header()) == large
    with pytest.raises(ConfigError, match=r"at most 8192 can be sent; shorten PATH, which has 9001 characters"):
        Surroundings("/v/bin/python", "/" + "x" * 9000).to_header()
    with pytest.raises(ValueError, match="Surroundings: expected at most 8192 bytes, got 9000"):
        Surroundings.from_header("A" * 12000)


def test_a_hook_gets_what_the_caller_named(stub: Stub) -> None:
    seen = []

    class Looks:
        @hookimpl
        def before_attempt(self, ctx: AttemptContext) -> None:
            seen.append((ctx.call.surroundings, HEADER in ctx.request.headers))

    for _ in range(2):
        stub.answer({"ResourceId": "job-7"}, 201)
    client = stub.client(plugins=(Looks(),))
    client.create_job(describe_find(), surroundings=ALL)
    client.create_job(describe_find())
    assert seen == [(ALL, False), (None, False)], "a cloud region is sent none"


def test_asking_for_those_of_a_job(stub: Stub) -> None:
    client = Client("http://batch.example", "id", "secret", plugins=[stub])
    stub.answer(ALL.to_wire())
    stub.answer({})
    found = [client.get_surroundings("job-1") for _ in range(2)]
    assert found == [ALL, None]
    assert {request.target for request in stub.requests} == {"/-/jobs/job-1/surroundings"}
    stub.answer({"Code": "ResourceNotFound", "Message": "no"}, 404)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        client.get_surroundings("job-1")
    stub.answer({"Path": 5})
    with pytest.raises(DecodeError, match=r"Surroundings\.Path: expected text, got 5"):
        client.get_surroundings("job-1")
    stub.answer({"Code": "InvalidUrlPattern", "Message": "no"}, 400)
    assert client.get_surroundings("job-1") is None


def test_a_cloud_region_is_not_asked_for_them(stub: Stub) -> None:
    assert stub.client().get_surroundings("job-1") is None
    assert stub.requests == []


def test_a_cassette_has_no_paths_of_the_submitter() -> None:
    body = json.dumps(ALL.to_wire()).encode()
    exchange = Exchange("GET", "/-/jobs/job-1/surroundings", Response(200, {}, body), b"", {HEADER: ALL.to_header()})
    (cleaned,) = Scrubber().clean([exchange])
    assert isinstance(cleaned.answer, Response)
    assert cleaned.headers == {}
    found = Surroundings.from_wire(json.loads(cleaned.answer.body))
    assert (found.interpreter, found.path) == ("/<scrubbed:Interpreter>", "/<scrubbed:Path>")
