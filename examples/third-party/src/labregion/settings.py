"""The section [lab] of the configuration, and what descriptions may contain in the region."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchcompute import Range, Ranges

NAME = "lab"


@dataclass(frozen=True, slots=True)
class LabSettings:
    """`host` and `port` are the gateway's; `tenant` is who pays; `keyring_file` takes the place of the desktop's keyring."""

    host: str = "127.0.0.1"
    port: int = field(default=8765, metadata={"min": 1, "max": 65535})
    tenant: str = "guest"
    keyring_file: str | None = None


RULES = Ranges(
    priority=Range(0, 100),
    instance_count=Range(1, 64),
    cpu=Range(1, 800),
    memory=Range(1, 16_000),
    program_types=("python",),
    optional=frozenset({"Timeout"}),
    source="the lab's rules",
)
"""The lab has no PHP, few cores, and one queue for everybody."""
