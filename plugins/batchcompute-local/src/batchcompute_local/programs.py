"""Program types: from a ProgramType to a command line (protocol 2.7)."""

from __future__ import annotations

import os
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
    """

    name: str
    package: Path
    folder: str
    interpreter: Callable[[str], str]

    def path(self) -> str:
        """Return the path of ProgramName in the working folder. Raises ProgramError if the package has no such file."""
        package = os.path.realpath(self.package)
        file = os.path.realpath(os.path.join(package, self.name))
        if not self.name or not file.startswith(package + os.sep) or not os.path.isfile(file):
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


BUILT_IN = {
    each.name: each for each in (_script("python", sys.executable), _script("php", "php"), ProgramType("java", _java))
}
"""python, php, and java: a `.jar`, or a class with the working folder as class path."""
