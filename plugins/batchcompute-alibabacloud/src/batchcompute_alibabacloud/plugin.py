"""What this package contributes to the SDK: the credential provider `alibabacloud`.

Imported at the first Client of every program that has it installed, so it imports the library (a quarter of a second) only
when the provider is asked.
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
