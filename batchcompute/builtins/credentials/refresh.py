"""Temporary credentials, kept until it is time to replace them."""

from __future__ import annotations

import logging
import os
import threading
import time

from ...config import CredentialsConfig
from ...credentials import Credentials, find_unusable, is_same_key
from ...errors import CredentialsError, PluginError
from ...hooks import CredentialProvider

_log = logging.getLogger("batchcompute.credentials")

# Between two attempts to replace credentials that are still good.
_PAUSE_SECONDS = 60.0


class Refreshing:
    """A provider whose temporary credentials are kept. Thread-safe; the provider is called by one thread at a time.

    Until `refresh_before` seconds are left they are used as they are. Then one thread at a time tries to replace them and
    the others go on with them, as does that thread when it fails. With less than `refresh_at_latest` seconds left all
    wait for new ones, and a failure raises. Credentials that do not expire are asked for each time. Those that the service
    has refused are dropped, whenever they expire.
    """

    def __init__(self, provider: CredentialProvider, settings: CredentialsConfig) -> None:
        self.name = provider.name
        self._provider = provider
        self._before = settings.refresh_before
        self._at_latest = settings.refresh_at_latest
        self._held: Credentials | None = None
        self._pause_until = 0.0
        self._failures = 0
        self._failure: CredentialsError | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()

    def get(self) -> Credentials:
        """Raises what the provider raises: CredentialsError when it has none."""
        failures = self._failures
        held = self._held
        if held is None or held.expires is None:
            return self._replaced(failures)
        now = time.time()
        left = held.expires - now
        if left > self._before:
            return held
        if left <= self._at_latest:
            return self._replaced(failures)
        if now < self._pause_until <= now + _PAUSE_SECONDS or not self._of_this_process().acquire(blocking=False):
            return held
        try:
            return self._tried(held, now)
        finally:
            self._lock.release()

    def refused(self, credentials: Credentials) -> None:
        """Drop what the provider gave last if the service has refused it, and tell the provider; of many threads the first."""
        with self._of_this_process():
            if self._held is None or not is_same_key(self._held, credentials):
                return
            self._held = None
            _log.info(
                "credential provider %s: the service has refused its credentials from %s", self.name, credentials.source
            )
            tell = getattr(self._provider, "refused", None)
            if tell is not None:
                tell(credentials)

    def _tried(self, held: Credentials, now: float) -> Credentials:
        """Return new credentials, or the old ones: the advisory window. The lock is held."""
        self._pause_until = now + _PAUSE_SECONDS
        try:
            return self._fetched()
        except Exception as error:
            # Of a foreign error the type only: its message could hold what must not be logged.
            why = str(error) if isinstance(error, CredentialsError) else type(error).__name__
            _log.warning("credential provider %s could not replace its credentials yet: %s", self.name, why)
            return held

    def _replaced(self, failures: int) -> Credentials:
        """Return new credentials: the mandatory window. Those who waited share the outcome instead of trying one by one."""
        with self._of_this_process():
            held = self._held
            if held is not None and held.expires is not None and held.expires - time.time() > self._at_latest:
                return held
            if self._failure is not None and self._failures > failures:
                raise CredentialsError(str(self._failure))
            try:
                return self._fetched()
            except CredentialsError as error:
                self._failures, self._failure = self._failures + 1, error
                raise

    def _fetched(self) -> Credentials:
        fresh = self._provider.get()
        if not isinstance(fresh, Credentials):
            raise PluginError(
                f"credential provider {self.name!r} answered {type(fresh).__name__}, expected Credentials"
            )
        wrong = find_unusable(fresh)
        if wrong:
            raise PluginError(f"credential provider {self.name!r} answered Credentials whose {wrong}")
        if fresh.expires is not None and fresh.expires <= time.time():
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(fresh.expires))
            raise CredentialsError(f"{fresh.source or 'they'}: expired at {at}")
        if fresh.expires is not None and fresh != self._held:
            _log.debug("credential provider %s: new temporary credentials from %s", self.name, fresh.source)
        self._held, self._failure = fresh, None
        return fresh

    def _of_this_process(self) -> threading.Lock:
        """Return the lock; a new one in a forked child, where the thread that held it does not exist."""
        if self._process != os.getpid():
            self._lock, self._process = threading.Lock(), os.getpid()
        return self._lock
