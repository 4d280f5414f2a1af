"""The official library, without its log lines and errors: they contain whole answers, secrets included (protocol 4.4)."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module, reload
from typing import Any, TypeVar

from batchcompute.credentials import Credentials, found
from batchcompute.errors import CredentialsError

T = TypeVar("T")

CLI_PROFILE = "aliyun CLI profile"
"""A kind that is not a type of the library: a profile in the aliyun CLI's file."""

# Loggers that log answers, and query strings with tokens.
_LEAKY_LOGGERS = ("credentials", "alibabacloud-tea", "urllib3.connectionpool")
_here = threading.local()
# Beginnings of messages that contain only names of settings, files and profiles.
_HARMLESS = (
    "IMDS credentials is disabled",
    "CloudSSO ",
    "Invalid OAuth site type",
    "invalid profile name",
    "invalid type option",
    "oidc_",
    "private_key",
    "public_key_id ",
    "role_arn ",
    "session duration ",
    "the access key ",
    "the security token ",
    "unable to get profile ",
    "unsupported profile mode ",
    "uri or environment variable ",
)
_STATUS = re.compile(r"(?:http_code|HttpCode|status code)\W{1,3}(\d{3})\b")


def build(kind: str, values: dict[str, Any], source: str) -> Any:
    """Make the library's provider for a type and its values. Raises CredentialsError."""

    def make() -> Any:
        provider = _library()
        reload(
            import_module("alibabacloud_credentials.utils.auth_util")
        )  # read the environment again, not only at import
        if kind == CLI_PROFILE:
            named = {key: values[key] for key in ("profile_file", "profile_name")}
            return provider.CLIProfileCredentialsProvider(**named)
        if kind == "ecs_ram_role":  # the library's Client would start a thread
            options = {key: values.get(key) for key in ("role_name", "disable_imds_v1")}
            return provider.EcsRamRoleCredentialsProvider(**options, async_update_enabled=False)
        config = import_module("alibabacloud_credentials.models").Config(type=kind, **values)
        return import_module("alibabacloud_credentials.client").Client(config).cloud_credential.provider

    return _guarded(source, make)


def ask(provider: Any, source: str) -> Credentials:
    """Return the current credentials of the library's provider. Raises CredentialsError."""
    given = _guarded(source, provider.get_credentials)
    parts = {
        "access_key_id": given.get_access_key_id(),
        "access_key_secret": given.get_access_key_secret(),
        "security_token": given.get_security_token(),
    }
    expires = given.get_expiration()
    return found(source, parts, float(expires) if expires else None)


@cache
def _library() -> Any:
    """Import the library's providers. Undo the import's changes of loggers: they would print every answer."""
    loggers = [logging.getLogger(name) for name in _LEAKY_LOGGERS]
    before = [(list(logger.handlers), logger.level) for logger in loggers]
    provider = import_module("alibabacloud_credentials.provider")
    for logger, (handlers, level) in zip(loggers, before, strict=True):
        for handler in logger.handlers[:]:
            if handler not in handlers:
                logger.removeHandler(handler)
        logger.setLevel(level)
        logger.addFilter(_not_ours)
    return provider


def _not_ours(record: logging.LogRecord) -> bool:
    """Drop the library's log lines while it works for us. Other users of it in the program are not affected."""
    return not getattr(_here, "busy", False)


def _guarded(source: str, work: Callable[[], T]) -> T:
    """Run `work` without log lines. Raises CredentialsError with a text that is safe to show."""
    _here.busy = True
    try:
        return work()
    except Exception as error:
        why = _why(error)
    finally:
        _here.busy = False
    raise CredentialsError(f"{source}: {why}")  # outside of except, so that the library's error is not its context


def _why(error: Exception) -> str:
    text = str(error)
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return f"{error.filename}: {error.strerror}"
    if text.startswith(_HARMLESS):
        return text
    status = _STATUS.search(text)
    if status:
        return f"it answered with HTTP status {status[1]}"
    return f"the library failed with {type(error).__name__}, whose message is not shown: it may hold secrets"
