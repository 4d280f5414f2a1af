"""`job submit` and `job run`: from files and commands to jobs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchcompute import Client, JobDescription
from batchcompute.cli.failures import Refused
from batchcompute.cli.reading import change, read_description
from batchcompute.cli.run import Program, describe, read_command
from tests.support.command_line import Run

JSON = '{"JobName": "作业", "Priority": 5, "TaskDag": {"TaskDescMap": {"A": {"ProgramName": "a.py"}}}}'
YAML = """
# a comment
JobName: 作业
Priority: 5
TaskDag:
  TaskDescMap:
    A: {ProgramName: a.py}
"""
TOML = """
JobName = "作业"
Priority = 5
[TaskDag.TaskDescMap.A]
ProgramName = "a.py"
"""


@pytest.mark.parametrize(
    ("ending", "text"), [("json", JSON), ("toml", TOML), ("yaml", YAML), ("yml", YAML), ("JSON", JSON)]
)
def test_formats(tmp_path: Path, typed: Callable[[bytes], None], ending: str, text: str) -> None:
    path = tmp_path / f"job.{ending}"
    path.write_text(text, encoding="utf-8-sig" if ending == "json" else "utf-8")
    assert read_description(str(path)) == JobDescription(JSON)
    typed(text.encode())
    assert read_description("-") == JobDescription(JSON)
    path = tmp_path / "job"
    path.write_text(text, encoding="utf-8")
    assert read_description(str(path)) == JobDescription(JSON)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.json", b'{"JobName": }', "is not JSON: .*line 1 column 13"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"Priority": "high"}', "a.json: Priority: expected an int"),
        ("a.json", b"[1]", "expected properties such as JobName, got a list"),
        ("a.toml", b"JobName = \n", "is not TOML: .*line 1"),
        ("a.yaml", b"a: [1\nb: 2", "is not YAML: .*line 2"),
        ("a.yaml", b"!!python/object/apply:os.system ['exit 1']", "is not YAML"),
        ("a.yaml", b"just words", "got a str"),
        ("a.json", b"\xff\xfe", "is not UTF-8: byte 0"),
        ("empty", b"", "is not JSON"),
    ],
)
def test_mistakes_in_files(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(Refused, match=expected):
        read_description(str(path))


def test_yaml_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "a.yaml"
    path.write_text(YAML, encoding="utf-8")
    with pytest.raises(Refused, match=r"install it with: .* -m pip install 'pyyaml>=6'"):
        read_description(str(path))


@pytest.mark.parametrize(
    ("assignment", "where", "value"),
    [
        ("Priority=7", ("Priority",), 7),
        ("JobName=7", ("JobName",), "7"),
        ("Find.InstanceCount=8", ("TaskDag", "TaskDescMap", "Find", "InstanceCount"), 8),
        ("TaskDag.TaskDescMap.Find.Timeout=60", ("TaskDag", "TaskDescMap", "Find", "Timeout"), 60),
        ("*.ImageId=img-1", ("TaskDag", "TaskDescMap", "Find.x", "ImageId"), "img-1"),
        ("Find.x.ImageId=img-2", ("TaskDag", "TaskDescMap", "Find.x", "ImageId"), "img-2"),
        ("Find.EnvironmentVariables.A=b=c", ("TaskDag", "TaskDescMap", "Find", "EnvironmentVariables"), {"A": "b=c"}),
        ('Find.EnvironmentVariables={"A": 1}', ("TaskDag", "TaskDescMap", "Find", "EnvironmentVariables"), {"A": "1"}),
        ("Find.ResourceDescription.Cpu=100", ("TaskDag", "TaskDescMap", "Find", "ResourceDescription", "Cpu"), 100),
        ("Find.ProgramArguments=", ("TaskDag", "TaskDescMap", "Find", "ProgramArguments"), None),
        ("JobFailOnInstanceFail=false", ("JobFailOnInstanceFail",), False),
        ("*.MaxRetryCount=3", ("TaskDag", "TaskDescMap", "Find", "MaxRetryCount"), 3),
        ("Find.OssMappingLock=true", ("TaskDag", "TaskDescMap", "Find", "OssMappingLock"), True),
    ],
)
def test_set(assignment: str, where: tuple[str, ...], value: object) -> None:
    tasks = {"Find": {"ProgramName": "a.py", "ProgramArguments": "1"}, "Find.x": {"ProgramName": "b.py"}}
    description = JobDescription({"JobName": "j", "TaskDag": {"TaskDescMap": tasks}})
    change(description, [assignment])
    found: Any = description.detail()
    for name in where:
        found = found.get(name)
    assert found == value


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("Priority", "is not NAME=VALUE"),
        ("=1", "is not NAME=VALUE"),
        ("Priorty=1", "no property 'Priorty'; did you mean 'Priority'"),
        ("Fnd.InstanceCount=1", "no task 'Fnd'; did you mean 'Find'"),
        ("Find.InstanceCnt=1", "did you mean 'InstanceCount'"),
        ("Find.InstanceCount=many", "expected an int or its digits, got 'many'"),
        ("Priority=high", "expected an int"),
        ("Find.MaxRetryCount=often", "expected an int, got str 'often'"),
        ("JobFailOnInstanceFail=no", "expected a bool, got str 'no'"),
        ("Find.ResourceDescription.Cpus=1", "no property 'Cpus'"),
        ("Find.Resources.Cpu=1", "no property 'Resources'"),
    ],
)
def test_set_what_is_not_there(assignment: str, expected: str) -> None:
    description = JobDescription({"JobName": "j", "TaskDag": {"TaskDescMap": {"Find": {"ProgramName": "a.py"}}}})
    with pytest.raises(Refused, match=expected):
        change(description, [assignment])


def test_submit(bc: Run, client: Client, two: Path, worker: Path) -> None:
    done = bc("job", "submit", two, "--pack", worker, "--set", "Find.InstanceCount=2", "--wait")
    assert done.code == 0, done.err
    job = done.out.strip()
    assert "Submitted two: 2 tasks, 3 instances." in done.err
    assert client.get_job(job).State == "Finished"
    assert client.read_log(job, "Count", 0, "stdout") == b"['x'] None\n"
    done = bc("job", "submit", two, "--pack", worker, "--format", "json")
    assert {name: done.json[name] for name in ("name", "tasks_total", "instances_total")} == {
        "name": "two",
        "tasks_total": 2,
        "instances_total": 4,
    }
    assert done.json["job_id"].startswith("job-")
    assert done.json["request_id"]
    assert re.fullmatch(r"Packed the program, \d+ bytes; it is already at oss://\S+\.tar\.gz\.\n", done.err)
    done = bc(
        "job", "submit", two, "--pack", worker, "--set", "Count.ProgramArguments=fail", "--wait", "--format", "json"
    )
    assert (done.code, done.json["state"]) == (3, "Failed")
    assert "bad luck" in done.err


def test_dry_run_sends_nothing(bc: Run, client: Client, two: Path, worker: Path) -> None:
    done = bc("job", "submit", two, "--pack", worker, "--dry-run")
    assert done.code == 0
    assert done.out.partition("\n\n")[0] == "○  Find   3 times python main.py\n│\n○  Count  python main.py x"
    assert done.err == "two: 2 tasks, 4 instances. Nothing was sent.\n"
    shown = bc("job", "submit", two, "--pack", worker, "--dry-run", "--format", "json").json
    assert [(task["task"], task["after"], task["instances_total"]) for task in shown["tasks"]] == [
        ("Find", [], 3),
        ("Count", ["Find"], 1),
    ]
    assert list(client.list_jobs()) == []
    assert list(client.objects.list("oss://batchcompute/")) == []


def test_what_cannot_be_submitted(bc: Run, data_dir: Path, two: Path, worker: Path) -> None:
    done = bc("job", "submit", two, "--format", "json")
    assert done.code == 2
    printed = json.loads(done.err)
    assert printed["fields"] == ["TaskDag.TaskDescMap.Find.PackageUri", "TaskDag.TaskDescMap.Count.PackageUri"]
    assert printed["cure"].startswith("--pack DIR")
    done = bc("job", "submit", two, "--pack", worker, "--set", "Find.ProgramName=mian.py")
    assert done.code == 2
    assert "'mian.py' is not in the folder" in done.err
    assert "did you mean 'main.py'?" in done.err
    done = bc("job", "submit", two, "--pack", worker, "--set", "*.PackageUri=oss://mine/a.tar.gz")
    assert "every task has a PackageUri already" in done.err
    assert bc("job", "submit", two, "--pack", worker / "nowhere").code == 2
    assert bc("job", "submit", "nowhere.json").code == 2
    done = bc("job", "submit", two, "--pack", worker, "--wait-timeout", "5")
    assert done.code == 2
    assert "--wait-timeout is for --wait" in done.err


def test_names_that_do_not_exist_are_refused(bc: Run, data_dir: Path, two: Path, worker: Path) -> None:
    two.write_text("JobTga = 'x'\n" + two.read_text().replace("InstanceCount", "InstanceCuont"))
    for more in ((), ("--dry-run",)):
        done = bc("job", "submit", two, "--pack", worker, *more)
        assert done.code == 2
        assert "JobTga: JobDescription has no such property; did you mean 'JobTag'?" in done.err
        assert (
            "TaskDag.TaskDescMap.Find.InstanceCuont: TaskDescription has no such property; did you mean 'InstanceCount'?"
            in (done.err)
        )
        assert "Warning" not in done.err
    assert not (data_dir / "daemon.lock").exists(), "nothing was sent"


@pytest.mark.filterwarnings("default::batchcompute.ServiceWarning")
def test_an_image_that_does_not_exist_is_named(
    bc: Run, client: Client, two: Path, worker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old descriptions work unchanged, unless the user is strict."""
    words = ("job", "submit", two, "--pack", worker, "--set", "Find.ImageId=img-locla")
    monkeypatch.setenv("BATCHCOMPUTE_STRICT", "true")
    done = bc(*words)
    assert done.code == 2
    assert (
        "Find.ImageId: is not an image of this region, got 'img-locla'; allowed: img-local; did you mean 'img-local'?"
        in done.err
    )
    assert "--set '*.ImageId=ID'" in done.err
    assert len(client.list_jobs()) == 0
    monkeypatch.delenv("BATCHCOMPUTE_STRICT")
    done = bc(*words)
    assert done.code == 0
    assert "Warning: the service warns: " in done.err
    assert "did you mean 'img-local'?" in done.err


