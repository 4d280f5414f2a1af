"""Our signatures against those of independent signers; the files name the commands that made them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.errors import ServiceError
from batchcompute_local.http.accounts import Account
from batchcompute_local.http.auth import Authenticator

from batchcompute.builtins.signing import signature, string_to_sign

HERE = Path(__file__).parent
THEN = datetime.fromisoformat("2015-06-30T08:00:00+00:00").timestamp()


def load(name: str) -> tuple[str, str, list[dict[str, Any]]]:
    data = json.loads((HERE / name).read_text())
    return data["key"], data["secret"], data["vectors"]


CORE = load("vectors_core.json")
JAVASCRIPT = load("vectors_js.json")


class OneKey:
    def lookup(self, access_key_id: str) -> Account | None:
        return Account(1, CORE[0], CORE[1]) if access_key_id == CORE[0] else None


def headers_of(vector: dict[str, Any], key: str, signed: str) -> list[tuple[str, str]]:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    return [*headers.items(), ("authorization", f"acs {key}:{signed}")]


@pytest.mark.parametrize("vector", CORE[2], ids=lambda vector: f"{vector['method']} {vector['target']}")
def test_we_sign_as_the_core_sdk_does(vector: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    assert signature(CORE[1], string_to_sign(vector["method"], vector["target"], headers)) == vector["signature"]


@pytest.mark.parametrize(
    ("key", "vector"),
    [(key, vector) for key, _, vectors in (CORE, JAVASCRIPT) for vector in vectors],
    ids=lambda item: item if isinstance(item, str) else f"{item['method']} {item['target']}",
)
def test_the_service_accepts_both_dialects(key: str, vector: dict[str, Any]) -> None:
    check = Authenticator(OneKey(), clock=lambda: THEN + 60).check
    account = check(vector["method"], vector["target"], headers_of(vector, key, vector["signature"]))
    assert account.access_key_id == key


@pytest.mark.parametrize("vector", CORE[2] + JAVASCRIPT[2], ids=lambda vector: f"{vector['method']} {vector['target']}")
def test_the_service_refuses_another_method_or_target(vector: dict[str, Any]) -> None:
    signed = headers_of(vector, CORE[0], vector["signature"])
    for method, target in (("TRACE", vector["target"]), (vector["method"], vector["target"] + "x")):
        with pytest.raises(ServiceError, match="SignatureDoesNotMatch"):
            Authenticator(OneKey(), clock=lambda: THEN).check(method, target, signed)
