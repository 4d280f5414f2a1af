"""Our signer keeps the contract that we ask of others; the contract's own check agrees with the vectors of protocol 1.4."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest

from batchcompute.builtins import default_signature
from batchcompute.config import Config
from batchcompute.credentials import Credentials
from batchcompute.hooks import AttemptContext
from batchcompute.regions import Region
from batchcompute.testing import SignerContract
from batchcompute.testing.contracts import signature_is_right
from batchcompute.wire import Request


class TestRoa(SignerContract):
    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return default_signature(ctx)


class TestBearer(SignerContract):
    """Somebody else's: a fixed token that needs no access key."""

    needs_credentials = False
    covers_request = False

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return {"authorization": "Bearer platform-token"}

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        return headers["authorization"] == "Bearer platform-token"


class TestTokenOfTheLab(SignerContract):
    """Somebody else's: for one region only, the token is in the credentials, and a setting has its scheme."""

    region = Region("lab", "lab.invalid")
    credentials = Credentials("", "", "canary-lab-token", source="contract")
    config = Config(sections={"lab": "Token"})
    sends = ("security_token",)
    covers_request = False

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        if ctx.endpoint.region != "lab" or ctx.credentials is None:
            return None
        return {"authorization": f"{ctx.call.config.sections['lab']} {ctx.credentials.security_token}"}

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        return headers["authorization"] == f"Token {credentials.security_token}"


class Careless(SignerContract):
    """Signs as a test wants it, and its service believes everything."""

    region = Region("lab", "lab.invalid")
    covers = ("body",)

    def __init__(self, added: Callable[[AttemptContext], Mapping[str, str] | None]) -> None:
        self.added = added

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return self.added(ctx)

    def verify_request(self, request: Request, credentials: Credentials) -> bool:
        return True


def secret_of(ctx: AttemptContext) -> str:
    return ctx.credentials.access_key_secret if ctx.credentials else ""


BROKEN: dict[str, tuple[Callable[[AttemptContext], Any], Callable[[Careless], None], str | None]] = {
    "declines": (
        lambda ctx: None,
        lambda contract: contract.test_every_operation_is_signed_rightly("get_job"),
        "declined region 'lab': give the contract its `region`",
    ),
    "sends the secret": (
        lambda ctx: {"authorization": secret_of(ctx)},
        lambda contract: contract.test_what_is_secret_is_not_sent(),
        "access_key_secret is sent; is it in `sends`?",
    ),
    "forgets the body": (
        lambda ctx: {"authorization": ctx.request.target},
        lambda contract: contract.test_what_is_signed_cannot_be_changed(
            "body", lambda request: replace(request, body=b"{}")
        ),
        None,
    ),
    "takes any key": (
        lambda ctx: {"authorization": "fixed"},
        lambda contract: contract.test_other_credentials_give_another_signature(),
        None,
    ),
    "signs without a key": (
        lambda ctx: {"authorization": "fixed"},
        lambda contract: contract.test_without_credentials_it_declines_or_raises_credentials_error(),
        "it signed without credentials",
    ),
    "believes its own clock": (
        lambda ctx: {"date": formatdate(usegmt=True)},
        lambda contract: contract.test_the_date_is_now_by_the_clock_of_the_service(7200.0),
        "use ctx.clock_offset",
    ),
}


@pytest.mark.parametrize(("added", "check", "found"), BROKEN.values(), ids=BROKEN)
def test_a_broken_signer_fails(added: Any, check: Callable[[Careless], None], found: str | None) -> None:
    with pytest.raises(AssertionError, match=re.escape(found) if found else None):
        check(Careless(added))


def test_an_unknown_word_fails() -> None:
    class Misspelt(TestRoa):
        covers = ("method", "tagret")

    with pytest.raises(AssertionError, match=r"covers: \{'tagret'\} is not of"):
        Misspelt().test_it_says_what_it_is_in_known_words()


VECTORS = [
    ("GET", "/jobs", "2zymSd4IQiLP+5hvpqHEpyjY1IM="),
    ("POST", "/jobs", "QCFTHev+wgq8Gb2EErTFuPHUd9I="),
    ("PUT", "/jobs/job-1?Action=Stop", "7MtaRzktBfenDkJXEGkOcpcvzUQ="),
    ("PUT", "/jobs/job-1/Priority", "IzOqeZ/5iGsBKHlJenvj1+eSUIk="),
    ("DELETE", "/jobs/job-1", "7XDubE0Z/s1aC/duvie9bq0xWRg="),
    ("GET", "/images", "uWpfbodpCHqtSxa2Zvyydq0Cq1Y="),
]


@pytest.mark.parametrize(("method", "target", "signature"), VECTORS)
def test_the_check_agrees_with_the_vectors(method: str, target: str, signature: str) -> None:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "Date": "Tue, 30 Jun 2015 08:00:00 GMT",
        "x-acs-access-key-id": "testid",
        "x-acs-region-id": "cn-qingdao",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-nonce": "00000000-0000-1000-8000-000000000000",
        "x-acs-signature-version": "1.0",
        "x-acs-version": "2015-06-30",
        "Authorization": f"acs testid:{signature}",
    }
    key = Credentials("testid", "testsecret")
    assert signature_is_right(method, target, headers, key)
    assert not signature_is_right(method, target + "x", headers, key)


def test_a_signer_that_breaks_the_contract_is_found() -> None:
    """The contract can fail: no nonce, no token, a wrong signature."""

    class Stale(SignerContract):
        def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
            return {"authorization": "acs testid:c2FtZQ=="}

    with pytest.raises(AssertionError, match="signed alike"):
        Stale().test_each_attempt_is_fresh()
    with pytest.raises(AssertionError, match="token is not sent"):
        Stale().test_a_token_is_sent_and_signed()
    with pytest.raises(AssertionError):
        Stale().test_every_operation_is_signed_rightly("list_jobs")
