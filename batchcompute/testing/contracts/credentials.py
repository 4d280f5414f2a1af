"""The contract of credential providers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ...credentials import Credentials
from ...errors import CredentialsError
from ...hooks import CredentialProvider


class CredentialProviderContract:
    """What every credential provider keeps to. A subclass gives one that has credentials:

    class TestMyProvider(CredentialProviderContract):
        @pytest.fixture
        def provider(self, monkeypatch):
            return MyProvider(...)

    and, where it can have none, `empty_provider`: one that has none.
    """

    @pytest.fixture
    def provider(self) -> CredentialProvider:
        """A provider that has credentials."""
        raise NotImplementedError

    @pytest.fixture
    def empty_provider(self) -> CredentialProvider:
        """A provider that has none."""
        pytest.skip("this provider always has credentials")

    def test_it_has_a_name(self, provider: CredentialProvider) -> None:
        assert isinstance(provider.name, str)
        assert provider.name

    def test_it_gives_a_usable_key(self, provider: CredentialProvider) -> None:
        found = provider.get()
        assert isinstance(found, Credentials)
        for name in ("access_key_id", "access_key_secret"):
            value = getattr(found, name)
            # never show the value: this is somebody's own key
            assert isinstance(value, str) and value, f"{name} is empty"  # noqa: PT018  # one message for both
            assert _is_plain(value), f"{name} is not printable ASCII without spaces around it"
        token = found.security_token
        assert token is None or (token and _is_plain(token)), "security_token is neither None nor usable"

    def test_it_does_not_give_what_has_expired(self, provider: CredentialProvider) -> None:
        expires = provider.get().expires
        assert expires is None or expires > time.time()

    def test_it_says_where_they_came_from(self, provider: CredentialProvider) -> None:
        assert provider.get().source

    def test_no_secret_is_shown(self, provider: CredentialProvider) -> None:
        found = provider.get()
        shown = [repr(provider), str(provider), provider.name, repr(found), str(found), found.source]
        for secret in (found.access_key_secret, found.security_token):
            assert not secret or not any(secret in text for text in shown), "a repr or the source shows a secret"

    def test_it_can_be_asked_again_after_a_refusal(self, provider: CredentialProvider) -> None:
        refused = getattr(provider, "refused", None)  # a provider need not have it
        if refused is not None:
            found = provider.get()
            refused(found)
            refused(found)  # nothing to drop any more
        assert isinstance(provider.get(), Credentials)

    def test_it_is_thread_safe(self, provider: CredentialProvider) -> None:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: provider.get(), range(64)))
        assert all(isinstance(one, Credentials) for one in found)

    def test_without_credentials_it_raises_credentials_error(self, empty_provider: CredentialProvider) -> None:
        with pytest.raises(CredentialsError) as caught:
            empty_provider.get()
        assert str(caught.value), "the error does not say why"


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()
