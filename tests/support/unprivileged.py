"""Run a test without the rights that let root ignore the modes of files."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER = 1, 2, 3


def as_ordinary_user(test: Callable[..., None]) -> Callable[..., None]:
    """Run the test in a pytest of its own without those rights if this process has them. Skip it if they cannot be dropped."""

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        if os.geteuid() != 0 or "TEST_UNPRIVILEGED" in os.environ:
            folder: Path = fixtures["tmp_path"] / "closed"
            folder.mkdir(mode=0o555)
            try:
                (folder / "file").touch()
            except PermissionError:
                test(*args, **fixtures)
                return
            pytest.skip("this user may write to read-only folders")
        node = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0]
        command = [sys.executable, "-m", "pytest", "-q", "-n0"]
        command += [
            f"--basetemp={fixtures['tmp_path'] / 'inner'}",
            "-o",
            f"cache_dir={fixtures['tmp_path'] / 'cache'}",
            node,
        ]
        try:
            done = subprocess.run(
                command,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "TEST_UNPRIVILEGED": "1"},
                preexec_fn=_drop,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except subprocess.SubprocessError as error:
            if isinstance(error, subprocess.TimeoutExpired):
                raise
            pytest.skip(f"root's rights on files cannot be dropped: {error}")
        if " skipped" in done.stdout and done.returncode == 0:
            pytest.skip(done.stdout.strip().splitlines()[-2])
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def _drop() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for right in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER):
        if libc.prctl(_PR_CAPBSET_DROP, right, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
