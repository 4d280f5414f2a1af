"""The OSS endpoint of a real service: its address, its accounts, and programs that know nothing of this SDK."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import closing
from typing import Any

import oss2
import pytest
from batchcompute_local.client import control
from batchcompute_local.http.accounts import Book
from batchcompute_local.objects.buckets import give_bucket
from batchcompute_local.objects.store import Store
from batchcompute_local.paths import Layout

from tests.support.descriptions import PACKAGE, pack_files
from tests.support.service import Cloud

WORKER = """
import os, sys
sys.path += %r
import oss2
bucket = oss2.Bucket(oss2.Auth("old-id", "old-secret"), os.environ["ALI_DIKU_OSS_HOST"], "of-ann")
assert os.environ["BATCH_COMPUTE_OSS_HOST"] == os.environ["ALI_DIKU_OSS_HOST"]
bucket.put_object("primes/" + os.environ["ALI_DIKU_INSTANCE_ID"], b"2 3 5 7")
print(bucket.get_object("primes/" + os.environ["ALI_DIKU_INSTANCE_ID"]).read().decode())
"""


def address_of(cloud: Cloud) -> str:
    found = control.status(cloud.root)
    assert found is not None
    return str(found["objects"])


def test_an_old_worker_with_its_own_key(cloud: Cloud) -> None:
    book = Book(Layout.at(cloud.root))
    ann = book.add("ann", ("old-id", "old-secret"))
    cloud.up()
    url = address_of(cloud)
    bucket = oss2.Bucket(oss2.Auth("old-id", "old-secret"), url, "of-ann")
    bucket.create_bucket()
    package = pack_files({"main.py": WORKER % [path for path in sys.path if "packages" in path]})
    bucket.put_object("worker.tar.gz", package)
    visitor = Cloud(cloud.root)
    visitor.client.credentials = lambda: (ann.access_key_id, ann.access_key_secret)
    job = visitor.create({"A": {"PackageUri": "oss://of-ann/worker.tar.gz"}})
    assert visitor.ended(job)["State"] == "Terminated", cloud.log(job, "A", stream="stderr")
    assert cloud.log(job, "A") == "2 3 5 7\n"
    assert (cloud.root / "oss/of-ann/primes/0").read_bytes() == b"2 3 5 7"
    # another account's bucket is refused before anything runs
    for task in ({"PackageUri": "oss://of-ann/worker.tar.gz"}, {"OssMapping": {"oss://of-ann/primes/": "/tmp/x"}}):
        status, answer = cloud.call("POST", "/jobs", _describe(task))
        assert (status, answer["Code"]) == (400, "InvalidParameter")
        assert "TaskDag.TaskDescMap.A" in answer["Message"]
        assert "'of-ann' of another account" in answer["Message"]
    give_bucket(Store(cloud.root / "oss"), "of-ann", 1000)
    assert cloud.call("POST", "/jobs", _describe({"PackageUri": "oss://of-ann/worker.tar.gz"}))[0] == 201
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.get_object("worker.tar.gz")
    visitor.client.close()


def _describe(task: dict[str, Any]) -> bytes:
    from tests.support.descriptions import describe

    return describe({"A": task})


def test_the_port_stays_over_a_restart(cloud: Cloud) -> None:
    cloud.up()
    before = address_of(cloud)
    key, secret = control.read_credentials(cloud.root)
    bucket = oss2.Bucket(oss2.Auth(key, secret), before, "mine-too")
    bucket.create_bucket()
    bucket.put_object("a", b"1", headers={"x-oss-meta-a": "b"})
    cloud.client.close()
    assert control.stop(cloud.root)
    cloud.up()
    assert address_of(cloud) == before
    assert bucket.get_object("a").headers["x-oss-meta-a"] == "b"


def test_beside_the_port_of_serve(cloud: Cloud) -> None:
    line = [sys.executable, "-c", "from batchcompute.cli import main; main()", "serve", "--port=0", "--host=0.0.0.0"]
    with subprocess.Popen([*line, "--insecure-bind", "--data-dir", str(cloud.root)], stdout=-1, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = control.status(cloud.root)
        process.kill()
    assert found is not None
    assert found["objects"].startswith("http://127.0.0.1:")
    assert found["objects_url"].startswith("http://0.0.0.0:")
    assert found["objects_url"].rpartition(":")[2] != found["objects"].rpartition(":")[2]


def test_containers(cloud: Cloud) -> None:
    cloud.settings('[images."img-box"]\ncommand = ["env", "{argv}"]\nobjects_host = "127.0.0.2"\n')
    cloud.up()
    port = int(address_of(cloud).rpartition(":")[2])
    cloud.oss.put(PACKAGE, pack_files({"main.sh": "echo $ALI_DIKU_OSS_HOST"}))
    job = cloud.create({"A": {"ImageId": "img-box", "ProgramType": "shell", "ProgramName": "main.sh"}})
    assert cloud.ended(job)["State"] == "Terminated"
    assert cloud.log(job, "A") == f"127.0.0.2:{port}\n"
    with closing(http.client.HTTPConnection("127.0.0.2", port, timeout=20)) as connection:
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, b"<Code>AccessDenied</Code>" in answer.read()) == (403, True)


def test_commands(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: str, stdin: str = "") -> tuple[int, str, str]:
        command = [
            sys.executable,
            "-c",
            "from batchcompute.cli import main; main()",
            *words,
            "--data-dir",
            str(cloud.root),
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    code, out, err = run("local", "account", "add", "ann", "--access-key-id", "LTAI1", stdin="s3cret\n")
    assert (code, out, err) == (0, "access_key_id = LTAI1\n", "")
    assert Book(Layout.at(cloud.root)).find("LTAI1").access_key_secret == "s3cret"
    (cloud.root / "oss/mine").mkdir(parents=True)
    assert run("local", "bucket", "give", "mien", "ann")[2].strip().endswith("did you mean 'mine'?")
    assert run("local", "bucket", "give", "mine", "ana")[2].strip().endswith("did you mean 'ann'?")
    assert run("local", "bucket", "give", "mine", "ann")[1] == "Bucket mine belongs to account ann.\n"
    assert run("local", "bucket", "list")[1].splitlines()[1].split() == ["mine", "ann", "1001", "here"]
    assert json.loads(run("local", "bucket", "list", "--format", "json")[1]) == [
        {"name": "mine", "owner": 1001, "account": "ann", "url": None}
    ]
