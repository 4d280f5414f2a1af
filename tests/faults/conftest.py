"""A proxy that goes wrong on purpose, in front of the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.client import control

from batchcompute import Client, pack
from tests.support.faults import FaultProxy

PROGRAM = """
import os, sys
from pathlib import Path
run = Path(os.environ["BATCHCOMPUTE_OSS_ROOT"]) / "faults" / "runs" / os.environ["ALI_DIKU_JOB_ID"]
run.parent.mkdir(parents=True, exist_ok=True)
with run.open("a") as file:
    file.write("run\\n")
sys.exit(1)
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A service of its own, with a program that counts its runs and fails."""
    folder = tmp_path_factory.mktemp("service")
    patch = pytest.MonkeyPatch()
    patch.setenv("BATCHCOMPUTE_DATA_DIR", str(folder))
    (folder / "worker").mkdir()
    (folder / "worker" / "fail.py").write_text(PROGRAM)
    (folder / "worker" / "sleep.py").write_text("import time; time.sleep(600)")
    with Client("local") as client:
        client.objects.put("oss://faults/fail.tar.gz", pack(folder / "worker"))
        client.list_jobs()
    yield folder
    control.stop(folder)
    patch.undo()


@pytest.fixture(autouse=True)
def in_data_dir(isolated_environment: None, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test talks to that service."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(data_dir))


@pytest.fixture(scope="module")
def proxy(data_dir: Path) -> Iterator[FaultProxy]:
    proxy = FaultProxy(lambda: control.connect(data_dir))
    yield proxy
    proxy.close()
