"""One setting as somebody wrote it, and one as it is used; each knows where it comes from.

Named tuples: every first Client waits for these classes to be made, and a frozen dataclass takes seven times as long.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..errors import ConfigError
from ..schema import Key

DEFAULT = "default"
"""The source of what nobody set, and the name of the profile that is used unless another is chosen."""


class Entry(NamedTuple):
    """What stands at `source`, which is a variable or a line of a file; unchecked. `from_text`: a variable's text."""

    section: str
    key: str
    raw: Any
    source: str
    from_text: bool = False

    def __repr__(self) -> str:  # without the value: it may be a secret
        return f"Entry({self.name} at {self.source})"

    @property
    def name(self) -> str:
        """`section.key`, or `key`."""
        return f"{self.section}.{self.key}" if self.section else self.key

    def value(self, key: Key) -> Any:
        """Return the checked value. Raises ConfigError, which begins with the source."""
        try:
            return key.parse(self.name, self.raw) if self.from_text else key.check(self.name, self.raw)
        except ConfigError as error:
            raise self.error(str(error)) from None

    def error(self, message: str) -> ConfigError:
        """A ConfigError that begins with the source."""
        return ConfigError(f"{self.source}: {message}")


class Setting(NamedTuple):
    """A value that is used, and where it comes from: a line of a file, a variable, or `default`."""

    name: str
    value: Any
    source: str
    secret: bool = False

    def __repr__(self) -> str:
        return f"Setting({self.name} at {self.source})"

    @property
    def shown(self) -> Any:
        """Value as it may be seen: a proxy without its password, any other secret as `***`."""
        if not self.secret or self.value is None:
            return sorted(self.value) if isinstance(self.value, frozenset) else self.value
        if self.name in ("transport.http_proxy", "transport.https_proxy"):
            return re.sub(r"//.*@", "//***@", self.value)
        return "***"
