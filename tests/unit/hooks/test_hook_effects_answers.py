"""What each hook really changes, seen through a Client: the check before, and what the caller gets (see test_hook_effects)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import BinaryIO

import click
import pytest
from click.testing import CliRunner

from batchcompute import ConfigError, Problem, ValidationError, cli as cli_module
from batchcompute.cli import cli
from batchcompute.client import Client
from batchcompute.hooks import (
    CallContext,
    LogContext,
    RegistrationContext,
    ResponseContext,
    TimestampContext,
    ValidationContext,
    hookimpl,
    loading,
)
from batchcompute.values.validation import check_job
from tests.support.descriptions import describe_find
from tests.support.stub import Stub, response


@pytest.fixture
def fresh_commands() -> Iterator[None]:
    """They are looked for once per process; here once per test."""
    cli_module._of_plugins.cache_clear()
    yield
    cli_module._of_plugins.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, plugin: object) -> None:
    """Make it an installed plugin."""
    point = SimpleNamespace(load=lambda: plugin)
    monkeypatch.setattr(loading, "installed_plugins", lambda: (("dist:lab", point),))


def test_register_commands_adds_to_the_command_line(monkeypatch: pytest.MonkeyPatch, fresh_commands: None) -> None:
    asked: list[object] = []

    @click.command("lab-where")
    @click.argument("floor")
    def where(floor: str) -> None:
        """Show where the lab is."""
        click.echo(f"floor {floor}")

    @click.command("demo")
    def impostor() -> None:
        """Show something else."""

    class Lab:
        @hookimpl
        def register_commands(self, ctx: RegistrationContext) -> Iterable[click.Command]:
            asked.append(ctx.config)
            return (where, impostor)

    install(monkeypatch, Lab())
    assert "Count the primes" in CliRunner().invoke(cli, ["demo", "--help"]).output, "a built-in name cannot be taken"
    assert asked == [], "a built-in command needs no plugins"
    done = CliRunner().invoke(cli, ["lab-where", "3"])
    assert (done.exit_code, done.output) == (0, "floor 3\n")
    assert "Show where the lab is." in CliRunner().invoke(cli, ["--help"]).output
    assert len(asked) == 1


def test_a_wrong_setting_leaves_help_useful(monkeypatch: pytest.MonkeyPatch, fresh_commands: None) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "many")
    done = CliRunner().invoke(cli, ["--help"])
    assert done.exit_code == 0
    assert "Count the primes" in done.stdout
    assert "BATCHCOMPUTE_RETRY_ATTEMPTS" in done.stderr


def test_validate_description_takes_the_place_of_the_built_in_check(stub: Stub) -> None:
    class HouseRules:
        @hookimpl
        def validate_description(self, ctx: ValidationContext) -> list[Problem]:
            problems = check_job(ctx.description, ctx.region.ranges)
            if not ctx.description.JobName.startswith("blue-"):
                problems.append(Problem("JobName", ctx.description.JobName, "has no team", "blue-...", "harness rules"))
            return problems

    class Anything:
        @hookimpl
        def validate_description(self, ctx: ValidationContext) -> list[Problem]:
            return []

    class Declines:
        @hookimpl
        def validate_description(self, ctx: ValidationContext) -> None:
            return None

    wrong = describe_find() | {"Priority": -1}
    with pytest.raises(ValidationError) as caught:
        stub.client(plugins=(HouseRules(),)).create_job(wrong)
    assert [problem.path for problem in caught.value.problems] == ["Priority", "JobName"]
    with pytest.raises(ValidationError) as caught:
        stub.client(plugins=(Declines(),)).create_job(wrong)
    assert [problem.path for problem in caught.value.problems] == ["Priority"]
    stub.answer({"ResourceId": "job-1"}, 201)
    assert stub.client(plugins=(Anything(),)).create_job(wrong).JobId == "job-1"  # an empty list is an answer
    assert len(stub.requests) == 1


def test_decode_response_makes_what_the_call_returns_and_none_declines(stub: Stub) -> None:
    class Plain:
        @hookimpl
        def decode_response(self, ctx: ResponseContext) -> object | None:
            return sorted(json.loads(ctx.response.body)) if ctx.call.operation.name == "list_jobs" else None

    stub.always = response({"job-2": {"State": "Running"}, "job-1": {"State": "Failed"}})
    client = stub.client(plugins=(Plain(),))
    assert client.list_jobs() == ["job-1", "job-2"]
    assert [image.ImageId for image in client.list_images()] == ["job-1", "job-2"]


def test_humanize_timestamp_shows_times_its_own_way_and_none_declines(stub: Stub) -> None:
    class Era:
        @hookimpl
        def humanize_timestamp(self, ctx: TimestampContext) -> str | None:
            return "long ago" if ctx.seconds < 1_000_000_000 else None

    job = {"State": "Running", "CreateTime": 900_000_000, "StartTime": 1_435_651_200}
    stub.always = response(job)
    shown = stub.client(True, plugins=(Era(),)).get_job("job-1")
    usual = stub.client(True).get_job("job-1")
    number = stub.client(plugins=(Era(),)).get_job("job-1")
    assert (shown.CreateTime, shown.StartTime) == ("long ago", usual.StartTime)
    assert usual.CreateTime != "long ago"
    assert number.CreateTime == 900_000_000, "only a Client that was asked for readable times asks"


def test_fetch_log_is_what_read_log_reads_and_none_declines(stub: Stub) -> None:
    class Shelf:
        @hookimpl
        def fetch_log(self, ctx: LogContext) -> BinaryIO | None:
            if ctx.stream == "stdout":
                return None
            text = f"{ctx.job_id} {ctx.task_name} {ctx.instance_id} {ctx.redirect_path}"
            return io.BytesIO(text.encode())

    stub.always = response(describe_find(StderrRedirectPath="oss://logs/"))
    client = stub.client(plugins=(Shelf(),))
    assert client.read_log("job-1", "Find", 3) == b"job-1 Find 3 oss://logs/"
    assert client.read_log("job-1", "Find", 3, "stdout") is None


def test_object_store_is_what_the_client_offers_and_none_declines(stub: Stub) -> None:
    class Memory:
        def __init__(self) -> None:
            self.kept: dict[str, bytes] = {}

        @hookimpl
        def object_store(self, ctx: CallContext) -> Memory | None:
            return self if ctx.region.name == "cn-qingdao" else None

        def put(self, uri: str, data: bytes) -> None:
            self.kept[uri] = data

    memory = Memory()
    stub.client(plugins=(memory,)).objects.put("oss://bucket/key", b"data")
    assert memory.kept == {"oss://bucket/key": b"data"}
    with pytest.raises(ConfigError, match="no plugin offers an object store for region cn-shenzhen"):
        _ = Client("cn-shenzhen", "testid", "testsecret", plugins=[memory]).objects
