"""What is installed around this process: its interpreter, and the distributions with plugins.

A daemon answers with it, and `doctor` compares. Only the process itself can tell: another one may see other folders.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from batchcompute_local import __version__

GROUPS = ("batchcompute", "batchcompute_local")
"""The groups of entry points of plugins: for the SDK, and for the service."""


def describe_installation() -> dict[str, Any]:
    """Return version, interpreter, prefix (that of the venv) and plugins: names of distributions by group of entry points."""
    from importlib.metadata import entry_points

    plugins = {
        group: sorted({point.dist.name for point in entry_points(group=group) if point.dist is not None})
        for group in GROUPS
    }
    return {"version": __version__, "interpreter": sys.executable, "prefix": sys.prefix, "plugins": plugins}


def is_gone() -> bool:
    """Return whether the interpreter or the package of this process has been removed."""
    return not (os.access(sys.executable, os.X_OK) and os.path.exists(__file__))
