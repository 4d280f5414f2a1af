"""Images: this machine, and the images of service.toml: other interpreters, or a command that runs programs."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchcompute.errors import did_you_mean, nearest, shorten

_KEYS = ("description", "command", "objects_host", "warm")
_PLACES = ("argv", "variable", "mapping", "service", "cwd", "oss", "attempt")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_FIELD = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Image:
    """An image: `programs` are interpreters by ProgramType, `command` is the template of a command line around them, or ().

    In the template `{argv}` is the program's own command line. A word with `{variable}` is repeated for each environment
    variable (its name), a word with `{mapping}` for each OssMapping (`folder:path:ro`), a word with `{service}` for each path
    by which a program reaches the service (`path:path:ro`). `{cwd}` is the working folder, `{oss}` the folder of the objects,
    `{attempt}` the attempt's name. `objects_host` is the address of this machine at which its programs find the OSS endpoint;
    empty for loopback. `warm` are the modules that its interpreter of Python imports before it becomes a program; None if each
    program has an interpreter of its own.
    """

    id: str
    description: str = ""
    programs: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    objects_host: str = ""
    warm: tuple[str, ...] | None = None

    @property
    def maps(self) -> bool:
        """Check if the command has a place for an OssMapping."""
        return any("{mapping}" in word for word in self.command)

    def command_line(
        self,
        argv: Sequence[str],
        places: Mapping[str, str],
        variables: Iterable[str],
        mappings: Mapping[str, str],
        service: Iterable[str] = (),
    ) -> list[str]:
        """Fill in the template. `places` has cwd, oss and attempt; `mappings` has local paths by their source folder; `service`
        are the paths by which a program reaches the service.
        """
        many = {
            "variable": sorted(variables),
            "mapping": [f"{source}:{target}:ro" for source, target in mappings.items()],
            "service": [f"{path}:{path}:ro" for path in service],
        }
        words: list[str] = []
        for word in self.command:
            repeated = next((name for name in many if f"{{{name}}}" in word), None)
            if word == "{argv}":
                words += argv
            elif repeated:
                words += [_filled(word, {**places, repeated: value}) for value in many[repeated]]
            else:
                words.append(_filled(word, places))
        return words


def _filled(word: str, places: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda match: places.get(match[1], match[0]), word)


def name_unknown(ids: Iterable[str], known: Iterable[str], default: str) -> list[str]:
    """Return a sentence for each of the `ids` that is not known, and that stands for the image `default`."""
    known = {default, *known}
    return [
        f"there is no image {shorten(image)}, its tasks run as with {default}{did_you_mean(image, known)}"
        for image in sorted({*ids} - known)
    ]


def read_images(table: Any) -> dict[str, Image]:
    """Read the tables `[images."img-..."]`. Raises ValueError with a message that names image and key."""
    if not isinstance(table, dict):
        raise ValueError('images must be tables, as [images."img-x"]')
    return {name: _image(name, values) for name, values in table.items()}


def _image(name: str, values: Any) -> Image:
    where = f'[images."{name}"]'
    if not re.fullmatch(r"img-[A-Za-z0-9_.-]{1,60}", name):
        raise ValueError(f"{where}: the id must be img- and up to 60 letters, digits, '-', '_' and '.'")
    if not isinstance(values, dict):
        raise ValueError(f"{where} must be a table")
    programs = {key: value for key, value in values.items() if key not in _KEYS}
    for key, value in programs.items():
        if not isinstance(value, str) or not value or nearest(key, _KEYS):
            hint = did_you_mean(key, _KEYS) or "; it maps a program type to a program, both text"
            raise ValueError(f"{where}: {key} cannot be used{hint}")
    description, command = values.get("description", ""), values.get("command", [])
    if not isinstance(description, str):
        raise ValueError(f"{where}: description must be text")
    if not isinstance(command, list) or not all(isinstance(each, str) and each for each in command):
        raise ValueError(f"{where}: command must be a list of words")
    _check_template(where, command)
    host = values.get("objects_host", "")
    try:
        usable = isinstance(host, str) and (not host or not ipaddress.ip_address(host).is_unspecified)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{where}: objects_host must be one IP address of this machine, not {host!r}")
    return Image(name, description, programs, tuple(command), host, _read_warm(where, values, programs))


def _read_warm(where: str, values: Mapping[str, Any], programs: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the modules of a warm interpreter; None if none is wanted. Raises ValueError."""
    if "warm" not in values:
        return None
    modules = values["warm"]
    if not isinstance(modules, list) or not all(isinstance(each, str) and _MODULE.fullmatch(each) for each in modules):
        raise ValueError(f'{where}: warm must be a list of modules, as ["json", "numpy.linalg"]')
    if "command" in values or "python" not in programs:
        raise ValueError(f"{where}: warm needs the key python, and no command")
    return tuple(modules)


def _check_template(where: str, command: Sequence[str]) -> None:
    if command and (command.count("{argv}") != 1 or command[0] == "{argv}"):
        raise ValueError(f"{where}: command must begin with a program and have the word {{argv}} in it, once")
    for word in command:
        for place in _FIELD.findall(word):
            if place not in _PLACES:
                hint = did_you_mean(place, _PLACES) or f"; places: {', '.join(_PLACES)}"
                raise ValueError(f"{where}: command has an unknown {{{place}}}{hint}")
