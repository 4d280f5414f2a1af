"""StubTransport: prepared answers."""

from __future__ import annotations

import pytest

from batchcompute import Client, Config, ConnectError, Credentials, CredentialsConfig, NotFoundError, RetryConfig
from batchcompute.hooks import RegistrationContext, hookimpl
from batchcompute.testing import StubTransport, UnrecordedRequestError
from batchcompute.wire import Request, Response

ONCE = Config(retry=RetryConfig(attempts=1))


def test_answers_and_errors_come_in_order() -> None:
    stub = StubTransport()
    stub.answer({"ResourceId": "job-1", "State": "Running"}, headers={"X-Acs-Request-Id": "MINE"})
    stub.answer({"Code": "InvalidResource.NotFound", "Message": "no"}, 404)
    stub.fail(ConnectError("down"))
    with Client("cn-qingdao", plugins=[stub], config=ONCE) as client:
        assert client.get_job("job-1").RequestId == "MINE"
        with pytest.raises(NotFoundError):
            client.get_job("job-2")
        with pytest.raises(ConnectError, match="down"):
            client.list_jobs()
        with pytest.raises(UnrecordedRequestError, match="no answer was prepared for GET /images"):
            client.list_images()
    assert [request.target for request in stub.requests] == ["/jobs/job-1", "/jobs/job-2", "/jobs", "/images"]


def test_a_function_may_answer_and_requests_are_signed() -> None:
    def answer(request: Request) -> Response:
        assert request.headers["authorization"].startswith("acs my-key:")
        return Response(200, {}, b"{}")

    assert list(Client("cn-qingdao", "my-key", "my-secret", plugins=[StubTransport(answer)]).list_jobs()) == []


def test_a_configured_provider_is_asked() -> None:
    class Vault:
        name = "vault"

        @hookimpl
        def register_credential_providers(self, ctx: RegistrationContext) -> list[Vault]:
            return [self]

        def get(self) -> Credentials:
            return Credentials("vault-key", "vault-secret", source="the vault")

    stub = StubTransport(Response(200, {}, b"{}"))
    config = Config(credentials=CredentialsConfig(provider="vault"))
    Client("cn-qingdao", plugins=[Vault(), stub], config=config).list_jobs()
    assert stub.requests[0].headers["x-acs-access-key-id"] == "vault-key"
