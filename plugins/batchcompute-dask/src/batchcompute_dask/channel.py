"""The channel between daemon and bridge: messages over a pair of sockets, which only these two have."""

from __future__ import annotations

import pickle
import struct
from typing import Any, BinaryIO

_LENGTH = struct.Struct("=I")
LENGTH_BYTES = _LENGTH.size


def frame(message: object) -> bytes:
    """Return the bytes that are sent for a message."""
    data = pickle.dumps(message)
    return _LENGTH.pack(len(data)) + data


def read_length(head: bytes) -> int:
    """Return the length of the message after `head`."""
    return int(_LENGTH.unpack(head)[0])


def parse(data: bytes) -> Any:
    """Return the message."""
    return pickle.loads(data)  # noqa: S301  # from the process that has the other end, of the same user


def receive(stream: BinaryIO) -> Any:
    """Return the next message. Raises EOFError if the other end is gone, also in the middle of a message; OSError."""
    return parse(_read(stream, read_length(_read(stream, LENGTH_BYTES))))


def _read(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
