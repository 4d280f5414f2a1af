"""What every test runs in: an empty HOME, no settings or proxies from outside, and a fixed time zone on request."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchcompute.credentials import Credentials
from tests.support.homes import own_home

_FOREIGN = ("BATCHCOMPUTE_", "ALIBABA_", "ALIBABACLOUD_", "ALICLOUD_", "XDG_")


@pytest.fixture(autouse=True)
def isolated_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An own, empty HOME; nothing of the caller's accounts, settings and proxies."""
    for name in os.environ:
        if name.startswith(_FOREIGN) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = own_home(tmp_path, monkeypatch)
    monkeypatch.setenv("USERPROFILE", str(home))


@pytest.fixture
def china_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is eight hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CST-8")
        time.tzset()
        yield
    time.tzset()


_secrets: set[str] = set()


@pytest.fixture(autouse=True, scope="session")
def remember_secrets() -> Iterator[None]:
    """Every secret and token that becomes credentials in a test, so that `pytest_runtest_makereport` can look for them."""
    made = Credentials.__init__

    def remembering(self: Credentials, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        _secrets.update(part for part in (self.access_key_secret, self.security_token) if part and len(part) >= 8)

    patch = pytest.MonkeyPatch()
    patch.setattr(Credentials, "__init__", remembering)
    yield
    patch.undo()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No test may log or print a secret; the whole suite logs at DEBUG (pyproject.toml)."""
    report = yield
    said = "\n".join(content for _, content in report.sections)
    if report.passed and any(secret in said for secret in _secrets):
        report.outcome = "failed"
        report.longrepr = "a secret was logged or printed by this test"  # not which: that would print it once more
    return report
