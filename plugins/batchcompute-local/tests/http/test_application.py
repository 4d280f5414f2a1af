"""The HTTP side over a real socket: statuses, shapes, refusals, garbage."""

from __future__ import annotations

import hashlib
import json

from batchcompute_local.client import control

from tests.support.service import Cloud


def _raw(cloud: Cloud, data: bytes) -> bytes:
    with control.connect(cloud.root) as sock:
        sock.settimeout(20)
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_refusals_have_code_and_message(cloud: Cloud) -> None:
    cloud.settings("max_body_bytes = 5000\n")
    cloud.up()
    for method, target, status, code in (
        ("DELETE", "/jobs", 400, "MethodNotAllowed"),
        ("PATCH", "/jobs", 400, "MethodNotAllowed"),
        ("POST", "/jobs/x", 400, "MethodNotAllowed"),
        ("GET", "/", 400, "InvalidUrlPattern"),
        ("GET", "/jobs/", 400, "InvalidUrlPattern"),
        ("GET", "/jobs/a/b/c", 400, "InvalidUrlPattern"),
        ("GET", "/jobs/job-1", 404, "ResourceNotFound"),
        ("GET", "/jobs/%00%ff", 404, "ResourceNotFound"),
        ("PUT", "/jobs/job-1?Action=Explode", 403, "InvalidQueryString"),
        ("PUT", "/jobs/job-1/Priority", 400, "InvalidParameter"),
        ("POST", "/jobs", 400, "InvalidJsonFormat"),
    ):
        answer = cloud.call(method, target)
        assert (answer[0], answer[1]["Code"], answer[1]["ErrorCode"]) == (status, code, code), (method, target)
        assert answer[1]["Message"]
        assert answer[1]["RequestId"]
    status, answer = cloud.call("POST", "/jobs", b"x" * 5001)
    assert (status, answer["Code"]) == (403, "InvalidHttpBody")
    cloud.client.close()
    assert cloud.call("GET", "/jobs", Authorization="acs x:y")[1]["Code"] == "InvalidAccessKeyId.NotFound"
    assert cloud.call("PUT", "/jobs/j/Priority", b"2", contentMd5="0" * 32)[1]["Code"] == "InvalidContentMD5"


def test_answers(cloud: Cloud) -> None:
    cloud.up()
    cloud.program("print('done')")
    job_id = cloud.create({"A": {"InstanceCount": 2}}, JobName="näme", Description="\N{SNOWMAN}")
    job = cloud.ended(job_id)
    assert (job["Name"], job["Description"]) == ("näme", "\N{SNOWMAN}")
    assert cloud.call("GET", "/jobs") == (200, {job_id: job})
    status, tasks = cloud.call("GET", f"/jobs/{job_id}/tasks")
    assert (status, tasks["A"]["State"], tasks["A"]["UnfinishedInstances"]) == (200, 3, [])
    assert [one["InstanceId"] for one in tasks["A"]["InstanceStatusVector"]] == [0, 1]
    assert cloud.call("GET", f"/jobs/{job_id}/description")[1]["TaskDag"]["TaskDescMap"]["A"]["InstanceCount"] == 2
    assert "img-local" in cloud.call("GET", "/images")[1]
    md5 = hashlib.md5(b"9", usedforsecurity=False).hexdigest()
    assert cloud.call("PUT", f"/jobs/{job_id}/Priority", b"9", contentMd5=md5)[0] == 409


def test_garbage_is_never_a_500(cloud: Cloud) -> None:
    cloud.up()
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /jobs HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: acs a:b\r\nx-acs-\xff: \xfe\r\n\r\n",
        b"GET http://other/jobs?%zz&=& HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"BREW /\xc3\xa4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"HEAD /jobs HTTP/1.0\r\n\r\n",
        b"POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    ):
        answer = _raw(cloud, data)
        assert answer.startswith(b"HTTP/1.1 4"), (data[:60], answer[:200])
    found = json.loads(_raw(cloud, b"GET /-/status HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")[2])
    assert found == control.status(cloud.root)
