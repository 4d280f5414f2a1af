"""A HOME of its own for a test."""

from __future__ import annotations

from pathlib import Path

import pytest


def own_home(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make `folder`/home the HOME of this process and of what it starts."""
    home = folder / "home"
    home.mkdir()
    patch.setenv("HOME", str(home))
    return home
