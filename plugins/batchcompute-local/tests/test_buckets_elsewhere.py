"""A real service with a bucket elsewhere: what users see, and its jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import oss2
import pytest
from batchcompute_local.client import control
from batchcompute_local.client.diagnosis import findings
from batchcompute_local.http.accounts import Book
from batchcompute_local.paths import Layout

from batchcompute import Client
from batchcompute.hooks import Finding
from tests.support.descriptions import describe, pack_files
from tests.support.elsewhere import Elsewhere
from tests.support.service import Cloud
from tests.support.waits import wait_for
from tests.support.weed import describe_toml


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
    assert far.keys() == []


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
    assert far.keys() == []


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
    monkeypatch.setattr(control, "command", _without_library(control.command, hide))
    cloud.up()
    needs = "the bucket far is at s3://real and needs s3fs; install it with: "
    found = control.status(cloud.root)
    assert found is not None
    assert any(trouble.startswith(needs) and "-m pip install" in trouble for trouble in found["troubles"])
    status, answer = cloud.call("POST", "/jobs", describe({"A": {"StdoutRedirectPath": "oss://far/logs/"}}))
    assert (status, answer["Code"]) == (400, "InvalidParameter")
    assert "TaskDag.TaskDescMap.A.StdoutRedirectPath" in answer["Message"]
    assert needs in answer["Message"]


def _without_library(command: Any, hide: str) -> Any:
    def run(layout: Layout, *more: Any) -> list[str]:
        words = command(layout, *more)
        place = words.index("-m")
        start = f"{hide}import runpy; runpy.run_module({words[place + 1]!r}, run_name='__main__', alter_sys=True)"
        return [*words[:place], "-c", start, *words[place + 2 :]]

    return run


def test_a_package_elsewhere(there: Cloud, far: Elsewhere) -> None:
    task = {"A": {"PackageUri": "oss://far/programs/worker.tar.gz", "InstanceCount": 3}}
    for text in ("first", "second"):  # each job has the package as it is when it starts
        far.write("programs/worker.tar.gz", pack_files({"main.py": f"print({text!r})"}))
        job = there.create(task)
        assert there.ended(job)["State"] == "Terminated", there.log(job, "A", stream="stderr")
        assert [there.log(job, "A", number) for number in range(3)] == [f"{text}\n"] * 3
    assert not [path for path in (there.root / "packages").iterdir() if path.name.startswith(".")]
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
