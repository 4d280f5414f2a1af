"""The port of the endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchcompute_local.objects.address import bind, listen, read_address, read_port, write_port


def test_the_port_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "objects.json"
    assert read_address(path) == "local"
    with listen(path) as first:
        port = first.getsockname()[1]
    write_port(path, "outside", 5)
    with listen(path) as second:
        assert second.getsockname() == ("127.0.0.1", port)
    assert read_address(path) == f"127.0.0.1:{port}"
    assert read_address(path, "::1") == f"[::1]:{port}"
    assert read_port(path, "outside") == 5


def test_a_port_that_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "objects.json"
    with bind("127.0.0.1", 0) as taken:
        write_port(path, "loopback", taken.getsockname()[1])
        with listen(path) as other:
            assert other.getsockname()[1] != taken.getsockname()[1]
            assert read_port(path) == other.getsockname()[1]
    assert "is taken" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"loopback": "x"}', '{"loopback": 70000}', "\xff"])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "objects.json"
    path.write_text(text)
    with listen(path) as sock:
        assert read_port(path) == sock.getsockname()[1]
