"""Credentials of buckets elsewhere, from the credential providers of the SDK: built in, or of installed plugins.

They are those of this process: of its variables, and of the files below its HOME. The SDK's own settings are read as from a
folder without a project's file, since the service has none.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from batchcompute.credentials import Credentials, is_same_key
from batchcompute.errors import BatchComputeError, ConfigError, CredentialsError, did_you_mean
from batchcompute_local.objects.elsewhere import BucketElsewhere

if TYPE_CHECKING:
    from batchcompute.builtins.credentials.refresh import Refreshing
    from batchcompute.config import Config
    from batchcompute.hooks import CredentialProvider

_REFUSALS = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "400",
        "403",
    }
)
"""Codes of S3 for credentials that are no longer good. The numbers are the answers to HEAD, which have no code."""
_PAUSE_SECONDS = 60.0
"""Between two times that a provider hears of a refusal: a 403 may also be one that other credentials get too."""
_REMEMBERED = 10


class BucketCredentials:
    """The credentials of one bucket, by the name of their provider. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._given: deque[Credentials] = deque(maxlen=_REMEMBERED)
        self._pause_until = 0.0

    def get(self) -> Credentials:
        """Return those that are good now. Raises CredentialsError, without anything secret."""
        try:
            found = _open(self._name).get()
        except CredentialsError as error:
            raise CredentialsError(f"credential provider {self._name!r} has no credentials: {error}") from None
        except BatchComputeError as error:
            raise CredentialsError(str(error)) from None
        except Exception as error:  # of a plugin; its message could hold what must not be shown
            raise CredentialsError(f"credential provider {self._name!r} failed with {type(error).__name__}") from None
        with self._lock:
            if not self._given or self._given[-1] != found:
                self._given.append(found)
        return found

    def renew(self, error: BaseException) -> bool:
        """Return whether the store has refused the credentials and their provider has others now.

        The provider hears of it once a minute at most. Then it is asked again.
        """
        if _find_code(error) not in _REFUSALS:
            return False
        with self._lock:
            now = time.monotonic()
            if not self._given or now < self._pause_until:
                return False
            self._pause_until = now + _PAUSE_SECONDS
            refused = self._given[-1]
        try:
            _open(self._name).refused(refused)
            return not is_same_key(self.get(), refused)
        except Exception:  # the error of the store is the one to raise; the next call has that of the provider
            return False

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message may show: of the last credentials, since an open file may have earlier ones."""
        with self._lock:
            given = tuple(self._given)
        found = [(each.access_key_id, each.access_key_secret, each.security_token or "") for each in given]
        return tuple(text for each in found for text in each)


def find_unknown(buckets: Iterable[BucketElsewhere]) -> Iterator[tuple[str, bool]]:
    """Yield what is wrong with the name of a provider, and whether it is near to a right one."""
    named = [bucket for bucket in buckets if bucket.credentials]
    if not named:
        return
    from batchcompute.builtins.credentials.chain import find_provider

    try:
        known, _ = _find_providers()
    except BatchComputeError as error:  # of the settings or plugins of this user: they may be right when it is used
        yield f"no bucket can have credentials of a provider: {error}", False
        return
    for bucket in named:
        try:
            find_provider(bucket.credentials, known)
        except ConfigError as error:
            is_near = bool(did_you_mean(bucket.credentials, known))
            yield f"[buckets.{bucket.name}]: credentials: {error}", is_near


def _find_providers() -> tuple[dict[str, CredentialProvider], Config]:
    """Return the providers by name, but those of a region, which are for that region alone. Raises BatchComputeError."""
    from batchcompute.configuration import load

    hooks = load("/").hooks()
    belonging = {region.credential_provider for region in hooks.regions()}
    found = {name: each for name, each in hooks.credential_providers().items() if name not in belonging}
    return found, hooks.config


@cache
def _open(name: str) -> Refreshing:
    """Return the provider, one for all buckets of this process. Raises BatchComputeError, also again the next time."""
    from batchcompute.builtins.credentials.chain import find_provider
    from batchcompute.builtins.credentials.refresh import Refreshing

    providers, config = _find_providers()
    return Refreshing(find_provider(name, providers), config.credentials)


def _find_code(error: BaseException | None) -> str:
    """Return the code in the answer of the store; "" if the error has none."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict) and isinstance(details := response.get("Error"), dict):
            return str(details.get("Code", ""))
        error = error.__cause__
    return ""
