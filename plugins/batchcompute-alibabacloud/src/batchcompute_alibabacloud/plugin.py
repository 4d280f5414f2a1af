"""What this package contributes to the SDK: the credential provider `alibabacloud`.

Imported at the first Client of every program that has it installed, so it imports the library (a quarter of a second) only
when the provider is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute.hooks import CredentialProvider, RegistrationContext, Section, hookimpl
from batchcompute.schema import Checked

if TYPE_CHECKING:
    from batchcompute_alibabacloud.sources import Sources

NAME = "alibabacloud"
TYPES = ("access_key", "sts", "ecs_ram_role", "ram_role_arn", "oidc_role_arn", "rsa_key_pair", "credentials_uri")


@dataclass(frozen=True, slots=True)
class Settings(Checked):
    """The table `[alibabacloud]`. Without a `type` the environment and the files are searched (see `sources`).

    The other keys are those of the type, as the library names them. `access_key`, `sts` and `ram_role_arn` begin with the
    access key of the profile. `role_session_expiration` is seconds, at least 900.
    """

    type: str | None = field(default=None, metadata={"choices": TYPES})
    role_name: str | None = None
    disable_imds_v1: bool | None = None
    role_arn: str | None = None
    role_session_name: str | None = None
    role_session_expiration: int | None = field(default=None, metadata={"min": 900})
    policy: str | None = None
    external_id: str | None = field(default=None, repr=False)
    oidc_provider_arn: str | None = None
    oidc_token_file_path: str | None = None
    public_key_id: str | None = None
    private_key_file: str | None = None
    credentials_uri: str | None = field(default=None, repr=False)
    sts_endpoint: str | None = None


@hookimpl
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:
    """The table `[alibabacloud]`."""
    return (Section(NAME, Settings),)


@hookimpl
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:
    """`alibabacloud`."""
    return (AlibabaCloud(ctx.config.sections.get(NAME, Settings()), ctx.config),)


class AlibabaCloud:
    """The provider `alibabacloud`: whatever the official library can do (protocol 4.3, 4.4)."""

    name = NAME

    def __init__(self, settings: Settings, config: Config) -> None:
        self._settings = settings
        self._config = config
        self._sources: Sources | None = None

    def get(self) -> Credentials:
        """Raises CredentialsError."""
        if self._sources is None:
            from batchcompute_alibabacloud.sources import Sources

            self._sources = Sources(self._settings, self._config)
        return self._sources.get()
