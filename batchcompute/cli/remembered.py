"""A cache of the plugins' help lines: loading the plugins takes longer than all the rest.

The file is written whenever plugins are loaded. It is invalid when a folder that Python imports from has changed, as after an
installation. Until then the help may still show a plugin that was blocked meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from .. import __version__

_VARIABLES = ("BATCHCOMPUTE_PLUGINS", "BATCHCOMPUTE_PLUGINS_BLOCK", "BATCHCOMPUTE_PROFILE")


def load() -> dict[str, str] | None:
    """Return the help lines by command; None if not in the cache."""
    try:
        with open(_path(), encoding="utf-8") as file:
            kept = json.load(file)
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("of") != _state():
        return None
    return {str(name): str(line) for name, line in kept["commands"].items()}


def save(commands: Mapping[str, str]) -> None:
    """Save the lines. A write error only costs time."""
    write(_path(), {"of": _state(), "commands": dict(commands)})


def write(path: str, value: object) -> None:
    """Replace a file of the cache by a value as JSON, in one step; not at all if it cannot be written."""
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(part, path)
    except OSError:
        return


def _state() -> list[object]:
    """Return the values that change when plugins change."""
    folders: list[object] = []
    for folder in sys.path:
        try:
            folders += [folder, os.stat(folder or ".").st_mtime_ns]
        except OSError:
            continue
    return [__version__, sys.executable, *folders, *(os.environ.get(name) for name in _VARIABLES)]


def _path() -> str:
    return path_of("commands.json")


def path_of(name: str) -> str:
    """Return the path of a file in the user's cache."""
    if sys.platform.startswith("linux"):  # the same as in platformdirs, which takes longer to import
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):
            base = os.path.expanduser("~/.cache")
        return os.path.join(base, "batchcompute", name)
    import platformdirs

    return os.path.join(platformdirs.user_cache_dir("batchcompute", appauthor=False), name)
