"""`batchcompute dask ...`: every example of the help, with a real scheduler."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from batchcompute_dask.certificates import certificate_path, ensure_certificate
from batchcompute_dask.clusters import place
from batchcompute_dask.commands import dask
from batchcompute_local.paths import Layout
from own_clusters import links, listening

from batchcompute import cli
from batchcompute.cli.failures import guarded
from tests.support.waits import wait_for

EXAMPLES = [line for one in dask.commands.values() for line in getattr(one, "examples", ())]
RUNNING = [line for line in EXAMPLES if re.match("batchcompute dask (worker|scheduler)", line)]


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The data folder of the user."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "data"))
    return Layout.at(tmp_path / "data")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a scheduler, and its certificate."""
    root = tmp_path_factory.mktemp("scheduler")
    with begin(["dask", "scheduler", "--port", "0", "--data-dir", str(root)], root / "log") as process:
        address = wait_for(lambda: re.search(r"tls://\S+", (root / "log").read_text()), "its address", 30)[0]
        yield address, root / "dask/cluster.pem"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@contextmanager
def begin(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command line in a process, which does not outlive a test that fails."""
    code = "from batchcompute.cli import main; main()"
    with (
        open(log, "wb") as file,
        subprocess.Popen([sys.executable, "-c", code, *words], stdout=file, stderr=file) as made,
    ):
        try:
            yield made
        finally:
            made.kill()


@pytest.mark.parametrize("line", RUNNING)
def test_examples_that_run(line: str, scheduler: tuple[str, Path], layout: Layout, tmp_path: Path) -> None:
    address, certificate = scheduler
    ensure_certificate(layout)
    certificate_path(layout).write_bytes(certificate.read_bytes())
    place.write_address(layout, address, "")
    words = shlex.split(line)[1:]
    for written, real in (("tls://10.0.0.5:8786", address), ("10.0.0.5", "127.0.0.1"), ("8786", "0")):
        words = [real if word == written else word for word in words]
    words = [str(tmp_path / word[1:]) if word.startswith("/scratch") else word for word in words]
    if words == ["dask", "scheduler"]:
        words += ["--port", "0"]  # others may use its port
    with begin(words, tmp_path / "log") as process:
        if "scheduler" in words:
            wait_for(lambda: "Listening on tls://127.0.0.1:" in (tmp_path / "log").read_text(), "its address", 30)
        else:
            wait_for(lambda: is_connected(process.pid, address), "the connection", 30)
            assert "0100007F" in listening(process.pid), "its port of HTTP is on loopback only"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, (tmp_path / "log").read_text()


def is_connected(pid: int, address: str) -> bool:
    """Whether a process has a connection to the port."""
    port = f"{int(address.rpartition(':')[2]):04X}"
    inodes = links(pid)
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return any(row[3] == "01" and row[2].endswith(f":{port}") and f"socket:[{row[9]}]" in inodes for row in rows)


@pytest.mark.parametrize("line", [line for line in EXAMPLES if line not in RUNNING])
def test_other_examples(line: str, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli.cli, shlex.split(line.partition(" > ")[0])[1:]) == 0
    shown = capsys.readouterr().out
    if "json" in line:
        assert json.loads(shown) == {
            "running": False,
            "scheduler": "",
            "dashboard": "",
            "log": str(layout.root / "dask/cluster.log"),
        }


def test_a_worker_says_what_it_needs(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(cli.cli, ["dask", "worker"]) == 2
    assert "give the address of its scheduler, such as tls://host:8786" in capsys.readouterr().err
    assert guarded(cli.cli, ["dask", "worker", "tcp://127.0.0.1:1"]) == 2
    assert "everybody who reaches it may run programs as this user; see --insecure" in capsys.readouterr().err
    assert guarded(cli.cli, ["dask", "worker", "tls://127.0.0.1:1"]) == 2
    assert f"no certificate {certificate_path(layout)}: copy it" in capsys.readouterr().err
    ensure_certificate(layout).chmod(0o644)
    assert guarded(cli.cli, ["dask", "worker", "tls://127.0.0.1:1"]) == 2
    assert "others can read" in capsys.readouterr().err


def test_the_certificate_is_made_once_and_is_nobody_elses(layout: Layout) -> None:
    path = ensure_certificate(layout)
    text = path.read_bytes()
    assert text.count(b"-----BEGIN") == 2
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert ensure_certificate(layout).read_bytes() == text
    assert [each.name for each in path.parent.iterdir()] == ["cluster.pem"]
