"""Names of buckets and keys."""

from __future__ import annotations

import pytest
from batchcompute_local.objects.names import check_key, has_file, is_bucket, is_new_bucket


@pytest.mark.parametrize("key", ["a", "a/b/c", "é", "...", "a b", "-", "x" * 255])
def test_plain_keys(key: str) -> None:
    assert has_file(key)
    assert check_key(key) == ""


@pytest.mark.parametrize(
    "key", ["a/", "a//b", ".", "..", "a/../b", "a/./b", "x" * 256, "é" * 128, ".part-x", "a/.part-oss-1", "nul\0"]
)
def test_odd_keys(key: str) -> None:
    assert not has_file(key)
    assert check_key(key) == ""


@pytest.mark.parametrize("key", ["", "/a", "\\a", "x" * 1024, "é" * 512, "\udc80"])
def test_no_keys(key: str) -> None:
    assert check_key(key)


def test_buckets() -> None:
    assert all(map(is_bucket, ("mine", "B", "a.b", "x" * 63)))
    assert not any(map(is_bucket, ("", ".", "..", ".batchcompute", "a/b", "x" * 64, "-a", "a\n")))
    assert all(map(is_new_bucket, ("abc", "a-1", "0" * 63)))
    assert not any(map(is_new_bucket, ("ab", "A-b", "a_b", "-ab", "ab-", "a.b", "x" * 64)))
