"""service.toml: the service's settings. Read from the data folder only, never from the caller's cwd."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batchcompute.errors import did_you_mean
from batchcompute_local.containment import AUTO, MODES
from batchcompute_local.damage import DamageError, read_whole
from batchcompute_local.errors import SettingsError
from batchcompute_local.images import Image, read_images
from batchcompute_local.objects.elsewhere import BucketElsewhere, read_buckets

_FRACTIONS = ("_seconds", "_days")
"""Endings of settings that may be 0 or no whole number."""

_ZERO = ("cpu", "memory", "kept_attempts", "hourly_copies", "daily_copies")
"""Settings that may be 0."""


@dataclass(frozen=True)
class Settings:
    """All settings with their defaults. Times are in seconds, sizes in bytes."""

    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Slots: instances that run at once."""
    cpu: int = 0
    """Limit on the sum of Cpu of running instances, in hundredths of a core; 0: no limit."""
    memory: int = 0
    """Limit on the sum of Memory of running instances, in MB; 0: no limit."""
    idle_seconds: float = 60.0
    """The daemon ends after this time without jobs and requests."""
    leftover_seconds: float = 5.0
    """After the program has ended, its other processes may run this long; then they get SIGTERM."""
    grace_seconds: float = 5.0
    """Time between SIGTERM and SIGKILL, for a stop and for a timeout."""
    kept_attempts: int = 10
    """Earlier attempts of an instance whose logs stay; 0: none."""
    keep_finished_days: float = 0.0
    """A Finished job is deleted so many days after its end; 0: never."""
    keep_failed_days: float = 0.0
    """The same for a Failed job."""
    keep_stopped_days: float = 0.0
    """The same for a Stopped job."""
    hourly_copies: int = 24
    """Copies of the database that stay: the newest of each of so many hours; 0: none."""
    daily_copies: int = 7
    """The same for days. If both are 0, no copies are made."""
    max_copies_bytes: int = 4 << 30
    """The size of all copies together; the newest one stays whatever its size."""
    retry_seconds: float = 1.0
    """Pause before the first retry of an instance; it doubles with each further one, up to 60 seconds."""
    runner_linger_seconds: float = 300.0
    """The runner ends after this time without a daemon and without a process."""
    containment: str = AUTO
    """How the processes of an attempt are kept together: `auto` uses a cgroup where one can be made, `off` does not."""
    interpreter: str = ""
    """The Python of the daemon and of programs; empty: of the program that starts it, and of the submitter."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Interpreters by ProgramType, e.g. `[programs] python = "/usr/bin/python3"`."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of all programs, e.g. `[environment] TMPDIR = "/scratch"`."""
    images: Mapping[str, Image] = field(default_factory=dict)
    """Images besides img-local, by id; see `images`."""
    buckets: Mapping[str, BucketElsewhere] = field(default_factory=dict)
    """Buckets elsewhere by name, e.g. `[buckets.data] url = "s3://my-data"`; see docs/objects.md."""
    executor: str = "process"
    """The executor: `process` is this machine, others are installed; see docs/executors.md."""
    executors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of installed executors by name, e.g. `[executors.dask] scheduler = "tcp://10.0.0.1:8786"`."""
    require_nonce: bool = False
    """Refuse requests without a nonce (the JavaScript SDK sends none): others could repeat them for two seconds."""
    max_body_bytes: int = 64 << 20
    """The largest request body."""
    max_connections: int = 400
    """Connections at once, of the network and of the data folder's socket each."""
    request_seconds: float = 60.0
    """Time limit for receiving a request, and for a client that does not read its answer."""
    file_seconds: float = 60.0
    """Time limit for an object, a redirect path, an interpreter or a mapped path to answer, before its instance fails."""
    max_tasks: int = 10_000
    """Tasks in one job."""
    max_instances: int = 1_000_000
    """Instances in one job."""
    max_package_bytes: int = 8 << 30
    """Unpacked size of one package."""
    max_package_files: int = 200_000
    """Entries in one package."""

    def find_interpreter(self, program_type: str) -> str | None:
        """Return the interpreter that is set for programs of this type; None if none is."""
        return self.programs.get(program_type) or (self.interpreter if program_type == "python" else "") or None


def read_settings(path: Path) -> Settings:
    """Read the settings in the file at `path`; defaults if absent. Raises SettingsError, with the line where there is one."""
    try:
        content = read_whole(path)
        text = content.decode()
    except FileNotFoundError:
        return Settings()
    except DamageError as error:
        raise SettingsError(f"{path} {error}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path}, line {line}: it is not UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{path}: its values are nested too deep") from None
    except ValueError as error:  # TOMLDecodeError, and a number that is too long
        raise SettingsError(f"{path}: {error}") from error
    names = {f.name for f in fields(Settings)}
    for key, value in values.items():
        if key not in names:
            hint = did_you_mean(key, names) or f"; settings: {', '.join(sorted(names))}"
            raise SettingsError(f"{_find(path, text, key)}: unknown setting {key!r}{hint}")
        _check(_find(path, text, key), key, value)
    try:
        values["images"] = read_images(values.get("images", {}))
    except ValueError as error:
        raise SettingsError(f"{_find(path, text, 'images')}: {error}") from error
    try:
        values["buckets"] = read_buckets(values.get("buckets", {}))
    except ValueError as error:
        raise SettingsError(f"{_find(path, text, 'buckets')}: {error}") from error
    return Settings(**values)


def _find(path: Path, text: str, key: str) -> str:
    """Return `path` with the number of the first line that has `key`, as a name or in the name of a table."""
    name = rf"(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')"
    found = re.search(rf"^[ \t]*(?:\[+[ \t]*{name}[ \t]*[.\]]|{name}[ \t]*[.=])", text, re.MULTILINE)
    return f"{path}, line {text.count(chr(10), 0, found.start()) + 1}" if found else str(path)


def _check(path: str, key: str, value: Any) -> None:
    if key == "programs":
        if not isinstance(value, dict) or not all(isinstance(v, str) and v for v in value.values()):
            raise SettingsError(f"{path}: [programs] maps a program type to a program, both text")
    elif key == "environment":
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise SettingsError(f"{path}: [environment] maps the name of a variable to its value, both text")
        if any(not name or "=" in name or "\0" in name + text for name, text in value.items()):
            raise SettingsError(f"{path}: [environment] has a name or value that no program can be given")
    elif key == "containment":
        if value not in MODES:
            raise SettingsError(f"{path}: containment must be {' or '.join(map(repr, MODES))}, not {value!r}")
    elif key in ("interpreter", "executor"):
        if not isinstance(value, str):
            raise SettingsError(f"{path}: {key} must be text")
    elif key == "executors":
        if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
            raise SettingsError(f"{path}: executors must be tables, as [executors.name]")
    elif key in ("images", "buckets"):
        pass  # read_images and read_buckets check them
    elif key == "require_nonce":
        if not isinstance(value, bool):
            raise SettingsError(f"{path}: require_nonce must be true or false")
    elif isinstance(value, bool) or not isinstance(value, (int, float) if key.endswith(_FRACTIONS) else int):
        raise SettingsError(f"{path}: {key} must be a number")
    elif not math.isfinite(value):
        raise SettingsError(f"{path}: {key} must be finite")
    elif value < 0 or (value == 0 and not key.endswith(_FRACTIONS) and key not in _ZERO):
        raise SettingsError(f"{path}: {key} must be positive")