def test_the_direction_of_dependencies_is_said(bc: Run, data_dir: Path, two: Path, worker: Path) -> None:
    done = bc("job", "submit", two, "--pack", worker, "--dry-run")
    assert done.out.endswith("\n\nA line leads down from a task to the tasks that start after it.\n")
    two.write_text(two.read_text().partition("[TaskDag.Dependencies]")[0])
    assert "A line" not in bc("job", "submit", two, "--pack", worker, "--dry-run").out


@pytest.mark.parametrize(
    ("words", "program"),
    [
        (["python", "a.py", "--size", "10"], ("python", "a.py", "--size 10")),
        (["/usr/bin/python3.11", "a"], ("python", "a", "")),
        (["a.py", "two words", "$x"], ("python", "a.py", "'two words' '$x'")),
        (["php", "a.php"], ("php", "a.php", "")),
        (["a.php"], ("php", "a.php", "")),
        (["java", "-jar", "a.jar", "x"], ("java", "a.jar", "x")),
        (["java", "Main"], ("java", "Main", "")),
        (["a.jar"], ("java", "a.jar", "")),
        (["gzip", "-9", "big"], ("command", "gzip", "-9 big")),
        (["./tool", ""], ("command", "./tool", "''")),
        (["run.sh", "x"], ("shell", "run.sh", "x")),
        (["sub/RUN.SH"], ("shell", "sub/RUN.SH", "")),
        (["bash", "run.sh", "x"], ("command", "bash", "run.sh x")),
        (["bash", "-c", "echo hi"], ("command", "bash", "-c 'echo hi'")),
        (["python", "-c", "print(1)"], ("command", "python", "-c 'print(1)'")),
        (["/usr/bin/python3", "-m", "x"], ("command", "/usr/bin/python3", "-m x")),
        (["java", "-cp", "x", "Main"], ("command", "java", "-cp x Main")),
    ],
)
def test_commands(words: list[str], program: tuple[str, str, str]) -> None:
    assert read_command(words) == Program(*program)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python"], "needs a program"),
    ],
)
def test_commands_that_no_job_runs(words: list[str], expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        read_command(words)


def test_names_are_made_from_the_program() -> None:
    description = describe(Program("python", "sub/my worker.py", ""), bucket="b", variables=["A=1"], cpu=100)
    assert (description.JobName, description.Priority) == ("my-worker", 100)
    task = description.TaskDag.get_task("my-worker")
    assert task.StdoutRedirectPath == task.StderrRedirectPath == "oss://b/my-worker/logs/"
    assert dict(task.EnvironmentVariables) == {"A": "1"}
    assert (task.ResourceDescription.Cpu, task.ResourceDescription.Memory) == (100, 2000)
    assert "task" in describe(Program("python", "作业.py", ""), bucket="b").TaskDag.TaskDescMap


def test_a_variable_by_its_name_has_the_callers_value(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program("python", "a.py", "")
    monkeypatch.setenv("TOKEN", "1=2")
    monkeypatch.delenv("ABSENT", raising=False)
    task = describe(program, bucket="b", variables=["TOKEN", "OWN=", "TOKENS=TOKEN"]).TaskDag.get_task("a")
    assert dict(task.EnvironmentVariables) == {"TOKEN": "1=2", "OWN": "", "TOKENS": "TOKEN"}
    with pytest.raises(
        Refused, match="--env ABSENT: no variable ABSENT is set here; give it a value with ABSENT=VALUE"
    ):
        describe(program, bucket="b", variables=["ABSENT"])
    with pytest.raises(Refused, match="--env '=1' is neither NAME=VALUE nor NAME"):
        describe(program, bucket="b", variables=["=1"])


def test_run(bc: Run, client: Client, worker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(worker)
    (worker / ".git").mkdir()
    (worker / ".git/secret").write_text("no")
    done = bc(
        "job", "run", "-n", "2", "--pack", ".", "--env", "SIZE=7", "--wait", "--", "python", "main.py", "--size", "10"
    )
    assert done.code == 0, done.err
    assert client.read_log(done.out.strip(), "main", 1, "stdout") == b"['--size', '10'] 7\n"
    objects = [uri for uri, _ in client.objects.list("oss://batchcompute/")]
    assert f"oss://batchcompute/main/logs/stdout.{done.out.strip()}.main.1" in objects
    monkeypatch.chdir(worker.parent)
    for words in (
        ["worker/main.py"],
        ["--pack", "worker", "python", "main.py"],
        ["--pack", "worker", "worker/main.py"],
    ):
        done = bc("job", "run", "--wait", *words)
        assert done.code == 0, done.err
    done = bc("job", "run", "--wait", "worker/main.py", "fail")
    assert done.code == 3
    assert "bad luck" in done.err
    assert "there is no file 'nowhere.py' here" in bc("job", "run", "nowhere.py").err
    assert bc("job", "run", "--pack", ".", "--package", "oss://a/b", "main.py").code == 2
    done = bc("job", "run", "--package", "oss://mine/a.tar.gz", "--dry-run", "-n", "3", "php", "a.php")
    assert done.out == "○  a  3 times php a.php\n"
