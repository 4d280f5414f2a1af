"""The provider `alibabacloud-file`: the INI file that Alibaba Cloud's SDKs share (protocol 4.2)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...credentials import Credentials, found
from ...errors import CredentialsError
from ...messages import did_you_mean
from .files import Watched, home_file, name_plugin

_TYPES = ("access_key", "sts")
_REMOTE_TYPES = ("ecs_ram_role", "ram_role_arn", "oidc_role_arn", "rsa_key_pair")
Sections = dict[str, dict[str, str]]


class AlibabaCloudFile:
    """ALIBABA_CLOUD_CREDENTIALS_FILE, else ~/.alibabacloud/credentials, else credentials.ini there.

    The section is ALIBABA_CLOUD_PROFILE, else `default`; the first file that has it counts. Its type is access_key or sts.
    """

    name = "alibabacloud-file"

    def __init__(self) -> None:
        self._files = Watched(_parse)

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        return _credentials(*self.section())

    def refused(self, credentials: Credentials) -> None:
        """Read the files anew."""
        self._files.forget()

    def section(self) -> tuple[Mapping[str, str], str]:
        """Return the section in use, whatever its type, and where it stands. Raises CredentialsError."""
        named = os.environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
        folder = home_file(".alibabacloud")
        paths = [named] if named else [os.path.join(folder, name) for name in ("credentials", "credentials.ini")]
        profile = os.environ.get("ALIBABA_CLOUD_PROFILE") or "default"
        why = []
        for path in paths:
            try:
                sections = self._files.read(path)
            except CredentialsError as error:
                why.append(str(error))
                continue
            if profile in sections:
                return sections[profile], f"{path}, profile {profile!r}"
            why.append(f"{path} has no profile {profile!r}{did_you_mean(profile, sections)}")
        raise CredentialsError("; ".join(why))


def _parse(text: str) -> Sections:
    """Values are taken as they stand: no interpolation, no comments behind them, or a secret could lose its end."""
    import configparser

    parser = configparser.RawConfigParser(default_section="", inline_comment_prefixes=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.ParsingError as error:  # its message would show the line
        line = error.lineno if isinstance(error, configparser.MissingSectionHeaderError) else error.errors[0][0]
        raise CredentialsError(f"line {line} is neither [profile] nor key = value, or has no [profile] above") from None
    except configparser.Error as error:
        raise CredentialsError(f"not an INI file ({type(error).__name__})") from None
    return {section: {key: value.strip() for key, value in parser.items(section)} for section in parser.sections()}


def _credentials(section: Mapping[str, str], source: str) -> Credentials:
    kind = section.get("type", "")
    if section.get("enable", "true").lower() == "false":
        raise CredentialsError(f"{source}: it is switched off by enable = false")
    if kind in _REMOTE_TYPES:
        raise CredentialsError(f"{source}: type {kind} {name_plugin()}")
    if kind not in _TYPES:
        known = (*_TYPES, *_REMOTE_TYPES)
        what = f"type is {kind!r}{did_you_mean(kind, known)}" if kind else "type is missing"
        raise CredentialsError(f"{source}: {what}; allowed: {', '.join(known)}")
    names = ["access_key_id", "access_key_secret"]
    if kind == "sts":
        names.append("security_token")
        if not section.get("security_token"):
            raise CredentialsError(f"{source}: security_token is missing, which type sts has")
    return found(source, {name: section.get(name) for name in names})
