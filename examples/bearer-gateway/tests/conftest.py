"""Every test has an empty HOME and a service of its own, which is stopped afterwards."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.client import control

for folder in (Path(__file__).parents[1] / "src", Path(__file__).parent):
    if str(folder) not in sys.path:  # installed, it is not needed
        sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True)
def data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    for name in os.environ:
        if name.startswith(("BATCHCOMPUTE_", "XDG_", "ALIBABA_", "ALICLOUD_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home, data = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(data))
    monkeypatch.chdir(home)
    yield data
    control.stop(data)
