"""The plugin for the SDK: the credential provider `alibabacloud`.

Every program with this package installed imports it at its first Client. So it imports the library (a quarter of a second)
only when the provider is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute.hooks import CredentialProvider, RegistrationContext, Section, hookimpl
from batchcompute_alibabacloud.settings import NAME, Settings

if TYPE_CHECKING:
    from batchcompute_alibabacloud.sources import Sources


@hookimpl
def register_settings(ctx: RegistrationContext) -> Iterable[Section]:
    """Register the table `[alibabacloud]`."""
    return (Section(NAME, Settings),)


@hookimpl
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:
    """Register the provider `alibabacloud`."""
    return (AlibabaCloud(ctx.config.sections.get(NAME, Settings()), ctx.config),)


class AlibabaCloud:
    """The provider `alibabacloud`: credentials of the official library (protocol 4.3, 4.4)."""

    name = NAME

    def __init__(self, settings: Settings, config: Config) -> None:
        self._settings = settings
        self._config = config
        self._sources: Sources | None = None

    def get(self) -> Credentials:
        """Return the credentials. Raises CredentialsError."""
        if self._sources is None:
            from batchcompute_alibabacloud.sources import Sources

            self._sources = Sources(self._settings, self._config)
        return self._sources.get()

    def refused(self, credentials: Credentials) -> None:
        """Drop what the library keeps of these credentials."""
        if self._sources is not None:
            self._sources.refused(credentials)
