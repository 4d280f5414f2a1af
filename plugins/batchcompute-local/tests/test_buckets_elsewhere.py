"""A real service with a bucket elsewhere: what users see, and its jobs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import oss2
import pytest
from batchcompute_local.client import control
from batchcompute_local.client.diagnosis import findings
from batchcompute_local.errors import DaemonError
from batchcompute_local.http.accounts import Book
from batchcompute_local.objects import bucket_credentials
from batchcompute_local.paths import Layout
from batchcompute_local.process.mappings import Mapper
from batchcompute_local.process.sources import Sources
from batchcompute_local.storage import ObjectStore

from batchcompute import Client
from batchcompute.hooks import Finding
from tests.support.descriptions import describe, pack_files
from tests.support.elsewhere import Elsewhere
from tests.support.service import Cloud
from tests.support.waits import wait_for
from tests.support.weed import ID, SECRET, Weed, describe_toml

can_mount = Mapper(Layout.at("/"), Sources(ObjectStore(Path("/")), {}, Path("/"))).can_mount
WAITS = """
import os, time
print("begun", flush=True)
while not os.path.exists(%r):
    time.sleep(0.01)
print("ended")
"""


@pytest.fixture
def there(cloud: Cloud, far: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A service whose bucket `far` is elsewhere."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    cloud.settings(far.toml)
    cloud.up()
    return cloud


def batchcompute(*arguments: str, text: str = "") -> Any:
    words = [sys.executable, "-c", "from batchcompute.cli import main; main()", *arguments, "--format", "json"]
    ended = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def find_bucket(cloud: Cloud) -> list[Finding]:
    return [each for each in findings(Layout.at(cloud.root)) if each.name == "bucket"]


def test_the_client_the_command_line_and_the_endpoint_have_one_bucket(there: Cloud, far: Elsewhere) -> None:
    with Client("local") as client:
        client.objects.put("oss://far/one", b"by the client")
        assert far.read("one") == b"by the client"
        found = control.status(there.root)
        assert found is not None
        key = control.read_credentials(there.root)
        session = oss2.Session()
        bucket = oss2.Bucket(oss2.Auth(*key), found["objects"], "far", session=session)
        assert bucket.get_object("one").read() == b"by the client"
        bucket.put_object("two", b"by oss2")
        session.session.close()
        assert client.objects.open("oss://far/two").read() == b"by oss2"
        assert list(client.objects.list("oss://far/")) == [("oss://far/one", 13), ("oss://far/two", 7)]
    batchcompute("oss", "cp", "-", "oss://far/three", text="by the command line")
    assert far.read("three") == b"by the command line"
    listed = batchcompute("oss", "ls", "oss://far/t")
    assert [(one["uri"], one["size"]) for one in listed] == [("oss://far/three", 19), ("oss://far/two", 7)]
    batchcompute("oss", "rm", "-r", "oss://far/", "--yes")
    assert far.stored() == []


def test_where_a_user_looks(there: Cloud, far: Elsewhere) -> None:
    note = there.root / "oss/far"
    wait_for(note.exists, "the note in the folder of the objects")
    assert f"service.toml says that it is at {far.bucket.place}." in note.read_text()
    assert batchcompute("local", "status")["buckets_elsewhere"] == {"far": far.url}
    assert [(one["name"], one["account"], one["url"]) for one in batchcompute("local", "bucket", "list")] == [
        ("far", "local", far.url)
    ]
    (finding,) = find_bucket(there)
    assert (finding.state, finding.what) == ("ok", f"the bucket far is at {far.url}, not below $BATCHCOMPUTE_OSS_ROOT")
    said = "".join((there.root / name).read_text() for name in ("daemon.log", "oss/far"))
    assert all(secret not in said for name, secret in far.options.items() if name == "secret")


def test_a_bucket_of_another_account_is_refused_before_anything_runs(there: Cloud, far: Elsewhere) -> None:
    ann = Book(Layout.at(there.root)).add("ann")
    visitor = Cloud(there.root)
    visitor.client.credentials = lambda: (ann.access_key_id, ann.access_key_secret)
    tasks = (
        {"PackageUri": "oss://far/worker.tar.gz"},
        {"StdoutRedirectPath": "oss://far/logs/"},
        {"OssMapping": {"oss://far/data/": "/tmp/x"}},
    )
    for task in tasks:
        status, answer = visitor.call("POST", "/jobs", describe({"A": task}))
        assert (status, answer["Code"]) == (400, "InvalidParameter")
        assert "in the bucket 'far' of another account" in answer["Message"]
    visitor.client.close()
    assert far.stored() == []


def test_a_store_that_is_away_is_a_finding(cloud: Cloud, tmp_path: Path) -> None:
    cloud.settings(f'[buckets.far]\nurl = "file://{tmp_path}/not-mounted"\n')
    (finding,) = find_bucket(cloud)
    assert finding.state == "problem"
    assert finding.what.endswith(f"there is no folder {tmp_path}/not-mounted; is it mounted?")
    (cloud.root / "oss/far").mkdir(parents=True)
    assert [(one.state, "is hidden" in one.what) for one in find_bucket(cloud)] == [("problem", False), ("note", True)]


def test_a_missing_library_is_said_before_anything_runs(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.settings('[buckets.far]\nurl = "s3://real"\n')
    hide = "import sys; sys.modules['s3fs'] = None\n"  # what find_spec takes for a library that is not there
    monkeypatch.setattr(control, "command", _begin_with(control.command, hide))
    cloud.up()
    needs = "the bucket far is at s3://real and needs s3fs; install it with: "
    found = control.status(cloud.root)
    assert found is not None
    assert any(trouble.startswith(needs) and "-m pip install" in trouble for trouble in found["troubles"])
    status, answer = cloud.call("POST", "/jobs", describe({"A": {"StdoutRedirectPath": "oss://far/logs/"}}))
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert "TaskDag.TaskDescMap.A.StdoutRedirectPath" in answer["Message"]
    assert needs in answer["Message"]


def _begin_with(command: Any, begin: str) -> Any:
    def run(layout: Layout, *more: Any) -> list[str]:
        words = command(layout, *more)
        place = words.index("-m")
        start = f"{begin}import runpy; runpy.run_module({words[place + 1]!r}, run_name='__main__', alter_sys=True)"
        return [*words[:place], "-c", start, *words[place + 2 :]]

    return run


def test_a_package_elsewhere(there: Cloud, far: Elsewhere) -> None:
    task: dict[str, dict[str, Any]] = {"A": {"PackageUri": "oss://far/programs/worker.tar.gz", "InstanceCount": 3}}
    for text in ("first", "second"):  # each job has the package as it is when it starts
        far.write("programs/worker.tar.gz", pack_files({"main.py": f"print({text!r})"}))
        job = there.create(task)
        assert there.ended(job)["State"] == "Terminated", there.log(job, "A", stream="stderr")
        assert [there.log(job, "A", number) for number in range(3)] == [f"{text}\n"] * 3
    assert not [path for path in (there.root / "packages").iterdir() if path.name.startswith(".")]
    task["A"]["InstanceCount"] = 1
    far.write("programs/worker.tar.gz", b"this is no package")
    job = there.create(task)
    assert there.ended(job)["State"] == "Failed"
    assert "oss://far/programs/worker.tar.gz cannot be unpacked" in there.log(job, "A", stream="stderr")
    far.system.rm_file(f"{far.base}/programs/worker.tar.gz")
    job = there.create(task)
    assert there.ended(job)["State"] == "Failed"
    assert "oss://far/programs/worker.tar.gz cannot be read: No such file" in there.log(job, "A", stream="stderr")


def test_a_package_of_a_store_that_is_away(cloud: Cloud) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed (the dependency group buckets)")
    cloud.settings(
        describe_toml("far", "s3://real", {"endpoint_url": "http://127.0.0.1:9", "key": "k", "secret": "hidden-s"})
    )
    cloud.up()
    cloud.program("print('here')")
    away = cloud.create({"A": {"PackageUri": "oss://far/worker.tar.gz"}})
    here = cloud.create({"A": {}})
    assert cloud.ended(here)["State"] == "Terminated"  # nobody waits for the other
    assert cloud.ended(away)["State"] == "Failed"
    said = cloud.log(away, "A", stream="stderr")
    assert "oss://far/worker.tar.gz cannot be read: the bucket far at s3://real cannot be used: " in said
    assert "hidden-s" not in said + (cloud.root / "daemon.log").read_text()


LOGS = {"StdoutRedirectPath": "oss://far/logs/", "StderrRedirectPath": "oss://far/logs/"}


def read_log(client: Client, job: str, **more: Any) -> str:
    found = client.read_log(job, "A", 0, "stdout", **more)
    assert found is not None
    return found.decode()


def test_logs_are_there_when_the_end_is_reported(there: Cloud, far: Elsewhere) -> None:
    there.program("import sys; print('to stdout', flush=True); print('to stderr', file=sys.stderr)")
    job = there.create({"A": {**LOGS, "InstanceCount": 3}})
    assert there.ended(job)["State"] == "Terminated"
    assert {key: far.read(key) for key in far.stored()} == {
        f"logs/std{stream}.{job}.A.{number}": f"to std{stream}\n".encode()
        for stream in ("out", "err")
        for number in range(3)
    }
    assert unsent(there) == []
    with Client("local") as client:
        assert read_log(client, job) == "to stdout\n"


def test_a_log_can_be_read_while_it_is_written(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    there.program(WAITS % str(tmp_path / "go"))
    job = there.create({"A": LOGS})
    key = f"logs/stdout.{job}.A.0"
    with Client("local") as client:

        def look() -> bool:
            log = client.open_log(job, "A", 0, "stdout")
            return log is not None and log.read() == b"begun\n"

        wait_for(look, "the log of the running program")
        assert client.objects.open(f"oss://far/{key}").read() == b"begun\n"
        assert far.stored() == []
        (tmp_path / "go").touch()
        assert there.ended(job)["State"] == "Terminated"
        assert far.read(key) == b"begun\nended\n"


def test_logs_of_earlier_attempts(there: Cloud, far: Elsewhere) -> None:
    there.settings(far.toml.replace("[buckets", "kept_attempts = 2\nretry_seconds = 0.01\n[buckets", 1))
    control.stop(there.root)
    there.up()
    there.program(
        "import os\nprint(os.environ['BATCHCOMPUTE_LOCAL_ATTEMPT'].rpartition('.')[2], flush=True)\nraise SystemExit(3)"
    )
    job = there.create({"A": {**LOGS, "MaxRetryCount": 3}})
    assert there.ended(job)["State"] == "Failed"
    key = f"logs/stdout.{job}.A.0"
    logs = {each.removeprefix(key): far.read(each) for each in far.stored() if each.startswith(key)}
    assert logs == {"": b"4\n", ".attempt-2": b"2\n", ".attempt-3": b"3\n"}
    with Client("local") as client:
        assert [read_log(client, job, attempt=number) for number in (2, 3, 4)] == ["2\n", "3\n", "4\n"]
        with pytest.raises(LookupError, match="attempts with a log: 2, 3, 4"):
            read_log(client, job, attempt=1)


def test_why_an_instance_never_began_is_in_its_log(there: Cloud, far: Elsewhere) -> None:
    job = there.create({"A": {**LOGS, "PackageUri": "oss://far/absent"}})
    assert there.ended(job)["State"] == "Failed"
    text = far.read(f"logs/stderr.{job}.A.0")
    assert text is not None
    assert b"oss://far/absent cannot be read" in text


def test_a_log_that_cannot_be_sent_is_not_lost(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    folder = tmp_path / "mounted"
    cloud.settings(f'[buckets.far]\nurl = "file://{folder}"\n')
    cloud.up()
    cloud.program("print('precious')")
    job = cloud.create({"A": LOGS})
    assert cloud.ended(job)["State"] == "Terminated"  # what is lost is the way there, not the result
    found = control.status(cloud.root)
    assert found is not None
    (trouble,) = found["troubles"]
    assert f"there is no folder {folder}; is it mounted?; logs for it are in {cloud.root}/unsent/far" in trouble
    assert "2 logs for the bucket far are in" in str(find_bucket(cloud))
    with Client("local") as client:
        assert read_log(client, job) == "precious\n"
    folder.mkdir()
    control.stop(cloud.root)
    cloud.up()  # a new service tries again at once
    sent = folder / f"logs/stdout.{job}.A.0"
    wait_for(lambda: sent.exists() and unsent(cloud) == [], "the logs to be sent")
    assert sent.read_text() == "precious\n"
    found = control.status(cloud.root)
    assert found is not None
    assert found["troubles"] == []
    with Client("local") as client:
        assert read_log(client, job) == "precious\n"


def test_a_service_that_is_killed_sends_the_logs_later(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    there.program(WAITS % str(tmp_path / "go"))
    job = there.create({"A": LOGS})
    local = there.root / f"unsent/far/logs/stdout.{job}.A.0"
    wait_for(lambda: local.exists() and local.read_text(), "the program")
    there.client.close()
    os.kill(there.up(), signal.SIGKILL)
    there.up()
    assert local.read_text() == "begun\n", "a log that is still being written is not sent"
    (tmp_path / "go").touch()
    assert there.ended(job)["State"] == "Terminated"
    key = f"logs/stdout.{job}.A.0"
    wait_for(lambda: far.read(key) == b"begun\nended\n" and unsent(there) == [], "the log to be sent")


SHOWS = """
import os, sys
for folder, _, names in sorted(os.walk("%(target)s")):
    for name in sorted(names):
        path = os.path.join(folder, name)
        print(os.path.relpath(path, "%(target)s"), open(path).read())
