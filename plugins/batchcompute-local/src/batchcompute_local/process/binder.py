"""Bind folders to other paths, read-only, for one program: `python binder.py FROM TO [FROM TO ...] -- PROGRAM ...`

It makes a mount namespace (and a user namespace, if it must), binds the folders there and becomes the program. Other
processes do not see the mounts; the mounts end with the program. Standard library only. Exits with 126 if the kernel
does not allow it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE, _RELATIME = 1, 32, 4096, 16384, 1 << 18, 1 << 21
_KEPT = 2 | 4 | 8 | 1024 | 2048  # nosuid, nodev, noexec, noatime, nodiratime: a user namespace may not drop them
_ST_RELATIME = 4096


def bind(pairs: list[tuple[str, str]]) -> None:
    """Bind the first path of each pair to the second one. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function: str, *arguments: object) -> None:
        if getattr(libc, function)(*arguments):
            number = ctypes.get_errno()
            raise OSError(number, f"{function}: {os.strerror(number)}")

    def mount(source: str | None, target: str, flags: int) -> None:
        first = os.fsencode(source) if source is not None else None
        call("mount", first, os.fsencode(target), None, ctypes.c_ulong(flags), None)

    uid, gid = os.getuid(), os.getgid()
    try:
        call("unshare", _NEWNS)
    except PermissionError:
        call("unshare", _NEWNS | _NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount(None, "/", _REC | _PRIVATE)
    for source, target in pairs:
        mount(source, target, _BIND | _REC)
        flags = os.statvfs(target).f_flag
        kept = flags & _KEPT | (_RELATIME if flags & _ST_RELATIME else 0)
        mount(None, target, _REMOUNT | _BIND | _RDONLY | kept)


def main(arguments: list[str]) -> None:
    """Bind the folders, and become the program."""
    at = arguments.index("--")
    try:
        bind(list(zip(arguments[:at:2], arguments[1:at:2], strict=True)))
    except OSError as error:
        sys.stderr.write(f"batchcompute: OssMapping is not possible: {error}\n")
        sys.exit(126)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):  # as Python found them
        signal.signal(number, signal.SIG_DFL)
    program = arguments[at + 1 :]
    try:
        os.execv(program[0], program)  # noqa: S606  # no shell is wanted
    except OSError as error:
        sys.stderr.write(f"batchcompute: the program could not be started: {error}\n")
        sys.exit(126)


if __name__ == "__main__":
    main(sys.argv[1:])
