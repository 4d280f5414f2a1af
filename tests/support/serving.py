"""A `batchcompute serve` of a data folder, on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MAIN = "from batchcompute.cli import main; main()"


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[str]:
    """Run it, with more options; the URL."""
    command = [sys.executable, "-c", _MAIN, "serve", "--port", "0", "--data-dir", str(folder), *options]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("BATCHCOMPUTE_")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as service:
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            assert line.startswith("Listening on http"), "the service did not start"
            yield line.split()[-1]
        finally:
            service.terminate()
            service.wait(30)
