"""One result of `batchcompute doctor`. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `batchcompute doctor` tells.

    `name` is what was looked at, in one word; `state` is ok, note (works, but worth knowing) or problem (calls or jobs fail);
    `what` was found, in words without secrets; `cure` is what the user can do about it, "" where there is nothing to do.
    """

    name: str
    state: Literal["ok", "note", "problem"]
    what: str
    cure: str = ""
