"""The pages of region local name every setting with its default, every file of the data folder, every variable of a program."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.client import control
from batchcompute_local.settings import Settings

from batchcompute import Client, pack

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS, PROGRAMS, DATA = (
    (DOCS / f"service-{name}.md").read_text(encoding="utf-8") for name in ("settings", "programs", "data")
)
PROGRAM = "import json, os; print(json.dumps(sorted(os.environ)))"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated_environment: None) -> Iterator[Path]:
    """The data folder of a service, which is stopped afterwards."""
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "data"))
    yield tmp_path / "data"
    control.stop(tmp_path / "data")


def test_the_first_page_names_all() -> None:
    first = (DOCS / "service.md").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("service-*.md") if f"]({page.name})" not in first] == []


def test_settings() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", SETTINGS, flags=re.DOTALL | re.MULTILINE)
    shown = tomllib.loads(text)
    assert set(shown) == {field.name for field in dataclasses.fields(Settings)}
    own = ("slots", "programs", "environment", "images", "executors", "buckets")  # the number of cores; examples
    defaults = {name: value for name, value in dataclasses.asdict(Settings()).items() if name not in own}
    assert {name: value for name, value in shown.items() if name not in own} == defaults
    assert Settings().slots == os.cpu_count()


def test_what_a_job_leaves_and_what_it_finds(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "not for programs")
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "main.py").write_text(PROGRAM)
    task = {"PackageUri": "oss://mine/worker.tar.gz", "ProgramName": "main.py"}
    with Client("local") as client:
        client.objects.put("oss://mine/worker.tar.gz", pack(tmp_path / "worker"))
        job = client.create_job({"JobName": "look", "Priority": 0, "TaskDag": {"TaskDescMap": {"Look": task}}})
        client.wait(job, timeout=60, check=True)
        found = json.loads(client.read_log(job, "Look", stream="stdout") or b"")
    assert {"ALI_DIKU_INSTANCE_ID", "BATCH_COMPUTE_DAG_INSTANCE_ID", "BATCHCOMPUTE_OSS_ROOT", "HOME"} <= set(found)
    assert "A_SECRET" not in found
    assert [name for name in found if f"`{name}`" not in PROGRAMS and not name.startswith("LC_")] == []
    files = {path.name + ("/" if path.is_dir() else "") for path in data_dir.iterdir()}
    (table,) = re.findall(r"^\| name \| content \|\n.*?\n\n", DATA, flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`([^` |]+)`", table)
    unnamed = [name for name in files if not any(_same(name, each) for each in named)]
    assert unnamed == []


def _same(name: str, named: str) -> bool:
    """`*.lock` names every lock, a database also the files of SQLite beside it."""
    return (
        name.endswith(named[1:]) if named.startswith("*") else name.removesuffix("-wal").removesuffix("-shm") == named
    )
