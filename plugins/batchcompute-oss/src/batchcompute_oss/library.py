"""The official library as we use it: our settings, credentials and proxies, and our errors for its own.

Its errors hold whole answers with headers, so none is ever the cause or the context of one of ours.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import alibabacloud_oss_v2 as oss
import requests
from alibabacloud_oss_v2.transport import RequestsHttpClient
from requests.adapters import HTTPAdapter

from batchcompute.builtins.proxies import proxy_of
from batchcompute.config import Config, TransportConfig
from batchcompute.credentials import Credentials
from batchcompute.errors import (
    BatchComputeError,
    ConnectError,
    DecodeError,
    RequestTimeoutError,
    ResponseLostError,
    client_error,
)
from batchcompute.wire import Endpoint
from batchcompute_oss.settings import Settings

T = TypeVar("T")

_CLOUD = ".aliyuncs.com"
_ABSENT = ("NoSuchKey", "NoSuchBucket")
_NO_XML = "BadErrorResponse"
"""What the library makes of an answer without OSS's XML: one to HEAD has it in a header, which a gateway may drop."""


def is_cloud(endpoint: str) -> bool:
    """Whether a URL is OSS itself, which has the bucket in front of its host."""
    return (urlsplit(endpoint).hostname or "").endswith(_CLOUD)


def open_client(
    endpoint: str, settings: Settings, region: str, config: Config, find_credentials: Callable[[], Credentials]
) -> Any:
    """Make the library's client. It repeats nothing: `Calls` does, by the retry policy of the Client."""
    path_style = settings.path_style if settings.path_style is not None else not is_cloud(endpoint)
    transport = config.transport
    return oss.Client(
        oss.config.Config(
            region=settings.region or region,
            endpoint=endpoint,
            signature_version="v4",
            credentials_provider=_Provider(find_credentials),
            retryer=oss.retry.NopRetryer(),
            retry_max_attempts=1,
            http_client=_http(endpoint, transport),
            readwrite_timeout=transport.read_timeout,
            use_path_style=path_style,
        )
    )


class _Provider(oss.credentials.CredentialsProvider):  # type: ignore[misc]  # the library has no types
    """The credentials of the Client, asked for before each attempt."""

    def __init__(self, find: Callable[[], Credentials]) -> None:
        self._find = find

    def get_credentials(self) -> Any:
        found = self._find()
        return oss.credentials.Credentials(found.access_key_id, found.access_key_secret, found.security_token or None)


def _http(endpoint: str, transport: TransportConfig) -> Any:
    """Return connections that read nothing from the environment: a line of .netrc would replace our signature."""
    parts = urlsplit(endpoint)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    proxy = proxy_of(Endpoint(parts.scheme, parts.hostname or "", port, "", ""), transport)
    session = requests.Session()
    session.trust_env = False
    bundle = os.path.expanduser(transport.ca_bundle) if transport.ca_bundle else None
    session.mount(f"{parts.scheme}://", _Adapter(bundle, proxy, transport.pool_size))
    return RequestsHttpClient(
        session=session, connect_timeout=transport.connect_timeout, readwrite_timeout=transport.read_timeout
    )


class _Adapter(HTTPAdapter):  # type: ignore[misc]  # requests has no types
    """Connections with our CA bundle and proxy."""

    def __init__(self, bundle: str | None, proxy: str | None, size: int) -> None:
        self._bundle, self._proxy = bundle, proxy
        super().__init__(pool_connections=1, pool_maxsize=size)

    def send(self, request: Any, **how: Any) -> Any:
        if self._bundle is not None:
            how["verify"] = self._bundle
        if self._proxy is not None:
            how["proxies"] = {"http": self._proxy, "https": self._proxy}
        return super().send(request, **how)


def ask(uri: str, work: Callable[[], T]) -> T:
    """Do `work` on an object. Raises our errors for the library's; FileNotFoundError if absent, ValueError for a bad name."""
    try:
        return work()
    except (oss.exceptions.BaseError, requests.RequestException) as error:
        found = _explain(_innermost(error), uri)
    raise found  # outside of except, so that the library's error is not its context


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, oss.exceptions.BaseError) and isinstance(getattr(error, "_error", None), BaseException):
        error = error._error
    if isinstance(error, oss.exceptions.CredentialsFetchError):
        return error.kwargs["error"]  # type: ignore[no-any-return]  # the library has no types
    return error


def _explain(error: BaseException, uri: str) -> Exception:
    if isinstance(error, BatchComputeError):  # of the credentials
        return error
    if isinstance(error, oss.exceptions.ServiceError):
        if error.code in _ABSENT:
            what = "bucket" if error.code == "NoSuchBucket" else "object"
            return FileNotFoundError(f"there is no {what} {uri if what == 'object' else _bucket_of(uri)}")
        if error.status_code == 404 and error.code == _NO_XML:
            return FileNotFoundError(f"there is no object or bucket {uri}")
        message = f"{error.message or 'the answer has no message'} ({uri})"
        return client_error(error.status_code, error.code or "", message, error.request_id or "")
    if isinstance(error, oss.exceptions.InconsistentError):
        return damaged(uri)
    if isinstance(error, oss.exceptions.BucketNameInvalidError):
        return ValueError(f"{uri!r} has no usable bucket name: 3 to 63 lower case letters, digits and hyphens")
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return ConnectError(f"{uri}: no connection to OSS ({type(error).__name__})")
    if isinstance(error, requests.ReadTimeout):
        return RequestTimeoutError(f"{uri}: OSS did not answer in time")
    if isinstance(error, requests.RequestException):
        refused = "NewConnectionError" in repr(error) or "NameResolutionError" in repr(error)
        kind = ConnectError if refused else ResponseLostError
        return kind(
            f"{uri}: {'no connection to' if refused else 'the connection broke to'} OSS ({type(error).__name__})"
        )
    return DecodeError(f"{uri}: OSS and the library do not understand each other ({type(error).__name__})")


def damaged(uri: str) -> ResponseLostError:
    """Make the error of a body that did not arrive as it was sent."""
    return ResponseLostError(f"{uri}: the content changed on its way, its CRC64 is another one")


def _bucket_of(uri: str) -> str:
    return "/".join(uri.split("/")[:3])