print(open("%(file)s").read())
try:
    open("%(target)s/new", "w")
except OSError as error:
    print(error.strerror)
"""


def test_mappings(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    target, file = tmp_path / "mapped", tmp_path / "one.txt"
    there.program(SHOWS % {"target": target, "file": file})
    task = {"OssMapping": {"oss://far/data/": str(target), "oss://far/parts/one": str(file)}, "InstanceCount": 2}
    far.write("data/a", b"1")
    far.write("data/b/c", b"2")
    far.write("database", b"not below")
    far.write("parts/one", b"old")
    shown = []
    for _ in range(2):  # each job sees what is there when it starts
        job = there.create({"A": task})
        assert there.ended(job)["State"] == "Terminated", there.log(job, "A", stream="stderr")
        logs = [there.log(job, "A", number) for number in range(2)]
        assert logs[0] == logs[1]
        shown.append(logs[0].splitlines()[:-1] if can_mount else logs[0].splitlines())
        copies = there.root / "work" / job / ".mapped"
        assert len(list(copies.iterdir())) == 2, "the instances share a copy"
        far.write("data/a", b"changed")
        far.write("parts/one", b"newer")
    assert shown == [["a 1", "b/c 2", "old"], ["a changed", "b/c 2", "newer"]]
    if can_mount:
        assert logs[0].splitlines()[-1] == "Read-only file system"
    assert far.read("data/new") is None


def test_a_task_sees_what_the_one_before_has_written(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    target = tmp_path / "mapped"
    there.program(f"import os\nprint(sorted(os.listdir({str(target)!r})))")
    mapped = {"OssMapping": {"oss://far/out": str(target)}, "StdoutRedirectPath": "oss://far/out/"}
    job = there.create({"A": mapped, "B": mapped}, {"A": ["B"]})
    assert there.ended(job)["State"] == "Terminated"
    assert far.read(f"out/stdout.{job}.A.0") == b"[]\n", "a prefix without objects is an empty folder"
    assert far.read(f"out/stdout.{job}.B.0") == f"['stdout.{job}.A.0']\n".encode()


def test_copies_go_with_a_deleted_job(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    far.write("data/a", b"1")
    there.program("")
    job = there.create({"A": {"OssMapping": {"oss://far/data/": str(tmp_path / "mapped")}}})
    assert there.ended(job)["State"] == "Terminated"
    copies = there.root / "work" / job / ".mapped"
    assert copies.is_dir()
    status, _ = there.call("DELETE", f"/jobs/{job}")
    assert status == 200
    wait_for(lambda: not copies.exists(), "the copies of a deleted job to go")


@pytest.mark.parametrize("far", ["s3"], indirect=True)  # a folder has no object beside a folder of the same name
def test_a_mapping_that_cannot_be(there: Cloud, far: Elsewhere, tmp_path: Path) -> None:
    for key in ("data/a", "data/a/b"):
        far.system.pipe_file(f"{far.base}/{key}", b"x")
    assert far.stored() == ["data/a", "data/a/b"]
    there.program("")
    job = there.create({"A": {"OssMapping": {"oss://far/data/": str(tmp_path / "mapped")}}})
    assert there.ended(job)["State"] == "Failed"
    assert "OssMapping cannot show oss://far/data/: " in there.log(job, "A", stream="stderr")


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a store that takes every connection, and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=100)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_store_that_hangs_holds_up_only_those_that_need_it(cloud: Cloud, silent: str) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed (the dependency group buckets)")
    cloud.settings(
        "file_seconds = 2\n" + describe_toml("far", "s3://real", {"endpoint_url": silent, "key": "k", "secret": "s"})
    )
    cloud.up()
    cloud.program("print('precious')")
    logs = [cloud.create({"A": LOGS}) for _ in range(6)]  # more than there are threads
    package = cloud.create({"A": {"PackageUri": "oss://far/worker.tar.gz"}})
    here = cloud.create({"A": {"InstanceCount": 5}})
    assert cloud.ended(here)["State"] == "Terminated"
    assert cloud.job(package)["State"] in ("Waiting", "Running")
    assert [cloud.ended(job)["State"] for job in logs] == ["Terminated"] * 6
    found = control.status(cloud.root)
    assert found is not None
    (trouble,) = found["troubles"]
    assert "gives no answer within 2 seconds; its store may be away; logs for it are in" in trouble
    assert len([name for name in unsent(cloud) if name.startswith("std")]) == 12
    assert cloud.ended(package)["State"] == "Failed"
    assert "oss://far/worker.tar.gz gives no answer within 2 seconds" in cloud.log(package, "A", stream="stderr")


def unsent(cloud: Cloud) -> list[str]:
    return [path.name for path in (cloud.root / "unsent").rglob("*") if path.is_file()]


IN_ANOTHER_HOME = """
import pwd
from types import SimpleNamespace
pwd.getpwuid = lambda uid: SimpleNamespace(pw_name="somebody", pw_dir=%r)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a service, which takes it from the system's list of users."""
    home = tmp_path / "home"
    monkeypatch.setattr(control, "command", _begin_with(control.command, IN_ANOTHER_HOME % str(home)))
    return home


