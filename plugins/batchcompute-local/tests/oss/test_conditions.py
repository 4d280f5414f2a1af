"""Ranges, as OSS reads them."""

from __future__ import annotations

import pytest
from batchcompute_local.oss.conditions import read_range
from batchcompute_local.oss.errors import OssError


@pytest.mark.parametrize(
    ("text", "plain", "standard"),
    [
        ("", None, None),
        ("bytes=0-0", (0, 1), (0, 1)),
        ("bytes=2-", (2, 8), (2, 8)),
        ("bytes=-3", (7, 3), (7, 3)),
        ("bytes=-30", (0, 10), (0, 10)),
        ("bytes=5-20", None, (5, 5)),
        ("bytes=10-20", None, "InvalidRange"),
        ("bytes=10-", None, "InvalidRange"),
        ("bytes=-0", None, "InvalidRange"),
        ("bytes=3-2", None, None),
        ("bytes=-", None, None),
        ("bytes=0-1,3-4", None, None),
        ("lines=0-1", None, None),
        ("bytes=٣-٤", None, None),
    ],
)
def test_ranges(text: str, plain: object, standard: object) -> None:
    assert read_range(text, 10, standard=False) == plain
    try:
        found: object = read_range(text, 10, standard=True)
    except OssError as error:
        found = error.code
    assert found == standard
