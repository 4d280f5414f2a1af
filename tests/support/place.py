"""A HOME and a working directory for configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchcompute.configuration import load

USER = Path(".config/batchcompute/config.toml")


class Place:
    """A HOME, a working directory, and what stands in them."""

    def __init__(self, home: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.cwd, self._patch = home, cwd, monkeypatch
        self.user_path = home / USER
        self.project_path = cwd / "batchcompute.toml"

    def user(self, text: str, mode: int = 0o600) -> None:
        self.user_path.parent.mkdir(parents=True, exist_ok=True)
        self.user_path.write_text(text)
        self.user_path.chmod(mode)

    def project(self, text: str) -> None:
        self.project_path.write_text(text)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def shown(self) -> dict[str, tuple[Any, str]]:
        """(value, source) of every setting."""
        return {item.name: (item.value, item.source) for item in load().settings()}
