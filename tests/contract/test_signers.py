"""Our signer keeps the contract that we ask of others; the contract's own check agrees with the vectors of protocol 1.4."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from batchcompute.builtins import signing
from batchcompute.credentials import Credentials
from batchcompute.hooks import AttemptContext
from batchcompute.testing import SignerContract
from batchcompute.testing.contracts import signature_is_right


class TestRoa(SignerContract):
    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return signing.sign_request(ctx)


class TestBearer(SignerContract):
    """Somebody else's: a fixed token that needs no access key."""

    needs_credentials = False
    covers_request = False

    def sign(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return {"authorization": "Bearer platform-token"}

    def verify(self, method: str, target: str, headers: Mapping[str, str], credentials: Credentials) -> bool:
        return headers["authorization"] == "Bearer platform-token"


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
