"""Words for messages, and warnings that point at the line that the user can mend. No I/O."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Sequence
from itertools import groupby

RAISED = "raised by plugin "
"""How the note of an error begins that names the plugin."""


def shorten(value: object, limit: int = 80) -> str:
    """Return the repr of a value, cut in the middle of a line rather than flooding it."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an int of thousands of digits, a list of thousands of levels
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the known name that `name` most likely stands for, or ''. Upper and lower case count as the same."""
    if not isinstance(name, str):
        return ""
    import difflib  # only when something went wrong: it costs a start-up millisecond

    by_folded = {item.casefold(): item for item in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return by_folded[close[0]] if close else ""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'X'?`, or ''."""
    best = nearest(name, known)
    return f"; did you mean {best!r}?" if best else ""


def name_instances(instances: Sequence[tuple[str, int]], most: int = 20) -> str:
    """Name instances, given by task and number: `task A, instances 1, 5; task B, instance 0; and 7 more` after `most`."""
    parts = []
    for task, group in groupby(instances[:most], key=lambda one: one[0]):
        numbers = [str(number) for _, number in group]
        parts.append(f"task {task}, instance{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}")
    if len(instances) > most:
        parts.append(f"and {len(instances) - most} more")
    return "; ".join(parts)


_NOT_THE_CALLER = ("batchcompute", "tenacity")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn, pointing at the first line outside of this package: the line that the user can mend."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_CALLER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
