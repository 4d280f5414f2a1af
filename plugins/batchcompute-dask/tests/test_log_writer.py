"""Logs that nodes send, written at the service."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchcompute_dask.bridge.logs import LogWriter
from batchcompute_dask.messages import LogName, LogPiece
from batchcompute_local.paths import Layout


def piece(attempt: int, data: bytes, offset: int = 0) -> LogPiece:
    """A piece that the node does not know to be received."""
    return LogPiece(LogName(f"job-1.0.0.{attempt}", "job-1", "T", 0, "stdout", ""), offset, data)


@pytest.mark.parametrize("earlier", ["first attempt", ""])
def test_the_first_piece_may_come_again(tmp_path: Path, earlier: str) -> None:
    layout = Layout.at(tmp_path)
    folder = tmp_path / "work/job-1"
    if earlier:
        LogWriter(layout, 10).write([piece(1, earlier.encode())])
    for _ in range(2):
        LogWriter(layout, 10).write([piece(2, b"second"), piece(2, b" attempt", 6)])  # of a new bridge each time
    assert (folder / "stdout.job-1.T.0").read_text() == "second attempt"
    kept = {each.name: each.read_text() for each in folder.glob("*.attempt-*")}
    assert kept == ({"stdout.job-1.T.0.attempt-1": earlier} if earlier else {})


def test_nothing_is_noted_of_logs_that_are_acknowledged(tmp_path: Path) -> None:
    writer = LogWriter(Layout.at(tmp_path), 10)
    writer.write([piece(2, b"second")])
    assert [each.name for each in (tmp_path / "dask/logs").iterdir()] == ["job-1.0.0.2.stdout"]
    writer.write([piece(3, b"third")])
    assert [each.name for each in (tmp_path / "dask/logs").iterdir()] == ["job-1.0.0.3.stdout"]
    writer.forget(["job-1.0.0.3"])
    assert not [*(tmp_path / "dask/logs").iterdir()]
