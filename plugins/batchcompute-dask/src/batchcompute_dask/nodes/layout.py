"""The data folder of a node: its own, but for the objects and logs where it sees the service's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from batchcompute_local.paths import Layout


@dataclass(frozen=True)
class SharingLayout(Layout):
    """Of a node that sees the service's data folder at `service`."""

    service: Path

    @property
    def oss(self) -> Path:
        """See Layout."""
        return self.service / "oss"

    def logs(self, job: str) -> Path:
        """See Layout."""
        return self.service / "work" / job


@dataclass(frozen=True)
class SeparateLayout(Layout):
    """Of a node that sees nothing of the service."""

    has_objects = False
