"""Where the bucket is in a request."""

from __future__ import annotations

import pytest
from batchcompute_local.oss.calls import split_target


@pytest.mark.parametrize(
    ("host", "path", "bucket", "key"),
    [
        ("127.0.0.1:8080", "b/k/x", "b", "k/x"),
        ("127.0.0.1", "b", "b", ""),
        ("[::1]:8080", "b/k", "b", "k"),
        ("localhost:1", "b//k", "b", "/k"),
        ("mine.localhost:1", "k/x", "mine", "k/x"),
        ("mine.127.0.0.1:8080", "k", "mine", "k"),
        ("oss.example.com", "b/k", "b", "k"),
        ("MINE.oss.example.com:443", "k", "mine", "k"),
        ("mine.oss-cn-qingdao.aliyuncs.com", "k", "mine", "k"),
        ("oss-cn-qingdao-internal.aliyuncs.com", "b/k", "b", "k"),
        ("elsewhere.example.org", "b/k", "b", "k"),
        ("", "b/k", "b", "k"),
    ],
)
def test_targets(host: str, path: str, bucket: str, key: str) -> None:
    assert split_target(host, path, ["oss.example.com"]) == (bucket, key)
