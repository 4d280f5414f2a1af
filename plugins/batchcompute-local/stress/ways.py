"""Ways in which a file gets damaged."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

_VALUES: list[object] = [None, [], {}, 7, "text", [[]], {"a": {}}, True, 1e99]


def damage(path: Path, way: str, dice: random.Random) -> bool:
    """Damage the file at `path` in one of the `WAYS`; False if that way does not apply to it. A folder is replaced."""
    if path.is_dir():
        shutil.rmtree(path)
        path.touch(mode=0o600)
    return WAYS[way](path, dice)


def _empty(path: Path, dice: random.Random) -> bool:
    path.write_bytes(b"")
    return True


def _truncate(path: Path, dice: random.Random) -> bool:
    size = path.stat().st_size
    if size:
        os.truncate(path, dice.randrange(size))
    return bool(size)


def _randomize(path: Path, dice: random.Random) -> bool:
    path.write_bytes(dice.randbytes(max(100, path.stat().st_size)))
    return True


def _flip(path: Path, dice: random.Random) -> bool:
    content = bytearray(path.read_bytes())
    if content:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
    return bool(content)


def _zero(path: Path, dice: random.Random) -> bool:
    """A block of zeros, as some file systems leave after a crash of the machine."""
    content = bytearray(path.read_bytes())
    if content:
        start = dice.randrange(len(content))
        content[start : start + 4096] = bytes(len(content[start : start + 4096]))
        path.write_bytes(content)
    return bool(content)


def _retype(path: Path, dice: random.Random) -> bool:
    path.write_text(json.dumps(dice.choice(_VALUES)))
    return True


def _leave_out(path: Path, dice: random.Random) -> bool:
    """A JSON object without a field, or with a field of another type; one of the lines if there are several."""
    lines = path.read_bytes().split(b"\n")
    objects = [number for number, line in enumerate(lines) if line.startswith(b"{")]
    if not objects:
        return False
    number = dice.choice(objects)
    try:
        values = json.loads(lines[number])
    except ValueError:
        return False
    name = dice.choice(list(values))
    values[name] = dice.choice(_VALUES)
    if dice.random() < 0.5:
        del values[name]
    lines[number] = json.dumps(values).encode()
    path.write_bytes(b"\n".join(lines))
    return True


def _no_text(path: Path, dice: random.Random) -> bool:
    content = path.read_bytes()
    at = dice.randrange(len(content) + 1)
    path.write_bytes(content[:at] + b"\xff\xfe\x80" + content[at:])
    return True


def _tear(path: Path, dice: random.Random) -> bool:
    """A part of the content stands in it twice, the first time cut off."""
    content = path.read_bytes()
    if not content:
        return False
    at = dice.randrange(len(content)) + 1
    path.write_bytes(content[:at] + content)
    return True


def _make_folder(path: Path, dice: random.Random) -> bool:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "inside").touch()
    return True


def _make_fifo(path: Path, dice: random.Random) -> bool:
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return True


def _make_link(path: Path, dice: random.Random) -> bool:
    path.unlink(missing_ok=True)
    path.symlink_to(path.with_name("nothing here"))
    return True


def _take_rights(path: Path, dice: random.Random) -> bool:
    path.chmod(0)
    return os.geteuid() != 0


WAYS: dict[str, Callable[[Path, random.Random], bool]] = {
    "empty": _empty,
    "truncated": _truncate,
    "random bytes": _randomize,
    "one bit flipped": _flip,
    "a block of zeros": _zero,
    "another type of JSON": _retype,
    "a field wrong or missing": _leave_out,
    "not UTF-8": _no_text,
    "torn and twice": _tear,
    "a folder in its place": _make_folder,
    "a FIFO in its place": _make_fifo,
    "a link to nothing": _make_link,
    "no rights": _take_rights,
}
