"""A store with a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_local.objects.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The objects of a folder of its own."""
    made = Store(tmp_path / "oss")
    made.ensure("b")
    yield made
    made.database.close()
