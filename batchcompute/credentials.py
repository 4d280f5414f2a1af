"""Credentials as a value. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .plain_errors import ConfigError, CredentialsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a security token when it is a temporary one (protocol 3.1).

    `expires` is seconds since 1970, None for never; `source` says in words where they came from. Neither the secret nor
    the token appears in the repr.
    """

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    expires: float | None = None
    source: str = ""


def explicit(
    access_key_id: str | None, access_key_secret: str | None, security_token: str | None
) -> Credentials | None:
    """Return the credentials given to a Client, None when none were. Raises ConfigError when a part is missing or unusable."""
    parts = {
        "access_key_id": access_key_id,
        "access_key_secret": access_key_secret,
        "security_token": security_token,
    }
    if access_key_id is None and access_key_secret is None and not security_token:
        return None  # but '' is an access key that somebody meant to give
    wrong = _problem(parts)
    if wrong:
        raise ConfigError(wrong)
    return _build(parts, None, "arguments")


def found(source: str, parts: Mapping[str, object], expires: float | None = None) -> Credentials:
    """Return the credentials that a provider found at `source`.

    parts: the id, the secret and, where there is one, the token, in this order, by the names that the source gives them.
    expires: seconds since 1970. Raises CredentialsError, which names the part that is missing or unusable.
    """
    wrong = _problem(parts)
    if wrong:
        raise CredentialsError(f"{source}: {wrong}")
    return _build(parts, expires, source)


def is_same_key(one: Credentials, other: Credentials) -> bool:
    """Return whether a service cannot tell two credentials apart; where they came from and how long they last does not matter."""
    parts = (other.access_key_id, other.access_key_secret, other.security_token)
    return (one.access_key_id, one.access_key_secret, one.security_token) == parts


def _problem(parts: Mapping[str, object]) -> str | None:
    """Return what is wrong, in words that never hold a value."""
    for number, (name, value) in enumerate(parts.items()):
        if not value or (isinstance(value, str) and not value.strip()):
            if number < 2:
                return f"{name} is missing: an access key has an id and a secret"
        elif not isinstance(value, str):
            return f"{name} must be a str, not {type(value).__name__}"
        elif not (value.isascii() and value.strip().isprintable()):
            return f"{name} must be printable ASCII text"
    return None


def _build(parts: Mapping[str, object], expires: float | None, source: str) -> Credentials:
    key, secret, token = [*(str(value or "").strip() for value in parts.values()), ""][:3]
    return Credentials(key, secret, token or None, expires, source)


def find_unusable(credentials: Credentials) -> str:
    """Return which part a plugin has filled with what cannot be used, without the value; "" if all can be.

    Id and token are sent in headers. A secret may be any text.
    """
    for name in ("access_key_id", "access_key_secret", "security_token"):
        value: object = getattr(credentials, name)
        if value is None and name == "security_token":
            continue
        if not isinstance(value, str):
            return f"{name} is not a str but {type(value).__name__}"
        if name != "access_key_secret" and not (value.isascii() and value.isprintable()):
            return f"{name} is not printable ASCII text"
    return ""
