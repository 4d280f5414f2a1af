"""Our signer keeps the contract that we ask of others; the contract's own check agrees with the facts' vectors."""

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
