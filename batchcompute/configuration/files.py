"""The user's config.toml and the project's batchcompute.toml: where they are, and what stands on which line."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ..config import SECTIONS, Config
from ..errors import ConfigError
from ..messages import did_you_mean
from ..schema import keys_of
from .entries import Entry

PROJECT_FILE = "batchcompute.toml"
PROFILES = "profiles"
TRUSTED = "trusted_projects"
# Not compiled here: only where there is a file.
_KEY = r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*="""
_TABLE = r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(?:#.*)?$"

# What a project may set that the user does not trust, besides [retry] and [tracing]: nothing that says where requests go.
_ANY_PROJECT = frozenset(
    {
        ("", "profile"),
        ("", "timeout"),
        ("", "strict"),
        ("transport", "connect_timeout"),
        ("transport", "read_timeout"),
    }
)
_ANY_PROJECT_WORDS = (
    "profile, timeout, strict, transport.connect_timeout, transport.read_timeout, [retry] and [tracing]"
)


def user_file() -> str:
    """Return the path of the user's config.toml, in the configuration folder of the platform."""
    if sys.platform.startswith("linux"):  # platformdirs says the same, but takes longer to import than a Client to make
        base = os.environ.get("XDG_CONFIG_HOME", "")
        if not os.path.isabs(base):
            base = os.path.expanduser("~/.config")
        return os.path.join(base, "batchcompute", "config.toml")
    import platformdirs

    return os.path.join(platformdirs.user_config_dir("batchcompute", appauthor=False), "config.toml")


class File:
    """A file that was read. `lines` has the number of the line on which a key or table stands, by its path."""

    __slots__ = ("data", "lines", "mode", "path")

    def __init__(self, path: str, data: Mapping[str, Any], lines: Mapping[tuple[str, ...], int], mode: int = 0) -> None:
        self.path = path
        self.data = data
        self.lines = lines
        self.mode = mode

    def __repr__(self) -> str:  # without what stands in it
        return f"File({self.path!r})"

    def source(self, *path: str) -> str:
        """`FILE, line N` of a key; of the table around it where the key is not found."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return f"{self.path}, line {self.lines[path[:end]]}"
        return self.path

    def entries(self) -> list[Entry]:
        """Everything outside of the profiles."""
        return list(self._entries(self.data, ()))

    def profile(self, name: str) -> list[Entry]:
        """Everything in one profile; empty when it is not there."""
        return list(self._entries(self.profiles.get(name, {}), (PROFILES, name)))

    @property
    def profiles(self) -> Mapping[str, Mapping[str, Any]]:
        """Profiles by name. Raises ConfigError for what is no table."""
        profiles: dict[str, dict[str, Any]] = self.data.get(PROFILES, {})
        for name, profile in profiles.items() if isinstance(profiles, dict) else [("", profiles)]:
            if not isinstance(profile, dict):
                raise ConfigError(f"{self.source(PROFILES, name)}: a profile is a table: [profiles.NAME]")
        return profiles

    def trusts(self, folder: str) -> bool:
        """Return whether this file, the user's, lists a folder among its trusted projects. Raises ConfigError."""
        listed = self.data.get(TRUSTED, [])
        if not isinstance(listed, list) or not all(
            isinstance(path, str) and os.path.isabs(os.path.expanduser(path)) for path in listed
        ):
            raise ConfigError(f"{self.source(TRUSTED)}: {TRUSTED} must be a list of absolute paths of folders")
        return any(os.path.realpath(os.path.expanduser(path)) == os.path.realpath(folder) for path in listed)

    def _entries(self, table: Mapping[str, Any], at: tuple[str, ...]) -> Iterator[Entry]:
        top = keys_of(Config)
        for key, value in table.items():
            source = self.source(*at, key)
            if not at and key in (PROFILES, TRUSTED):
                continue
            if isinstance(value, dict) and key not in top:
                for name, item in value.items():
                    yield Entry(key, name, item, self.source(*at, key, name))
                if not value and key not in SECTIONS:
                    yield Entry(key, "", None, source)  # an empty table is checked for its name
            elif key in SECTIONS:
                raise ConfigError(f"{source}: {key} is a section; write its keys under [{'.'.join((*at, key))}]")
            elif key in top and not (at and key == "profile"):
                yield Entry("", key, value, source)
            else:
                known = [*(name for name in top if not (at and name == "profile")), *SECTIONS]
                raise ConfigError(
                    f"{source}: there is no setting {'.'.join((*at, key))!r}{did_you_mean(key, known)}; "
                    f"settings: {', '.join(known)}"
                )


def read(path: str) -> File | None:
    """Return the file at `path`, None when there is none. Raises ConfigError when it cannot be read or is not TOML."""
    try:
        with open(path, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: byte {error.start}") from None
    import tomllib  # only where there is a file

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from None
    return File(path, data, _lines(text), mode)


def working_directory() -> str:
    """Return the working directory; "" if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def read_project(user: File | None, folder: str) -> tuple[File | None, bool]:
    """Return the project file in `folder`, the working directory, and whether the user trusts it. Raises ConfigError.

    Only this folder is looked at: a file further up could belong to anybody.
    """
    found = read(os.path.join(folder, PROJECT_FILE))
    if found is None:
        return None, False
    project = File(os.path.join(folder, PROJECT_FILE), found.data, found.lines)
    if TRUSTED in found.data:
        raise ConfigError(f"{project.source(TRUSTED)}: {TRUSTED} belongs into the user's own {user_file()}")
    trusted = user is not None and user.trusts(folder)
    if not trusted:
        _refuse(project, folder)
    return project, trusted


def _refuse(project: File, folder: str) -> None:
    """Raises ConfigError for what only a trusted project may set."""
    known = {PROFILES, *keys_of(Config), *SECTIONS}
    for key, value in project.data.items():
        if key in ("retry", "tracing"):
            continue
        for name in value if isinstance(value, dict) and value else ("",):
            where = (key, name) if isinstance(value, dict) else ("", key)
            if where not in _ANY_PROJECT:
                raise ConfigError(
                    f"{project.source(key, name)}: {'.'.join(filter(None, where))} cannot be set by a project that is "
                    f"not trusted{'' if key in known else did_you_mean(key, known)}; allowed: {_ANY_PROJECT_WORDS}; "
                    f'to trust it, put {TRUSTED} = ["{folder}"] into {user_file()}'
                )


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the first line of every key and table. A scan, not a parser: good enough to point at a mistake."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(_TABLE, line):
            table = _path(header[1])
            for end in range(1, len(table) + 1):
                found.setdefault(table[:end], number)
        elif key := re.match(_KEY, line):
            path = table + _path(key[1])
            for end in range(len(table) + 1, len(path) + 1):
                found.setdefault(path[:end], number)
    return found


def _path(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in re.findall(r"""[^."']+|"[^"]*"|'[^']*'""", text) if part.strip())
