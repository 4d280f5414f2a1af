"""Times on the command line: an age as 7d, and a moment as an age or as an ISO 8601 time."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def read_age(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Callback of an option: read an age such as 7d, in seconds. Raises BadParameter with the units that there are."""
    age = _parse_age(value)
    if age is None:
        raise click.BadParameter(f"{value!r} is not a number with a unit: s, m, h, d or w, as in 90m or 7d", ctx, param)
    return age


def read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Callback of an option: read an age such as 10m, which counts back from now, or an ISO 8601 time; in epoch seconds.

    A time without a zone is local time. Raises BadParameter.
    """
    if value is None:
        return None
    age = _parse_age(value)
    if age is not None:
        return time.time() - age
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        text = f"{value!r} is neither an age, as 10m or 2d, nor a time, as 2026-11-26T18:00"
        raise click.BadParameter(text, ctx, param) from None


def _parse_age(text: str) -> float | None:
    found = _AGE.fullmatch(text)
    return float(found[1]) * _UNITS[found[2]] if found else None
