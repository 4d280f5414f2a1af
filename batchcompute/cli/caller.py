"""The surroundings of the shell that runs this command, for `job run` and `job submit`."""

from __future__ import annotations

import os
import shutil
import subprocess

from ..surroundings import Surroundings

_SECONDS = 20.0
_ASK = "import os, sys; sys.stdout.buffer.write(os.fsencode(sys.executable))"


def describe_caller(python: str = "") -> Surroundings:
    """Return the surroundings of the caller. Their Python is what PATH finds, not the one that runs this command.

    python: the word by which the caller named it, "" if it did not; then `python`, then `python3`. If PATH finds none of
    them, it is the one that runs this command.
    """
    for word in (python, "python", "python3"):
        found = shutil.which(word) if word else None
        real = _find_real(os.path.abspath(found)) if found else ""
        if real:
            return Surroundings.of_process(real)
    return Surroundings.of_process()


def _find_real(path: str) -> str:
    """Return the Python behind a script, such as those of pyenv, which choose one by the current folder; "" if none is.

    Another file is returned unchanged: it may be a link in a venv.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"#!":
                return path
        done = subprocess.run(  # noqa: S603  # what the user calls python
            [path, "-c", _ASK], capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    real = os.fsdecode(done.stdout)
    return real if done.returncode == 0 and os.path.isabs(real) else ""
