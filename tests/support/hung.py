"""A folder that gives no answer, as one of a network file system whose server is gone. The kernel waits for a FUSE server."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LAZY = 2


@contextmanager
def hung(folder: Path) -> Iterator[None]:
    """Let every system call on `folder` wait until the end of the block. Skips the test where nothing can be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        pytest.skip("needs /dev/fuse")
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        if libc.mount(b"none", bytes(folder), b"fuse.hung", 0, options):
            pytest.skip("needs to be allowed to mount a file system")
        try:
            yield
        finally:
            libc.umount2(bytes(folder), _LAZY)
    finally:
        os.close(server)  # who waits gets an error
