"""The contract of signers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from ...config import Config
from ...credentials import Credentials
from ...errors import CredentialsError
from ...hooks import AttemptContext, CallContext
from ...operations import OPERATIONS, Operation
from ...regions import Region
from ...wire import Request

_KEY = Credentials("testid", "canary-secret-3f9b", source="contract")
_TOKEN = "canary-token-7a1c"  # noqa: S105  # no secret
_FRAMING = {"accept", "connection", "content-length", "content-type", "host", "transfer-encoding"}


def signature_is_right(method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
    """Whether the Authorization header is the ROA signature of the other headers (protocol 1.4), by an own computation."""
    named = {name.lower(): value for name, value in headers.items()}
    text = "".join(
        [method, "\n", *(named.get(name, "") + "\n" for name in ("accept", "content-md5", "content-type", "date"))]
        + [f"{name}:{named[name]}\n" for name in sorted(named) if name.startswith("x-acs-")]
        + [target]
    )
    mac = hmac.new(credentials.access_key_secret.encode(), text.encode(), hashlib.sha1)
    expected = f"acs {credentials.access_key_id}:{base64.b64encode(mac.digest()).decode()}"
    return hmac.compare_digest(named.get("authorization", "").encode(), expected.encode())


class SignerContract:
    """What every implementation of the hook `sign_request` keeps to. A subclass gives it:

    class TestMySigner(SignerContract):
        def sign(self, ctx):
            return my_plugin.sign_request(ctx)

    A signature that is not the ROA one of protocol 1.4 brings its own `verify`. One that needs no credentials of the SDK sets
    `needs_credentials = False`; one that does not depend on the request, as a bearer token does not, `covers_request = False`.
    """

    needs_credentials = True
    covers_request = True

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        """The hook to check."""
        raise NotImplementedError

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        """Whether a request, with all of its headers, is signed rightly, as the service would see it."""
        return signature_is_right(method, target, headers, credentials)

    # --- helpers

    def _context(self, name: str = "create_job", credentials: Credentials | None = _KEY) -> AttemptContext:
        operation = OPERATIONS[name]
        region = Region("cn-qingdao", "service.invalid")
        headers = {"accept": "application/json", "content-type": "application/json", "x-acs-tenant": "t-1"}
        request = Request(operation.method, operation.target("job-1"), headers, _body(operation), region.endpoint)
        call = CallContext(operation, region, Config(), request, credentials)
        return AttemptContext(call, 1, request, region.endpoint, credentials)

    def _signed(self, ctx: AttemptContext) -> dict[str, str]:
        added = self.sign(ctx)
        assert added is not None, "sign_request declined"
        return {name.lower(): value for name, value in {**ctx.request.headers, **added}.items()}

    @pytest.fixture
    def covering(self) -> None:
        """For what only a signature over the request can promise."""
        if not self.covers_request:
            pytest.skip("this signature does not depend on the request")

    # --- the contract

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_every_operation_is_signed_rightly(self, name: str) -> None:
        ctx = self._context(name)
        assert self.verify(ctx.request.method, ctx.request.target, self._signed(ctx), _KEY)

    @pytest.mark.parametrize(
        "change",
        [
            lambda method, target, headers: ("DELETE", target, headers),
            lambda method, target, headers: (method, target + "-2", headers),
            lambda method, target, headers: (method, target + "?Action=Stop", headers),
            lambda method, target, headers: (method, target, headers | {"x-acs-tenant": "t-2"}),
            lambda method, target, headers: (method, target, headers | {"x-acs-more": "1"}),
            lambda method, target, headers: (method, target, headers | {"content-type": "text/html"}),
        ],
        ids=["method", "target", "query", "x-acs-header", "further x-acs-header", "content-type"],
    )
    @pytest.mark.usefixtures("covering")
    def test_what_is_signed_cannot_be_changed(self, change: Callable[..., Any]) -> None:
        ctx = self._context("create_job")
        method, target, headers = change(ctx.request.method, ctx.request.target, self._signed(ctx))
        assert not self.verify(method, target, headers, _KEY)

    @pytest.mark.usefixtures("covering")
    def test_another_secret_gives_another_signature(self) -> None:
        ctx = self._context()
        other = replace(_KEY, access_key_secret="another-secret")  # noqa: S106  # no secret
        assert not self.verify(ctx.request.method, ctx.request.target, self._signed(ctx), other)

    @pytest.mark.usefixtures("covering")
    def test_each_attempt_is_fresh(self) -> None:
        ctx = self._context()
        signed = [tuple(sorted(self._signed(replace(ctx, number=number)).items())) for number in range(1, 101)]
        assert len(set(signed)) == 100, "two attempts were signed alike: the second would be refused as a replay"

    def test_the_date_is_now(self) -> None:
        text = self._signed(self._context()).get("date")
        if text is None:
            pytest.skip("this signature has no Date")
        assert abs(parsedate_to_datetime(text).timestamp() - time.time()) < 60

    @pytest.mark.usefixtures("covering")
    def test_a_token_is_sent_and_signed(self) -> None:
        key = replace(_KEY, security_token=_TOKEN)
        ctx = self._context(credentials=key)
        signed = self._signed(ctx)
        names = [name for name, value in signed.items() if _TOKEN in value]
        assert names, "the token is not sent"
        assert self.verify(ctx.request.method, ctx.request.target, signed, key)
        for name in names:
            forged = {**signed, name: signed[name].replace(_TOKEN, "another-token")}
            assert not self.verify(ctx.request.method, ctx.request.target, forged, key), "the token is not signed"

    def test_headers_are_plain_and_leave_the_framing_alone(self) -> None:
        added = self.sign(self._context())
        assert added is not None
        for name, value in added.items():
            assert isinstance(value, str), f"{name} is no str"
            assert value.isascii() and value.isprintable(), f"{name} is not printable ASCII"  # noqa: PT018  # one message for both
        assert not _FRAMING & {name.lower() for name in added}

    def test_the_secret_is_not_sent(self) -> None:
        assert not [name for name, value in self._signed(self._context()).items() if _KEY.access_key_secret in value]

    def test_without_credentials_it_raises_credentials_error(self) -> None:
        if not self.needs_credentials:
            pytest.skip("this signature needs no credentials")
        ctx = self._context(credentials=None)
        with pytest.raises(CredentialsError) as caught:
            self.sign(ctx)
        assert str(caught.value)


def _body(operation: Operation[Any]) -> bytes:
    return b'{"JobName":"x"}' if operation.method == "POST" else b""
