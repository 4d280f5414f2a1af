"""Program types: from a ProgramType to a command line (protocol 2.7)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


class ProgramError(Exception):
    """The program cannot run, and its instance fails; the message says why."""


@dataclass(frozen=True)
class Program:
    """The program of a task, from which a program type makes a command line.

    `name` is the task's ProgramName. `package` is the folder with the content of its package. `folder` is a placeholder of
    the working folder: use it unchanged, since each instance has another one. `interpreter(default)` returns the path of
    the program that the image, or `[programs]` in service.toml, names for this type, else of `default`. It is searched on
    PATH unless the image is a command template. Raises ProgramError if this machine does not have it.

    `named` is that interpreter as image or settings name it, None if they name none. `find(name)` returns the absolute path
    of a program on the task's PATH, None if it is absent. In an image that is a command template it returns the name
    unchanged: what this machine has says nothing about the image.
    """

    name: str
    package: Path
    folder: str
    interpreter: Callable[[str], str]
    named: str | None = None
    find: Callable[[str], str | None] = shutil.which

    def file(self) -> str | None:
        """Return the path of ProgramName in the package, with links resolved. None if the package has no such file."""
        package = os.path.realpath(self.package)
        file = os.path.realpath(os.path.join(package, self.name))
        return file if self.name and file.startswith(package + os.sep) and os.path.isfile(file) else None

    def path(self) -> str:
        """Return the path of ProgramName in the working folder. Raises ProgramError if the package has no such file."""
        if self.file() is None:
            raise ProgramError(f"the package has no program {self.name!r}")
        return f"{self.folder}/{self.name}"


@dataclass(frozen=True)
class ProgramType:
    """A program type. `command` returns the words before ProgramArguments; it raises ProgramError."""

    name: str
    command: Callable[[Program], Sequence[str]]


def _script(name: str, default: str) -> ProgramType:
    return ProgramType(name, lambda program: (program.interpreter(default), program.path()))


def _java(program: Program) -> Sequence[str]:
    if program.name.endswith(".jar"):
        return program.interpreter("java"), "-jar", program.path()
    main = program.name.removesuffix(".class").replace("/", ".")
    if not main:
        raise ProgramError("ProgramName is not a class name")
    return program.interpreter("java"), "-cp", program.folder, main


def _shell(program: Program) -> Sequence[str]:
    script = path = program.name
    if not os.path.isabs(script):
        path, script = program.path(), program.file() or ""
    words = [program.named] if program.named else _first_line(script) or ["/bin/sh"]
    found = program.find(words[0])
    if found is None:
        raise ProgramError(f"this machine has no {words[0]!r} to run {program.name!r} with")
    return found, *words[1:], path


def _first_line(script: str) -> Sequence[str]:
    """Return the words of the `#!` line as the kernel reads it: an interpreter, and what follows as one word. [] if absent.

    It is read here, so that the file needs no x bit.
    """
    if not os.path.isfile(script):
        return []
    with open(script, "rb") as file:
        line = file.readline(_LONGEST_LINE)
    return os.fsdecode(line[2:]).strip().split(None, 1) if line.startswith(b"#!") else []


def _command(program: Program) -> Sequence[str]:
    file = program.file()
    if file is not None:
        if not os.access(file, os.X_OK):
            raise ProgramError(
                f"{program.name!r} of the package is not executable; set its x bit, or use ProgramType shell"
            )
        return (program.path(),)
    if "/" in program.name and not program.name.startswith("/"):
        raise ProgramError(f"the package has no program {program.name!r}")
    found = program.find(program.name)
    if found is None:
        raise ProgramError(f"there is no program {program.name!r}: it is neither a file of the package nor on PATH")
    return (found,)


_LONGEST_LINE = 4096
BUILT_IN = {
    each.name: each
    for each in (
        _script("python", sys.executable),
        _script("php", "php"),
        ProgramType("java", _java),
        ProgramType("shell", _shell),
        ProgramType("command", _command),
    )
}
"""python, php, and java: a `.jar`, or a class with the working folder as class path; shell: a script, by its `#!` line, else
with /bin/sh; command: a file of the package, else what PATH finds."""
