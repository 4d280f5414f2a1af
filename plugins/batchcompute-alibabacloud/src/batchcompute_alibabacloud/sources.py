"""Sources of credentials for the library: the one in the settings, or the first that has any."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from batchcompute.builtins.credentials.alibabacloud_file import AlibabaCloudFile
from batchcompute.builtins.credentials.aliyun_cli import AliyunCli
from batchcompute.builtins.credentials.files import switched_on
from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute.errors import CredentialsError
from batchcompute_alibabacloud import library
from batchcompute_alibabacloud.settings import Settings

# A source: the library's type, its values, and a text for messages.
Place = tuple[str, dict[str, Any], str]
# The library's fields of an INI section.
_INI_KEYS = (
    "access_key_id",
    "access_key_secret",
    "security_token",
    "role_arn",
    "role_session_name",
    "policy",
    "role_name",
    "oidc_provider_arn",
    "oidc_token_file_path",
    "public_key_id",
    "private_key_file",
)


class Sources:
    """Finds a source, and keeps the library's provider for it. A source that had credentials is used from then on."""

    def __init__(self, settings: Settings, config: Config) -> None:
        self._places: list[Callable[[], Place]] = (
            [lambda: _configured(settings, config)]
            if settings.type
            else [_oidc, self._cli, self._ini, _uri, _ecs]  # the one that needs the network comes last
        )
        self._file = AlibabaCloudFile()
        self._aliyun = AliyunCli()
        self._built: dict[str, tuple[dict[str, Any], Any]] = {}

    def get(self) -> Credentials:
        """Return the credentials. Raises CredentialsError with every source and the reason why it has none."""
        why = []
        for place in self._places:
            try:
                credentials = self._ask(*place())
            except CredentialsError as error:
                why.append(str(error))
            else:
                self._places = [place]
                return credentials
        raise CredentialsError("; ".join(why))

    def refused(self, credentials: Credentials) -> None:
        """Ask the source anew. It stays the one that is used."""
        self._built.clear()
        self._file.refused(credentials)
        self._aliyun.refused(credentials)

    def _ask(self, kind: str, values: dict[str, Any], source: str) -> Credentials:
        """Ask the provider of these values; make a new one if the values have changed."""
        built = self._built.get(source)
        if built is None or built[0] != values:
            built = self._built[source] = (values, library.build(kind, values, source))
        return library.ask(built[1], source)

    def _cli(self) -> Place:
        profile, source = self._aliyun.profile()
        mode = str(profile.get("mode") or "AK").lower()
        get = profile.get
        # The library reads another key for the session's name, starts a thread, or lacks the mode (protocol 4.4).
        if mode == "ecsramrole":
            return "ecs_ram_role", {"role_name": get("ram_role_name")}, source
        if mode == "credentialsuri":
            return "credentials_uri", {"credentials_uri": get("credentials_uri")}, source
        if mode == "oidc":
            values = {
                "role_arn": get("ram_role_arn"),
                "oidc_provider_arn": get("oidc_provider_arn"),
                "oidc_token_file_path": get("oidc_token_file"),
                "role_session_name": get("ram_session_name"),
                "role_session_expiration": get("expired_seconds"),
                "sts_endpoint": _sts_endpoint(get("sts_region")),
            }
            return "oidc_role_arn", values, source
        expires = get("sts_expiration")
        if mode == "ststoken" and isinstance(expires, (int, float)) and 0 < expires <= time.time():
            raise CredentialsError(f"{source}: the token has expired")
        # The library reads the file itself; the profile is compared to notice changes.
        values = {"profile": dict(profile), "profile_file": self._aliyun.path, "profile_name": get("name")}
        return library.CLI_PROFILE, values, source

    def _ini(self) -> Place:
        section, source = self._file.section()
        if section.get("enable", "true").lower() == "false":
            raise CredentialsError(f"{source}: it is switched off by enable = false")
        return section.get("type", ""), _set(section, _INI_KEYS), source


def _configured(settings: Settings, config: Config) -> Place:
    values = {key: value for key, value in asdict(settings).items() if key != "type" and value is not None}
    kind = str(settings.type)
    if kind in ("access_key", "sts", "ram_role_arn"):
        values |= {
            "access_key_id": config.access_key_id,
            "access_key_secret": config.access_key_secret,
            "security_token": config.security_token,
        }
    return kind, values, f"[alibabacloud] type {kind}"


def _oidc() -> Place:
    names = {
        "role_arn": "ALIBABA_CLOUD_ROLE_ARN",
        "oidc_provider_arn": "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        "oidc_token_file_path": "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    }
    for name in names.values():
        if not os.environ.get(name):
            raise CredentialsError(f"OIDC: {name} is not set")
    values = {key: os.environ[name] for key, name in names.items()}
    session = os.environ.get("ALIBABA_CLOUD_ROLE_SESSION_NAME")
    endpoint = _sts_endpoint(os.environ.get("ALIBABA_CLOUD_STS_REGION"))
    return "oidc_role_arn", {**values, "role_session_name": session, "sts_endpoint": endpoint}, "OIDC"


def _uri() -> Place:
    uri = os.environ.get("ALIBABA_CLOUD_CREDENTIALS_URI")
    if not uri:
        raise CredentialsError("credentials URI: ALIBABA_CLOUD_CREDENTIALS_URI is not set")
    return "credentials_uri", {"credentials_uri": uri}, "credentials URI"


def _ecs() -> Place:
    if switched_on("ALIBABA_CLOUD_ECS_METADATA_DISABLED"):
        raise CredentialsError("ECS role: it is switched off by ALIBABA_CLOUD_ECS_METADATA_DISABLED=true")
    v1 = switched_on("ALIBABA_CLOUD_IMDSV1_DISABLED")
    return (
        "ecs_ram_role",
        {"role_name": os.environ.get("ALIBABA_CLOUD_ECS_METADATA"), "disable_imds_v1": v1},
        "ECS role",
    )


def _sts_endpoint(region: str | None) -> str:
    prefix = "sts-vpc" if switched_on("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED") else "sts"
    return f"{prefix}.{region}.aliyuncs.com" if region else "sts.aliyuncs.com"


def _set(section: Mapping[str, str], keys: tuple[str, ...]) -> dict[str, str]:
    return {key: section[key] for key in keys if section.get(key)}
