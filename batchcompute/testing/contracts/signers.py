"""The contract of signers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from ...config import Config
from ...credentials import Credentials
from ...errors import CredentialsError
from ...hooks import AttemptContext, CallContext
from ...operations import OPERATIONS
from ...regions import Region
from ...wire import Request

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


def _with_header(name: str, value: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, headers={**request.headers, name: value})


_PARTS = {"access_key_id", "access_key_secret", "security_token"}
_CHANGES: dict[str, list[Callable[[Request], Request]]] = {
    "method": [lambda request: replace(request, method="DELETE")],
    "target": [
        lambda request: replace(request, target=request.target + "-2"),
        lambda request: replace(request, target=request.target + "?Action=Stop"),
    ],
    "x-acs- headers": [_with_header("x-acs-tenant", "t-2"), _with_header("x-acs-more", "1")],
    "content-type": [_with_header("content-type", "text/html")],
    "body": [lambda request: replace(request, body=request.body + b" ")],
}
"""What a signature may cover, and what somebody on the way could change of it."""


class SignerContract:
    """What every implementation of the hook `sign_request` keeps to. A subclass gives it:

    class TestMySigner(SignerContract):
        def sign(self, ctx):
            return my_plugin.sign_request(ctx)

    It says by attributes what the signature is for, and what it is by nature:

    region, credentials, config   what it is asked to sign for; they are in the context
    sends                         the parts of the credentials that it sends: a bearer token is sent, an HMAC key is not
    covers                        what of the request it depends on; `covers_request = False` for nothing
    needs_credentials             False if it needs no credentials of the SDK

    A signature that is not the ROA one of protocol 1.4 brings its own `verify`; `verify_request`, if it covers the body.
    """

    region: Region = Region("cn-qingdao", "service.invalid")
    credentials: Credentials = Credentials("testid", "canary-secret-3f9b", source="contract")
    config: Config = Config()
    sends: Collection[str] = ("access_key_id", "security_token")
    covers: Collection[str] = ("method", "target", "x-acs- headers", "content-type")
    covers_request = True
    needs_credentials = True

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        """The hook to check."""
        raise NotImplementedError

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        """Whether a request, with all of its headers, is signed rightly, as the service would see it."""
        return signature_is_right(method, target, headers, credentials)

    def verify_request(self, request: Request, credentials: Credentials) -> bool:
        """`verify` for a request with its body."""
        return self.verify(request.method, request.target, request.headers, credentials)

    # --- helpers

    def _context(self, name: str = "create_job", credentials: Credentials | None = None) -> AttemptContext:
        operation, region = OPERATIONS[name], self.region
        headers = {"accept": "application/json", "content-type": "application/json", "x-acs-tenant": "t-1"}
        body = b'{"JobName":"x"}' if operation.method == "POST" else b""
        request = Request(operation.method, operation.target("job-1"), headers, body, region.endpoint)
        credentials = credentials or self.credentials
        call = CallContext(operation, region, self.config, request, credentials)
        return AttemptContext(call, 1, request, region.endpoint, credentials)

    def _added(self, ctx: AttemptContext) -> Mapping[str, str]:
        added = self.sign(ctx)
        assert added is not None, f"sign_request declined region {self.region.name!r}: give the contract its `region`"
        return added

    def _signed(self, ctx: AttemptContext) -> Request:
        headers = {**ctx.request.headers, **self._added(ctx)}
        return replace(ctx.request, headers={name.lower(): value for name, value in headers.items()})

    @pytest.fixture
    def covering(self) -> None:
        """For what only a signature over the request can promise."""
        if not self.covers_request:
            pytest.skip("this signature does not depend on the request")

    # --- the contract

    def test_it_says_what_it_is_in_known_words(self) -> None:
        assert set(self.sends) <= _PARTS, f"sends: {set(self.sends) - _PARTS} is not of {sorted(_PARTS)}"
        assert set(self.covers) <= set(_CHANGES), f"covers: {set(self.covers) - set(_CHANGES)} is not of {[*_CHANGES]}"

    @pytest.mark.parametrize("name", OPERATIONS)
    def test_every_operation_is_signed_rightly(self, name: str) -> None:
        assert self.verify_request(self._signed(self._context(name)), self.credentials)

    @pytest.mark.parametrize(
        ("what", "change"),
        [
            pytest.param(what, change, id=f"{what}-{n}")
            for what, all_ in _CHANGES.items()
            for n, change in enumerate(all_)
        ],
    )
    @pytest.mark.usefixtures("covering")
    def test_what_is_signed_cannot_be_changed(self, what: str, change: Callable[[Request], Request]) -> None:
        if what not in self.covers:
            pytest.skip(f"this signature does not depend on {what}")
        signed = self._signed(self._context())
        assert not self.verify_request(change(signed), self.credentials)

    def test_other_credentials_give_another_signature(self) -> None:
        if not self.needs_credentials:
            pytest.skip("this signature needs no credentials")
        other = replace(self.credentials, access_key_secret="another-secret")  # noqa: S106  # no secret
        if other.security_token:
            other = replace(other, security_token="another-token")  # noqa: S106  # no secret
        assert not self.verify_request(self._signed(self._context()), other)

    @pytest.mark.usefixtures("covering")
    def test_each_attempt_is_fresh(self) -> None:
        ctx = self._context()
        signed = [tuple(sorted(self._signed(replace(ctx, number=number)).headers.items())) for number in range(1, 101)]
        assert len(set(signed)) == 100, "two attempts were signed alike: the second would be refused as a replay"

    @pytest.mark.parametrize("offset", [0.0, 7200.0])
    def test_the_date_is_now_by_the_clock_of_the_service(self, offset: float) -> None:
        text = self._signed(replace(self._context(), clock_offset=offset)).headers.get("date")
        if text is None:
            pytest.skip("this signature has no Date")
        assert abs(parsedate_to_datetime(text).timestamp() - time.time() - offset) < 60, "use ctx.clock_offset"

    def test_a_token_is_sent_and_signed(self) -> None:
        if "security_token" not in self.sends or not self.needs_credentials:
            pytest.skip("this signature sends no token")
        key = replace(self.credentials, security_token=_TOKEN)
        signed = self._signed(self._context(credentials=key))
        names = [name for name, value in signed.headers.items() if _TOKEN in value]
        assert names, "the token is not sent"
        assert self.verify_request(signed, key)
        for name in names:
            forged = {**signed.headers, name: signed.headers[name].replace(_TOKEN, "another-token")}
            assert not self.verify_request(replace(signed, headers=forged), key), "the token is not signed"

    def test_headers_are_plain_and_leave_the_framing_alone(self) -> None:
        added = self._added(self._context())
        for name, value in added.items():
            assert isinstance(value, str), f"{name} is no str"
            assert value.isascii() and value.isprintable(), f"{name} is not printable ASCII"  # noqa: PT018  # one message for both
        assert not _FRAMING & {name.lower() for name in added}

    def test_what_is_secret_is_not_sent(self) -> None:
        sent = self._signed(self._context()).headers
        for part in {"access_key_secret", "security_token"}.difference(self.sends):
            value = getattr(self.credentials, part)
            assert not value or not [name for name in sent if value in sent[name]], f"{part} is sent; is it in `sends`?"

    def test_without_credentials_it_declines_or_raises_credentials_error(self) -> None:
        if not self.needs_credentials:
            pytest.skip("this signature needs no credentials")
        ctx = self._context()
        ctx = replace(ctx, credentials=None, call=replace(ctx.call, credentials=None))
        added, why = None, "it declined"
        try:
            added = self.sign(ctx)
        except CredentialsError as error:
            why = str(error)
        assert added is None, "it signed without credentials"
        assert why, "the error does not say why"
