"""Files that other programs write, and may change while we run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ...errors import CredentialsError
from ...installing import advise

T = TypeVar("T")
_log = logging.getLogger("batchcompute.credentials")

# A file that was written so lately may change again without its time stamp showing it.
_YOUNG_SECONDS = 2.0


class Watched(Generic[T]):
    """Files as `parse` understands them, parsed again when they have changed.

    `parse` gets the text and raises CredentialsError. A file that cannot be understood any more, as while a program writes
    it in place, is taken as it was before.
    """

    def __init__(self, parse: Callable[[str], T]) -> None:
        self._parse = parse
        self._known: dict[str, tuple[tuple[int, ...], T]] = {}

    def read(self, path: str) -> T:
        """Raises CredentialsError, with the path."""
        try:
            stat = os.stat(path)
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev)
            known = self._known.get(path)
            if known is not None and known[0] == mark:
                return known[1]
            with open(path, encoding="utf-8-sig") as file:
                text = file.read()
        except FileNotFoundError:
            raise CredentialsError(f"there is no file {path}") from None
        except OSError as error:
            raise CredentialsError(f"{path} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CredentialsError(f"{path} is not UTF-8 text") from None
        try:
            if not text.strip():
                raise CredentialsError("it is empty")
            value = self._parse(text)
        except CredentialsError as error:
            if known is None:
                raise CredentialsError(f"{path}: {error}") from None
            _log.warning("%s is taken as it was before: %s", path, error)
            value = known[1]
        young = abs(time.time() - stat.st_mtime) < _YOUNG_SECONDS
        self._known[path] = (() if young else mark, value)
        return value

    def forget(self) -> None:
        """Read the files anew, and take none as it was before: what they had was refused."""
        self._known.clear()


def home_file(*parts: str) -> str:
    """A path below the user's home folder."""
    return os.path.join(os.path.expanduser("~"), *parts)


def switched_on(variable: str) -> bool:
    """Return whether an environment variable says true (protocol 4.1)."""
    return os.environ.get(variable, "").strip().lower() == "true"


def name_plugin() -> str:
    """Say what a kind of credentials needs that the plugin for Alibaba Cloud fetches."""
    return (
        f"needs the plugin batchcompute-alibabacloud, whose provider is named 'alibabacloud'; {advise('alibabacloud')}"
    )
