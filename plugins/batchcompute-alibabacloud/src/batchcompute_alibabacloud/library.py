"""The official library, made to keep quiet: its errors and log lines hold whole answers, secrets included (protocol 4.4)."""

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
"""The kind that is no type of the library's own: a profile in the aliyun CLI's file."""

# Who logs answers, and query strings in which tokens are sent.
_TALKERS = ("credentials", "alibabacloud-tea", "urllib3.connectionpool")
_here = threading.local()
# Beginnings of messages that hold nothing but names of settings, files and profiles.
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
    """The library's provider for a type and its values. Raises CredentialsError."""

    def made() -> Any:
        provider = _library()
        reload(import_module("alibabacloud_credentials.utils.auth_util"))  # the environment as it is now, not at import
        if kind == CLI_PROFILE:
            named = {key: values[key] for key in ("profile_file", "profile_name")}
            return provider.CLIProfileCredentialsProvider(**named)
        if kind == "ecs_ram_role":  # made by the library's Client it would start a thread
            known = {key: values.get(key) for key in ("role_name", "disable_imds_v1")}
            return provider.EcsRamRoleCredentialsProvider(**known, async_update_enabled=False)
        config = import_module("alibabacloud_credentials.models").Config(type=kind, **values)
        return import_module("alibabacloud_credentials.client").Client(config).cloud_credential.provider

    return _careful(source, made)


def ask(provider: Any, source: str) -> Credentials:
    """What the library's provider has now. Raises CredentialsError."""
    given = _careful(source, provider.get_credentials)
    parts = {
        "access_key_id": given.get_access_key_id(),
        "access_key_secret": given.get_access_key_secret(),
        "security_token": given.get_security_token(),
    }
    expires = given.get_expiration()
    return found(source, parts, float(expires) if expires else None)


@cache
def _library() -> Any:
    """Its providers. What the import does to loggers is undone: it would print every answer."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
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
    """Drops what the library says while it works for us; other users of it in the program are not touched."""
    return not getattr(_here, "busy", False)


def _careful(source: str, work: Callable[[], T]) -> T:
    """`work`, quietly, and with an error that can be shown."""
    _here.busy = True
    try:
        return work()
    except Exception as error:
        why = _why(error)
    finally:
        _here.busy = False
    raise CredentialsError(f"{source}: {why}")  # out here, so that the library's error is not its context


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
