"""Garbage, more or less like requests and job descriptions."""

from __future__ import annotations

import copy
import json
import random
from email.utils import formatdate
from typing import Any

METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "BREW", "A" * 300]
PATHS = [
    "/", "/jobs", "/jobs/", "/images", "/jobs/x", "/jobs/job-1/Priority", "/jobs/job-1/description", "/jobs/job-1/tasks",
    "/jobs/job-1?Action=Stop", "/jobs/job-1?Action=", "/jobs?Marker", "/jobs/%00", "/jobs/%2e%2e/%2e%2e/etc/passwd",
    "/../../etc/passwd", "//", "/jobs/" + "x" * 9000, "/-/status", "/jobs/%ff%fe/Priority", "/jobs/a?b=%zz&&=&=c", "*",
    "http://other/jobs", "/jobs/job-1%0d%0aX-Evil:%201", "/jobs/\u00e4".encode().decode("latin-1"), "/jobs#x", "",
]  # fmt: skip
TEXTS = [
    "", "x", "a" * 70, "..", "../../x", "/etc/passwd", "oss://b/k", "oss://b/../k", "oss:///", "oss://b/" + "k/" * 600, "\0",
    "\ud800", "\u202e", "\n\r", "'", "\"; DROP TABLE jobs; --", "${HOME}", "%s%n", "img-local", "img-x\nERROR forged", "python",
    "php", "1", "-1", "NaN", "\N{SNOWMAN}" * 50, "oss://tests/none.tar.gz", "'open", "A", "B",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 1000, 1001, 86400, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"),
    float("nan"), [], {}, [[]], {"": ""}, {"a": {"b": {}}}, "5", "1e3",
]  # fmt: skip


def garbage(dice: random.Random, key: str) -> bytes:
    """Bytes for a new connection, more or less like HTTP."""
    kind = dice.randrange(6)
    if kind == 0:
        return dice.randbytes(dice.choice([1, 20, 500, 30_000]))
    requests = b"".join(_request(dice, key) for _ in range(dice.choice([1, 1, 1, 3, 20])))
    if kind == 1:
        return requests[: dice.randrange(len(requests)) + 1]
    if kind == 2:  # some bytes are others
        changed = bytearray(requests)
        for _ in range(dice.randrange(1, 8)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        return bytes(changed)
    return requests


def _request(dice: random.Random, key: str) -> bytes:
    body = dice.choice([b"", b"200", b"9" * 5000, b"{}", b"[" * 3000, dice.randbytes(200), b"x" * 100_000])
    lines = [
        f"{dice.choice(METHODS)} {dice.choice(PATHS)} HTTP/{dice.choice(['1.1', '1.1', '1.0', '2.0', '9'])}",
        "Host: a",
    ]
    lines += dice.sample(
        [
            f"Content-Length: {len(body)}", "Content-Length: 99999999999999999999", "Content-Length: -1",
            f"Content-Length: {'9' * 5000}", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Expect: 100-continue",
            "Upgrade: websocket\r\nConnection: upgrade", "Connection: close", "Date: now", f"Date: {formatdate(usegmt=True)}",
            "Authorization: acs", "Authorization: acs a:b", f"Authorization: acs {key}:x",
            f"Authorization: acs {key}:\xe4", "Authorization: Bearer x", "contentMd5: zz", "x-acs-\xff: 1",
            "x-acs-version: 1\r\nx-acs-version: 2", "X: " + "y" * 20_000, "bad header", " folded: 1", "a:\x01b",
            "\r\n".join(f"h{n}: 1" for n in range(150)), "x-acs-signature-method: none", "Accept: */*",
            "x-acs-idempotent-token: !",
        ],
        dice.randrange(6),
    )  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def description(dice: random.Random) -> bytes:
    """A job description, right but for a few places."""

    def task() -> dict[str, Any]:
        return {
            "PackageUri": "oss://tests/none.tar.gz", "ProgramName": "main.py", "ProgramType": "python",
            "ImageId": "img-local", "InstanceCount": dice.choice([1, 2]), "Timeout": 60, "EnvironmentVariables": {"A": "b"},
            "ProgramArguments": "-x 'y z'", "ResourceDescription": {"Cpu": 800, "Memory": 2000},
            "StdoutRedirectPath": "oss://tests/out/", "StderrRedirectPath": "",
            "OssMapping": {}, "OssMappingLock": True, "OssMappingLocale": "GBK",
        }  # fmt: skip

    names = [f"T{n}" for n in range(dice.choice([1, 1, 2, 3]))]
    made: dict[str, Any] = {
        "JobName": "fuzz", "JobTag": "t", "Description": "", "Priority": dice.randrange(1000),
        "TaskDag": {"TaskDescMap": {name: task() for name in names}, "Dependencies": {names[0]: names[1:]}},
    }  # fmt: skip
    for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
        _spoil(dice, made)
    body = json.dumps(made, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    if dice.random() < 0.05:
        return body[: dice.randrange(len(body) + 1)]
    if dice.random() < 0.05:
        return body.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass")
    return body


def _spoil(dice: random.Random, made: dict[str, Any]) -> None:
    """One random place gets something else, goes, or has another name."""
    places: list[tuple[dict[str, Any], str]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            places.extend((value, key) for key in value)
            for each in value.values():
                look(each)

    look(made)
    if not places:
        return
    holder, key = dice.choice(places)
    change = dice.randrange(4)
    if change == 0:
        del holder[key]
    elif change == 1:
        holder[dice.choice(TEXTS)] = holder.pop(key)
    else:
        # a copy: what is spoilt further must not be the same dict everywhere, nor hold itself
        holder[key] = copy.deepcopy(dice.choice(TEXTS if change == 2 else VALUES))
