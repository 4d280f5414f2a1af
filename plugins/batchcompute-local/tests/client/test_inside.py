"""The transport of programs, while their service is away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from batchcompute_local.attempt_files import AttemptFiles
from batchcompute_local.paths import Layout

from batchcompute import Client
from batchcompute.config import Config, RetryConfig, TransportConfig
from batchcompute.errors import ConnectError


@pytest.mark.parametrize("timeout", [None, 0.3])
def test_how_long_a_call_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout: float | None) -> None:
    """Until its timeout; without one, each attempt as long as connecting may take."""
    layout = Layout.at(tmp_path / "data")
    layout.create()
    files = AttemptFiles(layout)
    files.write(1000, "job-1.0.0.1")
    monkeypatch.setenv("BATCHCOMPUTE_LOCAL_ATTEMPT", files.path("job-1.0.0.1"))
    patience = 0.15 if timeout is None else 60.0
    config = Config(retry=RetryConfig(attempts=2, base_wait=0.0), transport=TransportConfig(connect_timeout=patience))
    began = time.monotonic()
    with Client("local", config=config) as client, pytest.raises(ConnectError, match="a program does not start it"):
        client.list_jobs(timeout=timeout)
    assert 0.2 < time.monotonic() - began < 10
    assert not layout.lock.exists()