def write_key(home: Path, key: str, secret: str) -> None:
    folder = home / ".alibabacloud"
    folder.mkdir(exist_ok=True)
    text = f"[default]\ntype = access_key\naccess_key_id = {key}\naccess_key_secret = {secret}\n"
    (folder / "credentials").write_text(text)


def test_credentials_of_a_provider_in_the_service(cloud: Cloud, weed: Weed, home: Path) -> None:
    url = f"s3://real/of-a-provider-{os.getpid()}"
    cloud.settings(
        f'[buckets.far]\nurl = "{url}"\ncredentials = "alibabacloud-file"\noptions = {{ endpoint_url = "{weed.url}" }}\n'
    )
    pid = cloud.up()
    weed.system().pipe_file(f"{url.removeprefix('s3://')}/worker.tar.gz", pack_files({"main.py": "print('here')"}))
    task = {"A": {"PackageUri": "oss://far/worker.tar.gz"}}
    write_key(home, ID, "another-" + SECRET)
    job = cloud.create(task)
    assert cloud.ended(job)["State"] == "Failed"
    said = cloud.log(job, "A", stream="stderr").encode()
    assert b"cannot be read: the bucket far at s3://real/of-a-provider" in said
    write_key(home, ID, SECRET)  # the same service has it for the next call
    job = cloud.create(task)
    assert cloud.ended(job)["State"] == "Terminated"
    assert cloud.log(job, "A") == "here\n"
    assert cloud.up() == pid
    said += (cloud.root / "daemon.log").read_bytes()
    said += b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    assert SECRET.encode() not in said


def test_the_doctor_says_whose_credentials_it_has(cloud: Cloud, weed: Weed, tmp_path: Path) -> None:
    options = f'options = {{ endpoint_url = "{weed.url}" }}'
    cloud.settings(f'[buckets.far]\nurl = "s3://real"\ncredentials = "alibabacloud-file"\n{options}\n')
    bucket_credentials._open.cache_clear()
    (finding,) = find_bucket(cloud)
    assert finding.state == "problem"
    assert "credential provider 'alibabacloud-file' has no credentials: there is no file " in finding.what
    write_key(tmp_path / "home", ID, SECRET)
    (finding,) = find_bucket(cloud)
    assert finding.state == "ok"
    assert finding.what.endswith(
        "asked with what the credential provider 'alibabacloud-file' has here, not in the service"
    )


def test_a_provider_that_is_nearly_right_keeps_the_service_from_starting(cloud: Cloud) -> None:
    cloud.settings('[buckets.far]\nurl = "s3://real"\ncredentials = "enviroment"\n')
    with pytest.raises(DaemonError, match=r"\[buckets.far\]: credentials: .*'enviroment'; did you mean 'environment'"):
        cloud.up()
