"""The surroundings of a submitter: interpreter, PATH, locale and time zone, with which the programs of a job run. A plain value.

They travel with `create_job` in one signed header, and only to services that keep them, as region local's does. Nothing else
of an environment travels.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import shorten
from .plain_errors import ConfigError

HEADER = "x-acs-surroundings"
MOST_BYTES = 8 << 10
"""The largest surroundings, as JSON: base64 makes them a third longer, and the head of a request has 16 KiB."""
LOCALE_VARIABLES = (
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_ADDRESS",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
)
"""The variables of a locale (locale(7)). Other names that begin with LC_ do not travel: they may contain anything."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a job was submitted. What is empty or None was not there: a program does not have it either.

    `interpreter` is the absolute path of the Python for programs of type python, "" for the service's. `path` is PATH,
    `locale` has the variables of LOCALE_VARIABLES that were set, `time_zone` is TZ.
    """

    interpreter: str = ""
    path: str | None = None
    locale: Mapping[str, str] = field(default_factory=dict)
    time_zone: str | None = None

    @classmethod
    def of_process(cls, interpreter: str | None = None) -> Surroundings:
        """Return the surroundings of this process, as they are now. `interpreter`: another Python than its own."""
        if interpreter is None:  # a frozen program is no Python, and an embedded one may have none
            interpreter = "" if getattr(sys, "frozen", False) else sys.executable or ""
        get = os.environ.get
        locale = {name: value for name in LOCALE_VARIABLES if (value := get(name)) is not None}
        return cls(interpreter if os.path.isabs(interpreter) else "", get("PATH"), locale, get("TZ"))

    @property
    def variables(self) -> dict[str, str]:
        """PATH, the locale and TZ as environment variables, those that are set."""
        found = {"PATH": self.path, **self.locale, "TZ": self.time_zone}
        return {name: value for name, value in found.items() if value is not None}

    def to_wire(self) -> dict[str, Any]:
        """Return what `from_wire` reads: Interpreter, Path, Locale and TimeZone, without what was not there."""
        wire = {"Interpreter": self.interpreter or None, "Path": self.path, "TimeZone": self.time_zone}
        found: dict[str, Any] = {name: value for name, value in wire.items() if value is not None}
        return found | {"Locale": dict(self.locale)} if self.locale else found

    @classmethod
    def from_wire(cls, data: Any) -> Surroundings:
        """Read what `to_wire` returned. Unknown names are ignored. Raises ValueError that names field and value."""
        if not isinstance(data, dict):
            raise ValueError(f"Surroundings: expected an object, got {shorten(data)}")
        interpreter = _text("Interpreter", data.get("Interpreter", ""))
        if interpreter and not os.path.isabs(interpreter):
            raise ValueError(f"Surroundings.Interpreter: expected an absolute path, got {shorten(interpreter)}")
        locale = data.get("Locale", {})
        if not isinstance(locale, dict):
            raise ValueError(f"Surroundings.Locale: expected an object, got {shorten(locale)}")
        for name, value in locale.items():
            if name not in LOCALE_VARIABLES:
                allowed = ", ".join(LOCALE_VARIABLES)
                raise ValueError(
                    f"Surroundings.Locale: {shorten(name)} is not a variable of a locale; allowed: {allowed}"
                )
            _text(f"Locale.{name}", value)
        path, zone = data.get("Path"), data.get("TimeZone")
        return cls(
            interpreter,
            None if path is None else _text("Path", path),
            dict(locale),
            None if zone is None else _text("TimeZone", zone),
        )

    def to_header(self) -> str:
        """Return the value of the header HEADER: JSON in base64. Raises ConfigError if it is longer than MOST_BYTES."""
        data = json.dumps(self.to_wire(), separators=(",", ":")).encode("ascii")
        if len(data) > MOST_BYTES:
            sizes = {"the interpreter's path": len(self.interpreter)}
            sizes |= {name: len(value) for name, value in self.variables.items()}
            longest = max(sizes, key=lambda name: sizes[name])
            raise ConfigError(
                f"the surroundings of the job have {len(data)} bytes, and at most {MOST_BYTES} can be sent; "
                f"shorten {longest}, which has {sizes[longest]} characters"
            )
        return base64.b64encode(data).decode("ascii")

    @classmethod
    def from_header(cls, text: str) -> Surroundings:
        """Read the value of the header. Raises ValueError that names field and value."""
        if len(text) > MOST_BYTES * 4 // 3 + 4:
            raise ValueError(f"Surroundings: expected at most {MOST_BYTES} bytes, got {len(text) * 3 // 4}")
        try:
            data = json.loads(base64.b64decode(text.encode("latin-1"), validate=True))
        except (binascii.Error, ValueError, RecursionError):
            raise ValueError(f"Surroundings: expected JSON in base64, got {shorten(text)}") from None
        return cls.from_wire(data)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"Surroundings.{name}: expected text, got {shorten(value)}")
    try:
        data = value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = b"\0"
    if b"\0" in data:
        raise ValueError(f"Surroundings.{name}: expected text that a program can be given, got {shorten(value)}")
    return value
