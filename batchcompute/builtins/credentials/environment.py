"""The providers `environment` and `profile`."""

from __future__ import annotations

import os

from ...config import Config
from ...credentials import Credentials, found
from ...errors import ConfigError, CredentialsError

# The second and third are further spellings that the aliyun CLI accepts (protocol 4.1). Its last one, a bare ACCESS_KEY_ID, is
# left out: other services use that name too, and their keys are not to be sent to this one.
_PREFIXES = ("ALIBABA_CLOUD_", "ALIBABACLOUD_", "ALICLOUD_")
_PARTS = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN")


class Environment:
    """Provider `environment`: ALIBABA_CLOUD_ACCESS_KEY_ID, _ACCESS_KEY_SECRET and _SECURITY_TOKEN (protocol 4.1).

    Spellings are never mixed: the first with an id or a secret counts. Read anew each time.
    """

    name = "environment"

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        for prefix in _PREFIXES:
            parts = {prefix + part: os.environ.get(prefix + part) for part in _PARTS}
            if any(value for name, value in parts.items() if "_KEY_" in name):
                return found("environment variables", parts)
        raise CredentialsError(f"{_PREFIXES[0]}{_PARTS[0]} is not set")


class Profile:
    """Provider `profile`: the access key of our own configuration's profile.

    Files and variables are read again after the service has refused the key. It stays the key of the same profile.
    """

    name = "profile"

    def __init__(self, config: Config) -> None:
        self._config = config
        self._is_refused = False

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        if self._is_refused:
            self._config = _read_again(self._config)
            self._is_refused = False
        config = self._config
        if not config.access_key_id and not config.access_key_secret:
            raise CredentialsError(f"profile {config.profile!r} has no access_key_id")
        parts = {
            "access_key_id": config.access_key_id,
            "access_key_secret": config.access_key_secret,
            "security_token": config.security_token,
        }
        return found(f"profile {config.profile!r}", parts)

    def refused(self, credentials: Credentials) -> None:
        """Have files and variables read again."""
        self._is_refused = True


def _read_again(config: Config) -> Config:
    """Raises CredentialsError for what cannot be read, and if another profile was chosen meanwhile."""
    if config.reread is None:
        return config
    try:
        fresh = config.reread()
    except ConfigError as error:
        raise CredentialsError(str(error)) from None
    if fresh.profile != config.profile:
        raise CredentialsError(f"the profile is now {fresh.profile!r}; this Client has that of {config.profile!r}")
    return fresh
