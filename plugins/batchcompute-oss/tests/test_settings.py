"""The table `[oss]`."""

from __future__ import annotations

import pytest
from batchcompute_oss.settings import Settings

from batchcompute import ConfigError


@pytest.mark.parametrize("url", ["https://oss.example.com", "http://127.0.0.1:8080/", "http://[::1]:80"])
def test_an_endpoint_is_a_url(url: str) -> None:
    assert Settings(endpoint=url).endpoint == url


@pytest.mark.parametrize(
    "url", ["oss.example.com", "ftp://oss.example.com", "http://", "http://h:99999", "http://h/bucket", "http://h?a=b"]
)
def test_another_text_is_refused_with_what_is_allowed(url: str) -> None:
    with pytest.raises(ConfigError, match=r"oss\.endpoint must be a URL of scheme http or https") as caught:
        Settings(endpoint=url)
    assert repr(url) in str(caught.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(endpoint="http://user:a-secret@oss.example.com")
    assert "a-secret" not in str(caught.value)
