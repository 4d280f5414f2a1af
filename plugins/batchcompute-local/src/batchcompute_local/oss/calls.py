"""One request, as the operations see it, and an answer."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar
from urllib.parse import unquote_plus, unquote_to_bytes

from starlette.requests import Request

from batchcompute_local.http.accounts import Account
from batchcompute_local.objects.content import Content
from batchcompute_local.objects.multipart import Uploads
from batchcompute_local.objects.names import is_bucket
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.store import Store
from batchcompute_local.oss.bodies import Incoming
from batchcompute_local.oss.errors import OssError, invalid
from batchcompute_local.oss.signatures import Signed

P = ParamSpec("P")
T = TypeVar("T")
_MOST_HEADERS = 100
_MOST_PARAMETERS = 100
_MAY_REPEAT = frozenset({"accept", "accept-encoding", "cache-control", "via", "connection", "te", "cookie"})
_CLOUD = re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9-]*)\.)?oss[-.a-z0-9]*\.aliyuncs\.com")


@dataclass(frozen=True)
class Answer:
    """An answer: a body, or `size` bytes of the open `content` from `offset` on. Who sends it closes the content."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Content | None = None
    offset: int = 0
    size: int = 0
    bucket: str = ""


@dataclass(frozen=True)
class Call:
    """A request whose signature is right. Names of parameters are as sent, those of headers in lower case.

    `store` is that of the bucket.
    """

    signed: Signed
    account: Account
    body: Incoming
    store: Store
    uploads: Uploads
    threads_for: Callable[[str], Executor]
    host: str

    @property
    def bucket(self) -> str:
        """The bucket; empty for none."""
        return self.signed.bucket

    @property
    def key(self) -> str:
        """The key; empty for none."""
        return self.signed.key

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self.signed.headers

    @property
    def parameters(self) -> Mapping[str, str]:
        """The parameters of the URL."""
        return self.signed.parameters

    @property
    def threads(self) -> Executor:
        """The threads for the bucket."""
        return self.threads_for(self.bucket)

    async def run(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Run a function that waits for the bucket in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(function, *arguments, **named))

    async def discard(self, part: Part) -> None:
        """Discard a part in a thread: to remove a large file takes the disk a while."""
        await asyncio.shield(self.run(part.discard))

    async def run_copy(self, source: str, function: Callable[[], T]) -> T:
        """Run a function that waits for the bucket `source` too in a thread: one of a bucket elsewhere, if either is."""
        threads = self.threads_for(source if source in self.store.elsewhere else self.bucket)
        return await asyncio.get_running_loop().run_in_executor(threads, function)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """Return a parameter that is a whole number. Raises OssError InvalidArgument."""
        return read_number(name, self.parameters.get(name) or str(default), least, most)

    def flag(self, name: str) -> bool:
        """Return a header that is true or false; false if absent. Raises OssError InvalidArgument."""
        value = self.headers.get(name, "false").lower()
        if value not in ("true", "false"):
            raise invalid(name, value, "true or false")
        return value == "true"


def read_number(name: str, text: str, least: int, most: int) -> int:
    """Return a whole number. Raises OssError InvalidArgument."""
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and least <= int(text) <= most):
        raise invalid(name, text, f"a whole number from {least} to {most}")
    return int(text)


def read_signed(request: Request, names: Collection[str]) -> Signed:
    """Return what is signed of a request; `names` are the host names of the endpoint. Raises OssError."""
    scope = request.scope
    headers: dict[str, str] = {}
    for count, (raw, value) in enumerate(scope["headers"]):
        name = raw.decode("latin-1")
        if count >= _MOST_HEADERS:
            raise OssError("BadRequest", f"At most {_MOST_HEADERS} headers are allowed.")
        if name in headers and name not in _MAY_REPEAT:
            raise OssError("InvalidArgument", f"Header {name[:60]} was sent more than once.")
        headers[name] = value.decode("latin-1")
    path = _text(scope["raw_path"].decode("latin-1"))
    parameters: dict[str, str] = {}
    query = scope["query_string"].decode("latin-1")
    for pair in query.split("&") if query else ():
        raw_name, _, raw_value = pair.partition("=")
        name = unquote_plus(raw_name)
        if name in parameters or len(parameters) >= _MOST_PARAMETERS:
            raise OssError(
                "InvalidArgument", f"Parameter {name[:60]!r} was sent more than once, or there are too many."
            )
        parameters[name] = unquote_plus(raw_value)
    bucket, key = split_target(headers.get("host", ""), path.removeprefix("/"), names)
    return Signed(request.method, bucket, key, parameters, headers)


def split_target(host: str, path: str, names: Collection[str]) -> tuple[str, str]:
    """Return bucket and key: the bucket is in the path, or in front of one of the endpoint's own names."""
    name = host.lower().rpartition("]")[0] or host.lower().rpartition(":")[0] or host.lower()
    for own in ("localhost", *names):
        if name == own.lower():
            break
        if name.endswith(f".{own.lower()}"):
            return name.removesuffix(f".{own.lower()}"), path
    else:
        cloud = _CLOUD.fullmatch(name)
        if cloud and cloud["bucket"]:
            return cloud["bucket"], path
        bucket, _, address = name.partition(".")
        if not _is_address(name) and is_bucket(bucket) and _is_address(address):
            return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(raw: str) -> str:
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise OssError("InvalidObjectName", "The path is not UTF-8.") from None


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """Return a time as in the header Last-Modified."""
    return formatdate(seconds, usegmt=True)


def iso_date(seconds: int) -> str:
    """Return a time as in XML."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))
