"""docs/cli.md, docs/cli-json.md and docs/images are what the commands make of them today."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_SCREENSHOTS = runpy.run_path(str(Path(__file__).with_name("screenshots.py")))
IMAGES, PICTURES, picture = (_SCREENSHOTS[name] for name in ("IMAGES", "PICTURES", "picture"))
_AGAIN = "is not up to date: python -m batchcompute.cli.reference docs"


def test_pages(tmp_path: Path) -> None:
    # a process of its own: plugins of other tests may have added commands to this one
    made = subprocess.run(
        [sys.executable, "-m", "batchcompute.cli.reference", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "47"},
    )
    assert made.returncode == 0, made.stderr
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    assert names == ["cli-json.md", "cli.md"]
    for name in names:
        assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text(), f"docs/{name} {_AGAIN}"


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str) -> None:
    there = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert there == picture(name), "docs/images is not up to date: python tests/unit/cli/screenshots.py"


def test_no_picture_is_left_over() -> None:
    shown = {path.stem for path in IMAGES.glob("*.svg")}
    assert shown == set(PICTURES)
    pages = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md"))
    assert [name for name in shown if f"images/{name}.svg" not in pages] == []
