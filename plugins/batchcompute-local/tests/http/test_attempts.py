"""The keys of attempts as accounts."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchcompute_local.attempt_files import AttemptKeys
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Book, WatchedAccounts, ensure_credentials
from batchcompute_local.http.attempts import AttemptAccounts
from batchcompute_local.paths import Layout


def test_who_an_attempt_is(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    layout.create()
    book, keys, running = Book(layout), AttemptKeys.of(layout), {"job-1.0.0.1"}
    own, ann = ensure_credentials(layout.credentials), book.add("ann")
    accounts = AttemptAccounts(WatchedAccounts(own, layout), keys, running.__contains__)
    assert accounts.lookup(own.access_key_id) == own
    assert accounts.lookup(ann.access_key_id) == ann
    for account in (own, ann):
        key, secret = keys.make(account.owner, "job-1.0.0.1")
        found = accounts.lookup(key)
        assert found is not None
        assert (found.owner, found.access_key_id, found.access_key_secret) == (account.owner, key, secret)
    key, _ = keys.make(ann.owner, "job-1.0.0.1")
    book.enable("ann", False)
    disabled = accounts.lookup(key)
    assert disabled is not None
    assert not disabled.enabled
    book.remove("ann")
    assert accounts.lookup(key) is None
    key, _ = keys.make(own.owner, "job-1.0.0.1")
    running.clear()
    with pytest.raises(
        ServiceError, match=r"disabled: attempt job-1\.0\.0\.1, to which it belongs, has ended"
    ) as refused:
        accounts.lookup(key)
    assert (refused.value.status, refused.value.code) == (400, "InvalidAccessKeyId.Inactive")
