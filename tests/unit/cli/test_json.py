"""Every `--format json` prints what batchcompute/cli/schemas.json says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from batchcompute import Client
from batchcompute.cli import cli, reference
from tests.support.command_line import run_for_bytes

SCHEMAS = reference.schemas()
_WITHOUT = {"oss cat", "serve"}  # these print bytes, or nothing


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints; an error as well."""
    ended, out, err = run_for_bytes("--format", "json", *arguments)
    assert ended == code, err.decode()
    assert out.isascii()
    return (out if code != 2 else err).decode()


def check(value: object, name: str) -> None:
    schema = SCHEMAS["commands"].get(name) or SCHEMAS["$defs"][name]
    whole = {"$schema": SCHEMAS["$schema"], "$defs": SCHEMAS["$defs"], **schema}
    jsonschema.Draft202012Validator(whole).validate(value)


def checked(name: str, *arguments: str, code: int = 0) -> Any:
    """What the command prints, after a check."""
    value = json.loads(run(*name.split(), *arguments, code=code))
    check(value, name)
    return value


def leaves(command: click.Command, ctx: click.Context, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for verb in command.list_commands(ctx):
            below = command.get_command(ctx, verb)
            assert below is not None
            yield from leaves(below, ctx, f"{path} {verb}")
    else:
        yield path.strip(), command


def test_every_command_has_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(
        {"$defs": SCHEMAS["$defs"], "anyOf": list(SCHEMAS["commands"].values())}
    )
    with_format = {
        name
        for name, command in leaves(cli, click.Context(cli))
        if any("--format" in param.opts for param in command.params)
    }
    ours = {name for name in with_format if not name.startswith("dask ")}  # of a package with tests of its own
    assert ours - _WITHOUT == set(SCHEMAS["commands"])


@pytest.mark.parametrize("name", SCHEMAS["$defs"])
def test_everything_is_reported(name: str) -> None:
    schema = SCHEMAS["$defs"][name]
    assert schema["description"]
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["additionalProperties"] is False


def test_jobs(client: Client, describe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(describe({"First": ["Second"]}, Second="print(2)", First="print(1)")))
    assert checked("job list") == []
    planned = checked("job submit", str(file), "--dry-run")
    assert [task["task"] for task in planned["tasks"]] == ["First", "Second"]
    ended = checked("job submit", str(file), "--wait")
    assert (ended["state"], ended["instances_finished"]) == ("Finished", 4)
    job = checked("job submit", str(file))["job_id"]
    assert checked("job wait", job)["job_id"] == job
    assert [one["job_id"] for one in checked("job list")] == [job, ended["job_id"]]
    tasks = checked("job show", job)["tasks"]
    assert [(task["task"], task["after"]) for task in tasks] == [("First", []), ("Second", ["First"])]
    assert checked("job describe", job)["JobName"] == "test"
    lines = [json.loads(line) for line in run("job", "logs", job).splitlines()]
    for line in lines:
        check(line, "job logs")
    assert [(line["task"], line["instance"], line["line"]) for line in lines] == [
        ("First", 0, "1"),
        ("First", 1, "1"),
        ("Second", 0, "2"),
        ("Second", 1, "2"),
    ]
    refused = json.loads(run("job", "stop", job, code=7))
    check(refused, "job stop")
    assert "Finished" in refused[0]["error"]
    assert checked("job delete", job, "--yes") == [{"job_id": job, "action": "deleted", "error": None}]


def test_changes_of_jobs(client: Client, hold: Path) -> None:
    job = client.create_job(hold.read_text()).JobId
    assert checked("job stop", job)[0]["action"] == "stopped"
    assert checked("job priority", job, "7")[0]["action"] == "changed"
    client.objects.put("oss://mine/gate", b"open")
    assert checked("job start", job)[0]["action"] == "started"
    assert checked("job wait", job)["priority"] == 7


def test_run(data_dir: Path, tmp_path: Path) -> None:
    program = tmp_path / "say.py"
    program.write_text("print('hello')")
    assert checked("job run", "--wait", "--pack", str(tmp_path), "--", "python", "say.py")["state"] == "Finished"


def test_objects(own_data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_bytes(b"12345")
    assert checked("oss cp", str(file), "oss://mine/one")[0]["size"] == 5
    assert checked("oss ls", "oss://mine/") == [{"uri": "oss://mine/one", "size": 5}]
    assert checked("oss ls") == [{"uri": "oss://mine/", "size": None}]
    assert checked("oss hash", "oss://mine/one") == [{"uri": "oss://mine/one", "crc64": "6748440630437108969"}]
    assert checked("oss rm", "oss://mine/one", "--yes") == [{"uri": "oss://mine/one"}]


def test_settings_and_plugins(data_dir: Path) -> None:
    assert checked("config show")
    assert Path(checked("config init")["path"]).is_file()
    assert {plugin["name"] for plugin in checked("plugin list")["plugins"]} > {"signing", "retry"}
    assert checked("completion", "bash")["shell"] == "bash"
    assert checked("image list")[0]["image_id"] == "img-local"


def test_service(own_data_dir: Path) -> None:
    assert checked("local status")["running"] is False
    found = checked("doctor")["findings"]
    assert {"daemon", "storage", "interpreter", "clock"} <= {finding["name"] for finding in found}
    assert checked("local status")["version"]
    assert set(checked("local credentials")) == {"access_key_id", "access_key_secret"}
    checked("local account add", "ann")
    assert [account["name"] for account in checked("local account list")] == ["local", "ann"]
    for verb, action in (("disable", "disabled"), ("enable", "enabled"), ("remove", "removed")):
        assert checked(f"local account {verb}", "ann") == {"name": "ann", "action": action}
    assert checked("local logs", "--tail", "2")["lines"]
    assert [checked("local stop")["stopped"] for _ in range(2)] == [True, False]
    assert checked("local restore", "--dry-run")["copies"]
    assert checked("local reset", "--yes")["removed"]
    assert checked("version")["version"]


def test_demo(data_dir: Path) -> None:
    assert checked("demo")["primes"] == 1229


def test_errors(data_dir: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps({"JobName": "x", "Priority": 5000, "TaskDag": {"TaskDescMap": {"A": {}}}}))
    error = json.loads(run("job", "submit", str(broken), code=2))
    check(error, "error")
    assert "Priority" in error["fields"]
    assert error["exit_code"] == 2


def test_the_format_may_stand_last(data_dir: Path) -> None:
    command = [sys.executable, "-c", "from batchcompute.cli import main; main()", "local", "status", "--format", "json"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    check(json.loads(done.stdout), "local status")
