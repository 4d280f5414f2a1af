"""The access keys of running attempts, as accounts: a program acts as the account that submitted its job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Account, WatchedAccounts


class AttemptAccounts:
    """`accounts`, and the keys of attempts. `runs` tells whether an attempt is running."""

    def __init__(self, accounts: WatchedAccounts, keys: AttemptKeys, runs: Callable[[str], bool]) -> None:
        self._accounts = accounts
        self._keys = keys
        self._runs = runs

    def lookup(self, access_key_id: str) -> Account | None:
        """Return the account with this key; None if absent. Raises ServiceError for the key of an attempt that does not run."""
        found = self._keys.parse(access_key_id)
        if found is None:
            return self._accounts.lookup(access_key_id)
        owner, attempt = found
        account = self._accounts.find_owner(owner)
        if account is None:
            return None
        if not self._runs(attempt):
            text = f"Specified access key is disabled: attempt {attempt}, to which it belongs, has ended."
            raise ServiceError(400, "InvalidAccessKeyId.Inactive", text)
        key, secret = self._keys.make(owner, attempt)
        return replace(account, access_key_id=key, access_key_secret=secret, attempt=attempt)
