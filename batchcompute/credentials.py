"""Credentials as a value. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from .errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, with a security token when it is a temporary one (facts 3.1).

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
    """The credentials given to a Client, None when none were. Raises ConfigError when a part is missing or unusable."""
    given = {
        "access_key_id": access_key_id,
        "access_key_secret": access_key_secret,
        "security_token": security_token,
    }
    if not any(given.values()):
        return None
    for name, value in given.items():
        if not value and name != "security_token":
            raise ConfigError(f"{name} is missing: an access key has an id and a secret")
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} must be a str, not {type(value).__name__}")
        if value and not (value.isascii() and value.strip().isprintable()):
            raise ConfigError(f"{name} must be printable ASCII text")  # never show the value
    if access_key_id is None or access_key_secret is None:  # never: checked above; said for the type checker
        return None
    token = security_token.strip() if security_token else None
    return Credentials(access_key_id.strip(), access_key_secret.strip(), token, source="arguments")
