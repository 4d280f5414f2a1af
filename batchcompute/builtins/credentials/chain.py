"""The order in which providers are asked."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from ...config import Config, CredentialsConfig
from ...credentials import Credentials
from ...errors import ConfigError, CredentialsError
from ...hooks import CredentialProvider
from ...installing import advise
from ...messages import did_you_mean
from ...regions import Region
from .refresh import Refreshing

_log = logging.getLogger("batchcompute.credentials")
_DEFAULT = CredentialsConfig().chain


class Chain:
    """Finds credentials for the calls of one Client that was given none. Thread-safe.

    `credentials.provider` of the configuration, when it names one; else the region's own provider; else the first of
    `credentials.chain`, and then of all others, that has some. A provider that belongs to a region is asked for that region
    only. Once one has answered it stays the one: a Client never becomes somebody else.

    A Config that was made by hand (`ambient` is False) uses nothing it does not name: of the default chain only `profile`.
    """

    def __init__(
        self,
        providers: Mapping[str, CredentialProvider],
        config: Config,
        region: Region,
        regions: Iterable[Region] = (),
    ) -> None:
        """Raises ConfigError for the name of a provider that does not exist."""
        settings = config.credentials
        self._region = region.name
        self._asked: list[Refreshing] = []
        self._declined: dict[str, str] = {}
        self._chosen: Refreshing | None = None
        only = settings.provider or region.credential_provider
        if only is not None:
            self._chosen = Refreshing(find_provider(only, providers), settings)
            return
        names = list(settings.chain)
        if config.ambient:
            belonging = {other.credential_provider for other in regions}
            names += [name for name in providers if name not in names and name not in belonging]
        for name in names:
            if name not in providers and name in _DEFAULT:
                self._declined[name] = "it is not there: is the plugin blocked?"
            elif not config.ambient and settings.chain == _DEFAULT and name != "profile":
                self._declined[name] = "not asked: this Config was made by hand and does not name it"
            else:
                self._asked.append(Refreshing(find_provider(name, providers), settings))

    def get(self) -> Credentials | CredentialsError:
        """Credentials, or an error to raise: everyone was asked, and why each declined.

        Raises CredentialsError when the provider in use has none (any more), and what else it raises.
        """
        chosen = self._chosen
        if chosen is not None:
            try:
                return chosen.get()
            except CredentialsError as error:
                raise CredentialsError(
                    f"credential provider {chosen.name!r} has no credentials for region {self._region}: {error}"
                ) from error
        declined = dict(self._declined)
        for provider in self._asked:
            try:
                credentials = provider.get()
            except CredentialsError as error:
                declined[provider.name] = str(error)
            except Exception as error:  # of a plugin; its message could hold what must not be shown
                declined[provider.name] = f"it failed with {type(error).__name__}"
                kind = type(error).__name__
                _log.warning("credentials for region %s: provider %s failed with %s", self._region, provider.name, kind)
            else:
                self._chosen = provider
                _log.debug("credentials for region %s: %s, %s", self._region, provider.name, credentials.source)
                return credentials
        why = "".join(f"\n  {name}: {reason}" for name, reason in declined.items())
        return CredentialsError(
            f"no credentials for region {self._region}: pass access_key_id and access_key_secret to Client, "
            f"or let one of these have some:{why}"
        )

    def refused(self, credentials: Credentials) -> None:
        """Drop credentials that the service has refused, and tell the provider they came from."""
        if self._chosen is not None:
            self._chosen.refused(credentials)


def find_provider(name: str, providers: Mapping[str, CredentialProvider]) -> CredentialProvider:
    """Return the provider of this name. Raises ConfigError, with the nearest right name and all others."""
    if name in providers:
        return providers[name]
    hint = f"; {advise('alibabacloud')}" if name == "alibabacloud" else did_you_mean(name, providers)
    raise ConfigError(f"there is no credential provider {name!r}{hint}; there are: {', '.join(providers) or 'none'}")
