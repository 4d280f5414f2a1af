"""Which regions have objects, where, and their logs; and the command line from another HOME."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batchcompute_oss.store import OssStore

from batchcompute import Client, ConfigError, Region, pack
from batchcompute.config import Config
from batchcompute.hooks import hookimpl

_MAIN = "from batchcompute.cli import main; main()"


def endpoint_of(client: Client) -> str:
    store = client.objects
    assert isinstance(store, OssStore)
    return store.endpoint


def test_a_region_of_the_cloud_has_its_own_oss() -> None:
    assert endpoint_of(Client("cn-qingdao", "k", "s")) == "https://oss-cn-qingdao.aliyuncs.com"
    by_domain = Client("batchcompute.cn-beijing.aliyuncs.com", "k", "s")
    assert endpoint_of(by_domain) == "https://oss-cn-beijing.aliyuncs.com"


def test_the_configuration_wins() -> None:
    config = Config(sections={"oss": {"endpoint": "http://127.0.0.1:1"}})
    assert endpoint_of(Client("cn-qingdao", "k", "s", config=config)) == "http://127.0.0.1:1"


def test_a_region_of_a_plugin_names_its_oss_or_has_none() -> None:
    class Regions:
        @hookimpl
        def register_regions(self, ctx: Any) -> Any:
            return [Region("lab", "lab.example", oss_endpoint="http://oss.lab.example"), Region("bare", "bare.example")]

    with Client("lab", "k", "s", plugins=[Regions()]) as lab:
        assert endpoint_of(lab) == "http://oss.lab.example"
    with pytest.raises(ConfigError, match="no plugin offers an object store for region bare"):
        _ = Client("bare", "k", "s", plugins=[Regions()]).objects


def test_a_serve_is_asked_once_and_answers_with_the_port_of_its_endpoint(client: Client, served: Any) -> None:
    asked = []

    class Watch:
        @hookimpl
        def before_attempt(self, ctx: Any) -> None:
            asked.append(ctx.request.target)

    with Client(served.url, served.key, served.secret, plugins=[Watch()]) as watched:
        port = json.loads((served.folder / "objects.json").read_text())["loopback"]
        assert endpoint_of(watched) == endpoint_of(watched) == f"http://127.0.0.1:{port}"
        assert watched.objects is watched.objects, "the connections are kept"
    assert asked == ["/-/region"]


def test_region_local_keeps_its_folder() -> None:
    assert not isinstance(Client("local").objects, OssStore)


def test_a_script_packs_runs_and_reads_logs(client: Client, tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker/main.py").write_text("import sys; print('from there'); sys.stderr.write('wrong')\n")
    client.objects.put("oss://scripts/worker.tar.gz", pack(tmp_path / "worker"))
    logs = {"StdoutRedirectPath": "oss://scripts/logs/", "StderrRedirectPath": "oss://scripts/logs"}
    both = {"PackageUri": "oss://scripts/worker.tar.gz", "ProgramName": "main.py", "ProgramType": "python"}
    tasks = {"Logged": {**both, **logs}, "Silent": both}
    job = client.create_job({"JobName": "j", "Priority": 1, "TaskDag": {"TaskDescMap": tasks}})
    client.wait(job, timeout=60, check=True)
    assert client.read_log(job, "Logged", stream="stdout") == b"from there\n"
    assert (client.read_log(job, "Logged") or b"").startswith(b"wrong")
    assert client.read_log(job, "Silent") == b"wrong", "the service has it"
    with pytest.raises(LookupError, match="no log of attempt 7"):
        client.read_log(job, "Logged", attempt=7)


def run(served: Any, *arguments: str, given: str = "") -> str:
    """What the command line prints, for a user with the key of the service and nothing else of it."""
    key = {"BATCHCOMPUTE_ACCESS_KEY_ID": served.key, "BATCHCOMPUTE_ACCESS_KEY_SECRET": served.secret}
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *arguments],
        env={**os.environ, **key, "BATCHCOMPUTE_ENDPOINT": served.url},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_runs_from_another_home(served: Any) -> None:
    out = run(served, "demo", "--endpoint", served.url, "--format", "json")
    assert json.loads(out)["primes"] == 1229
    assert not Path(os.environ["BATCHCOMPUTE_DATA_DIR"]).exists(), "nothing was started here"


def test_oss_commands_from_another_home(served: Any, tmp_path: Path) -> None:
    (tmp_path / "results/in").mkdir(parents=True)
    (tmp_path / "results/in/one").write_text("1")
    run(served, "oss", "cp", "-", "oss://commands/hello", given="hello")
    run(served, "oss", "cp", "-r", str(tmp_path / "results"), "oss://commands/results/")
    assert run(served, "oss", "cat", "oss://commands/hello") == "hello"
    listed = json.loads(run(served, "oss", "ls", "oss://commands/", "--json"))
    assert [one["uri"] for one in listed] == ["oss://commands/hello", "oss://commands/results/in/one"]
    assert "oss://commands/" in run(served, "oss", "ls")
    (served.folder / "oss/commands/written").write_text("hello")  # as a program does
    summed = json.loads(run(served, "oss", "hash", "oss://commands/hello", "oss://commands/written", "--json"))
    assert [one["crc64"] for one in summed] == ["11177612005948864433"] * 2
    (served.folder / "oss/commands/written").unlink()
    run(served, "oss", "rm", "-r", "oss://commands/results/", "--yes")
    assert len(json.loads(run(served, "oss", "ls", "oss://commands/", "--json"))) == 1


def test_a_job_with_a_package_is_submitted_from_another_home(served: Any, tmp_path: Path) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker/main.py").write_text("print('works there')\n")
    (tmp_path / "job.toml").write_text(
        "JobName = 'x'\nPriority = 1\n[TaskDag.TaskDescMap.Find]\nProgramName = 'main.py'\nProgramType = 'python'\n"
        "StdoutRedirectPath = 'oss://submitted/logs/'\n"
    )
    words = ("job", "submit", str(tmp_path / "job.toml"), "--pack", str(tmp_path / "worker"))
    job = json.loads(run(served, *words, "--wait", "--json"))["job_id"]
    assert "works there" in run(served, "job", "logs", job, "Find")


def test_the_library_is_imported_at_the_first_operation() -> None:
    script = (
        "import sys; from batchcompute import Client; client = Client('cn-qingdao', 'k', 's'); print(client.objects);"
        "print('alibabacloud_oss_v2' in sys.modules or 'requests' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split()[-1] == "False"
    assert "OssStore" in done.stdout
