"""The provider `aliyun-cli`: the profiles of the command line program `aliyun` (protocol 4.2)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ...credentials import Credentials, found
from ...errors import CredentialsError
from ...messages import did_you_mean, shorten
from .files import Watched, home_file, name_plugin, switched_on

_DISABLED = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED"
_MODES = ("AK", "StsToken", "External")
# What the official library, behind the plugin, can do of this file (protocol 4.4).
_REMOTE_MODES = ("EcsRamRole", "RamRoleArn", "ChainableRamRoleArn", "OIDC", "CloudSSO", "OAuth")


class AliyunCli:
    """~/.aliyun/config.json: the profile ALIBABA_CLOUD_PROFILE, else the current one; modes AK, StsToken and External.

    The process of mode External is run again when what it gave is about to expire or was refused, and when the profile
    has changed.
    """

    name = "aliyun-cli"

    def __init__(self) -> None:
        self._files = Watched(_parse)
        self._lasting: tuple[str, Credentials] | None = None  # what a process gave that does not expire

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        return self._credentials(*self.profile())

    def refused(self, credentials: Credentials) -> None:
        """Read the file anew, and run the process of mode External again."""
        self._files.forget()
        self._lasting = None

    def profile(self) -> tuple[Mapping[str, Any], str]:
        """Return the profile in use, whatever its mode, and where it stands. Raises CredentialsError."""
        if switched_on(_DISABLED):
            raise CredentialsError(f"it is switched off by {_DISABLED}=true")
        path = self.path
        profiles, current = self._files.read(path)
        name = os.environ.get("ALIBABA_CLOUD_PROFILE") or current
        if name not in profiles:
            raise CredentialsError(f"{path} has no profile {name!r}{did_you_mean(name, profiles)}")
        return profiles[name], f"{path}, profile {name!r}"

    @property
    def path(self) -> str:
        """Path of the file."""
        return home_file(".aliyun", "config.json")

    def _credentials(self, profile: Mapping[str, Any], source: str) -> Credentials:
        given = profile.get("mode") or "AK"
        folded = str(given).lower()
        names = ("access_key_id", "access_key_secret")
        if folded == "ak":
            return found(source, {name: profile.get(name) for name in names})
        if folded == "ststoken":
            if not profile.get("sts_token"):
                raise CredentialsError(f"{source}: sts_token is missing, which mode StsToken has")
            expires = profile.get("sts_expiration")
            lasts = isinstance(expires, bool) or not isinstance(expires, (int, float)) or expires <= 0
            parts = {name: profile.get(name) for name in (*names, "sts_token")}
            return found(source, parts, None if lasts else expires)
        if folded == "external":
            return self._external(profile.get("process_command"), source)
        if folded in map(str.lower, _REMOTE_MODES):
            raise CredentialsError(f"{source}: mode {given} {name_plugin()}")
        known = (*_MODES, *_REMOTE_MODES)
        hint = did_you_mean(given, known)
        raise CredentialsError(f"{source}: mode {shorten(given)} cannot be used{hint}; allowed: {', '.join(known)}")

    def _external(self, command: object, source: str) -> Credentials:
        if not isinstance(command, str) or not command.strip():
            raise CredentialsError(f"{source}: process_command is missing, which mode External has")
        lasting = self._lasting
        if lasting is not None and lasting[0] == command:
            return lasting[1]
        from .process import run

        credentials = run(command, f"{source}, process_command")
        self._lasting = (command, credentials) if credentials.expires is None else None
        return credentials


def _parse(text: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Return the profiles by name, and the name of the current one."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CredentialsError(f"not JSON: {error}") from None  # json's messages show no content
    profiles = config.get("profiles") if isinstance(config, dict) else None
    if not isinstance(profiles, list):
        raise CredentialsError("not a configuration of the aliyun CLI: it has no list of profiles")
    named = {str(item.get("name")): item for item in profiles if isinstance(item, dict)}
    return named, str(config.get("current") or "default")
