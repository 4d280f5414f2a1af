"""`job list`, `show`, `describe`, `wait`, `stop`, `start`, `delete` and `priority`; which job is meant."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import batchcompute
from batchcompute import Client
from batchcompute.cli import newest
from batchcompute.cli.failures import Refused
from batchcompute.cli.finding import find_jobs
from batchcompute.values.responses import Job, ListResponse
from tests.support.command_line import Run


@pytest.fixture
def data_dir(shared_data_dir: Path) -> Path:
    """These tests share a service."""
    return shared_data_dir


class Fake(Client):
    """A Client with jobs of these ids, the first one created first; `names` are theirs, by id, `times` their CreateTime."""

    def __init__(
        self,
        *ids: str,
        names: Mapping[str, str] = {},
        times: Sequence[int] = (),
        endpoint: str = "cn-qingdao",
        key: str = "key",
    ) -> None:
        super().__init__(endpoint, key, "secret")
        self.jobs = [
            Job({"JobId": one, "CreateTime": created, "JobName": names.get(one.removeprefix("job-"), "")})
            for one, created in zip(ids, times or range(len(ids)), strict=True)
        ]

    def list_jobs(self, *, timeout: float | None = None) -> ListResponse[Job]:
        return ListResponse(Job, self.jobs)


def find(fake: Fake, *texts: str) -> list[str]:
    return find_jobs(fake, texts)


A, B, C = "job-00AA11", "job-00AB22", "job-00BB11"


def test_which_job_is_meant() -> None:
    fake = Fake(A, B, C)
    assert find(fake, "last") == [C]
    assert find(fake, A) == [A]
    assert find(fake, "job-00aa", "00AB", "22", "bb11") == [A, B, C]
    assert find(fake, "last", C, "00BB") == [C], "each once"
    whole = "job-" + "F" * 32
    assert find(fake, whole) == [whole], "a whole id is left to the service"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("11", r"names 2 jobs; use more of the id of one:\n  job-00BB11 .*\n  job-00AA11 "),
        ("zz", "there is no job 'zz'"),
        ("job-", "there is no job"),
    ],
)
def test_which_job_is_not_clear(text: str, expected: str) -> None:
    with pytest.raises(Refused, match=expected):
        find(Fake(A, B, C), text)
    with pytest.raises(Refused, match="there is no job, so"):
        find(Fake(), "last")


def test_a_job_by_its_name() -> None:
    fake = Fake(A, B, C, names={"00AA11": "nightly", "00AB22": "render", "00BB11": "nightly"})
    assert find(fake, "render") == [B]
    with pytest.raises(
        Refused, match=r"'nightly' names 2 jobs; use more of the id of one:\n  job-00BB11  nightly .*\n  job-00AA1"
    ):
        find(fake, "nightly")
    with pytest.raises(Refused, match="did you mean 'render'"):
        find(fake, "rendr")
    with pytest.raises(Refused, match="names 2 jobs"):
        find(Fake(A, B, names={"00AA11": "22"}), "22")


def test_last_never_goes_back_to_an_older_job() -> None:
    assert find(Fake(A, B), "last") == [B]
    with pytest.raises(Refused, match=f"`last` was {B}, which is not there any more, and it does not go back to an"):
        find(Fake(A), "last")
    assert find(Fake(A, "job-gone", C), "last") == [C]


def test_last_of_another_account_or_endpoint_is_another_one() -> None:
    assert find(Fake(A, B), "last") == [B]
    assert find(Fake(A, endpoint="cn-shenzhen"), "last") == [A]
    assert find(Fake(A, key="other"), "last") == [A]
    with pytest.raises(Refused, match=f"`last` was {B}"):
        find(Fake(A, endpoint="batchcompute.cn-qingdao.aliyuncs.com"), "last")  # another spelling of the region


def test_last_of_jobs_of_one_second() -> None:
    """CreateTime has whole seconds, and ids need not have an order."""
    assert find(Fake(A, C, times=[7, 7]), "last") == [C]
    with pytest.raises(Refused, match=f"`last` was {C}"):
        find(Fake(A, times=[7]), "last")  # it was there before
    assert find(Fake(A, B, times=[7, 7]), "last") == [B], "a new job, though its id is smaller"
    with pytest.raises(Refused, match=f"`last` was {B}"):
        find(Fake(A, times=[7]), "last")


def test_terminals_do_not_overwrite_what_the_others_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """One terminal writes between the reading and the writing of another one."""
    load = newest._load
    monkeypatch.setattr(newest, "_session", lambda: "one")

    def load_slowly(path: str) -> Any:
        monkeypatch.setattr(newest, "_load", load)
        found = load(path)
        with monkeypatch.context() as other:
            other.setattr(newest, "_session", lambda: "two")
            assert find(Fake(A, B), "last") == [B]
        return found

    monkeypatch.setattr(newest, "_load", load_slowly)
    assert find(Fake(A, B), "last") == [B]
    for session in ("one", "two"):
        monkeypatch.setattr(newest, "_session", lambda session=session: session)
        with pytest.raises(Refused, match=f"`last` was {B}"):
            find(Fake(A), "last")


def test_few_terminals_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        monkeypatch.setattr(newest, "_session", lambda number=number: str(number))
        find(Fake(A), "last")
    assert len(list((Path.home() / ".cache/batchcompute/last").iterdir())) == 50


def test_deleting_last_twice_deletes_one_job(bc: Run, submit: Callable[..., str], client: Client) -> None:
    first = submit(A="pass")
    submit(A="pass")
    assert bc("job", "delete", "last", "--yes").code == 0
    done = bc("job", "delete", "last", "--yes")
    assert (done.code, "does not go back to an older job" in done.err) == (2, True)
    assert [job.JobId for job in client.list_jobs()] == [first]
    newest = submit(A="pass")
    assert bc("job", "delete", "last", "--yes").out == f"{newest} deleted\n"


def test_words_of_other_programs(bc: Run, submit: Callable[..., str], client: Client, hold: Path) -> None:
    job = submit(A="pass")
    assert bc("job", "ls", "-o", "json").json == bc("job", "list", "--json").json
    assert bc("job", "get", "test").out.startswith(f"test  {job}  Finished\n")
    assert bc("image", "ls").out.startswith("IMAGE")
    assert bc("version").out == bc("--version").out.replace(", version", "")
    assert bc("version", "--json").json == {"version": batchcompute.__version__}
    held = bc("job", "create", hold, "--name", "held").out.strip()
    assert client.get_job(held).JobName == "held"
    assert bc("job", "cancel", "held").out == f"{held} stopped\n"
    assert bc("job", "rm", "held", "test", "-y").out == f"{held} deleted\n{job} deleted\n"
    assert "Other names:\n  ls for list; get, view for show; cancel, kill for stop;" in bc("job", "--help").out
    assert bc("job", "liist").err.startswith("Error: there is no command 'liist'; did you mean 'list'?")


def test_submit_and_show_wait(bc: Run, client: Client, hold: Path) -> None:
    client.objects.put("oss://mine/gate", b"")
    job = bc("job", "submit", hold).out.strip()
    done = bc("job", "show", job, "-w")
    assert (done.code, done.out.partition("\n")[0]) == (0, f"test  {job}  Finished")
    assert "Finished  2 of 2 finished" in done.err
    assert "is Finished, after" in bc("job", "submit", hold, "-w").err


def test_list_by_name_and_age(bc: Run, describe: Callable[..., dict[str, Any]], client: Client) -> None:
    for name in ("render-1", "render-2", "other", "scan[12]"):
        client.wait(client.create_job(describe(A="pass") | {"JobName": name}), timeout=60)

    def names(*words: str) -> list[str]:
        return sorted(job["name"] for job in bc("job", "list", "--json", *words).json)

    assert names("--name", "render-*") == ["render-1", "render-2"]
    assert names("--name", "render") == []
    assert names("--name", "OTHER") == []
    assert names("--since", "1h", "--name", "other") == ["other"]
    assert names("--name", "scan[12]") == names("--name", "sc?n[*]") == ["scan[12]"]
    assert names("--name", "render-[12]") == [], "no set of characters"
    assert names("--until", "1h") == []
    assert names("--since", "2999-01-01") == []
    assert names("--until", "2999-01-01", "--state", "finished,failed") == ["other", "render-1", "render-2", "scan[12]"]
    assert bc("job", "list", "--name", "x").err == "No job matches. `batchcompute job list` shows all.\n"
    done = bc("job", "list", "--state", "Finished,Runing")
    assert (done.code, "'Runing' is not one of" in done.err) == (2, True)


def test_list(bc: Run, submit: Callable[..., str], data_dir: Path) -> None:
    done = bc("job", "list")
    assert (done.code, done.out, done.err) == (0, "", "There are no jobs. `batchcompute demo` runs one.\n")
    first, second = submit(A="pass"), submit(A="raise SystemExit(1)")
    jobs = bc("job", "list", "--format", "json").json
    assert [job["job_id"] for job in jobs] == sorted([first, second], reverse=True)
    assert {job["job_id"]: (job["state"], job["instances_total"]) for job in jobs} == {
        first: ("Finished", 2),
        second: ("Failed", 2),
    }
    assert [job["job_id"] for job in bc("job", "list", "--state", "failed", "--format", "json").json] == [second]
    assert bc("job", "list", "--state", "Stopped").err == "No job matches. `batchcompute job list` shows all.\n"
    done = bc("job", "list", "--limit", "1")
    assert done.out.splitlines()[0].split() == ["JOB", "NAME", "STATE", "PRIORITY", "TASKS", "INSTANCES", "AGE", "TIME"]
    assert len(done.out.splitlines()) == 2
    assert done.err == "1 of 2 jobs are shown; --limit 0 shows all.\n"
    assert len(bc("job", "list", "--limit", "0").out.splitlines()) == 3


def test_show(bc: Run, submit: Callable[..., str]) -> None:
    job = submit({"A": ["B", "D"], "B": ["C"], "C": ["D"]}, A="pass", B="pass", C="raise SystemExit(1)", D="pass")
    done = bc("job", "show", "last")
    assert done.out.startswith(f"test  {job}  Failed\n")
    drawn = [line[:3].rstrip() for line in done.out.splitlines()[3:10]]
    assert drawn == ["●", "├─╮", "● │", "│ │", "✗ │", "╰─┤", "  ○"]
    assert "2 of 2 finished" in done.out
    assert f"Why C failed: batchcompute job logs {job} C " in done.out
    shown = bc("job", "show", job, "--format", "json").json
    tasks = {task["task"]: task for task in shown["tasks"]}
    assert list(tasks) == ["A", "B", "C", "D"]
    assert tasks["D"]["after"] == ["A", "C"]
    assert tasks["C"]["failed"]
    assert tasks["C"]["instances_failed"] == len(tasks["C"]["failed"])
    assert (
        bc("job", "show", "last", "--format", "mermaid")
        .out.partition("---\n")[2]
        .partition("---\n")[2]
        .startswith("flowchart TD\n")
    )
    assert bc("job", "show", "last", "--format", "dot").out.startswith('digraph "test" {\n')
    assert bc("job", "list", "--format", "dot").code == 2


def test_all_failed_instances_are_named(bc: Run, client: Client, describe: Callable[..., dict[str, Any]]) -> None:
    description = describe({}, A="raise SystemExit(1)", B="raise SystemExit(1)") | {"JobFailOnInstanceFail": False}
    job = client.create_job(description).JobId
    named = "Failed: task A, instances 0, 1; task B, instances 0, 1\n"
    done = bc("job", "wait", job)
    assert (done.code, named in done.err) == (3, True)
    assert f"\n{named}Why A failed: batchcompute job logs {job} A 0 --stderr\n" in bc("job", "show", job).out


def test_describe_can_be_submitted_again(bc: Run, submit: Callable[..., str], typed: Callable[[bytes], None]) -> None:
    submit(A="pass")
    described = bc("job", "describe", "last")
    assert "RequestId" not in described.out
    typed(described.out.encode())
    assert bc("job", "submit", "-", "--wait").code == 0
    assert bc("job", "describe", "last").json == described.json


def test_wait(bc: Run, submit: Callable[..., str], client: Client, hold: Path) -> None:
    submit(A="pass")
    done = bc("job", "wait", "last")
    assert done.code == 0
    assert "is Finished, after" in done.err
    submit(B="raise SystemExit(1)")
    assert bc("job", "wait", "last").code == 3
    done = bc("job", "wait", "last", "--format", "json")
    assert (done.code, done.json["state"]) == (3, "Failed")
    assert bc("job", "submit", hold).code == 0
    done = bc("job", "wait", "last", "--timeout", "0.1")
    assert done.code == 5
    assert "it goes on" in done.err
    assert bc("job", "stop", "last").code == 0
    assert bc("job", "wait", "last").code == 4


def test_stop_start_priority_delete(bc: Run, client: Client, hold: Path) -> None:
    one, two = bc("job", "submit", hold).out.strip(), bc("job", "submit", hold).out.strip()
    done = bc("job", "stop", one, two)
    assert (done.code, done.out) == (0, f"{one} stopped\n{two} stopped\n")
    done = bc("job", "stop", one)
    assert done.code == 7
    assert "stop is for Waiting and Running jobs" in done.err
    assert bc("job", "priority", one, two, "7").out == f"{one} changed\n{two} changed\n"
    assert client.get_job(two).Priority == 7
    done = bc("job", "priority", one, "7000")
    assert done.code == 2
    assert "[0, 1000]" in done.err
    client.objects.put("oss://mine/gate", b"")
    assert bc("job", "start", one).code == 0
    assert bc("job", "wait", one).code == 0
    absent = "job-" + "0" * 32
    done = bc("job", "delete", absent, one, "--yes", "--format", "json")
    assert done.code == 7, "one could not be done"
    assert [(row["job_id"], row["action"], bool(row["error"])) for row in done.json] == [
        (absent, "deleted", True),
        (one, "deleted", False),
    ]
    assert bc("job", "delete", absent, two, "-y").out == f"{two} deleted\n", "the others are done nevertheless"
    assert list(client.list_jobs()) == []


def test_delete_asks(bc: Run, submit: Callable[..., str], client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(A="pass")
    done = bc("job", "delete", job)
    assert done.code == 2
    assert "use --yes" in done.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    answers = iter(["n\n", "y\n"])
    asked = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(answers)

    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    done = bc("job", "delete", job)
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("Nothing was done.\n")
    assert bc("job", "delete", job).code == 0
    assert list(client.list_jobs()) == []
