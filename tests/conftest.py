"""What every test runs in: an empty HOME, no settings or proxies from outside, and a fixed time zone on request."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_FOREIGN = ("BATCHCOMPUTE_", "ALIBABA_", "ALIBABACLOUD_", "ALICLOUD_", "XDG_")


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An own, empty HOME; nothing of the caller's accounts, settings and proxies."""
    home = tmp_path / "home"
    home.mkdir()
    for name in os.environ:
        if name.startswith(_FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))


@pytest.fixture
def china_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is eight hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CST-8")
        time.tzset()
        yield
    time.tzset()
