"""For all suites: programs that tests start find compiled bytecode, and no test of Hypothesis depends on a quick machine.

Hundreds of them are started. Where nothing may be written beside the sources, each spends most of a second on compiling.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

if sys.prefix != sys.base_prefix:  # a virtual environment, which `make clean` removes
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(sys.prefix) / "cache" / "pycache"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell has its commands in the background ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
