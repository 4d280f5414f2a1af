"""A clock of the machine that tests move: the seconds in a file of eight bytes are added to what `time.time` returns.

As `interpreter` of service.toml the script of `make_interpreter` runs the daemon by this clock. Uptime and the monotonic
clock stay as they are, as they do when somebody sets the clock of a machine.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import runpy
import signal
import struct
import sys
import time
from pathlib import Path

STACKS_SIGNAL = signal.SIGUSR2
"""What has the daemon write the stacks of its threads into its log."""


class MovedClock:
    """Moves the clock of all processes that use the file at `path`."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(struct.pack("d", 0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    @property
    def ahead(self) -> float:
        """Seconds by which the clock is ahead of the real one; negative if it is behind."""
        found: float = struct.unpack_from("d", self._map)[0]
        return found

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        struct.pack_into("d", self._map, 0, seconds)

    def use(self) -> None:
        """Let `time.time` of this process return the time of this clock."""
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + self.ahead
        time.time_ns = lambda: real_ns() + int(self.ahead * 1e9)


def make_interpreter(folder: Path) -> Path:
    """Make a script in `folder` that runs `-P -B -m MODULE ...` as Python does, by the clock `folder`/clock. Return its path."""
    MovedClock(folder / "clock")
    here = os.path.dirname(os.path.abspath(__file__))
    script = folder / "python"
    script.write_text(
        f"#!{sys.executable} -BP\nimport sys\nsys.path.append({here!r})\nfrom pathlib import Path\n"
        f"from moved_clock import run_module\nrun_module(Path({str(folder / 'clock')!r}))\n"
    )
    script.chmod(0o700)
    return script


def run_module(path: Path) -> None:
    """Run the module that the command line names, as `python -m` does. It writes the stacks of its threads at a signal."""
    MovedClock(path).use()
    faulthandler.register(STACKS_SIGNAL, all_threads=True)
    at = sys.argv.index("-m")
    sys.argv[:] = sys.argv[at + 1 :]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
