"""What a refusal teaches about credentials, and what an error that ends a call says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from batchcompute import (
    AmbiguousResultError,
    AuthenticationError,
    BatchComputeError,
    Client,
    ClientError,
    Config,
    ConnectError,
    Credentials,
    CredentialsConfig,
    CredentialsError,
    DecodeError,
    PermissionDeniedError,
    RequestTimeoutError,
    ResponseLostError,
    RetryConfig,
    ServerError,
    ThrottlingError,
)
from batchcompute.hooks import AttemptContext, CallResult, RegistrationContext, hookimpl
from batchcompute.wire import Request, Response
from tests.support.clock import Clock
from tests.support.stub import Stub, response

EXPIRED = response({"Code": "InvalidSecurityToken.Expired", "Message": "too old"}, 400)
SECRET = "zq9-canary-secret"


class Desk:
    """A provider of numbered tokens that last an hour. It keeps its token itself when `keeps`, as a library may."""

    name = "desk"

    def __init__(self, keeps: bool = False, life: float | None = 3600.0) -> None:
        self.keeps = keeps
        self.life = life
        self.fetched = 0
        self.asked = 0
        self.dropped: list[str | None] = []
        self.act: Callable[[], object] = lambda: None
        if keeps:
            self.refused = self._refused

    @hookimpl
    def register_credential_providers(self, ctx: RegistrationContext) -> list[Desk]:
        return [self]

    def get(self) -> Credentials:
        self.asked += 1
        if self.asked > 1:
            self.act()
        if not self.keeps or self.fetched == len(self.dropped):
            self.fetched += 1
        expires = None if self.life is None else time.time() + self.life
        return Credentials("key", SECRET, f"token-{self.fetched}", expires, "the desk")

    def _refused(self, credentials: Credentials) -> None:
        self.dropped.append(credentials.security_token)


def client_of(stub: Stub, desk: Desk, **retry: Any) -> Client:
    config = Config(credentials=CredentialsConfig(provider="desk"), retry=RetryConfig(base_wait=0, **retry))
    return Client("cn-qingdao", plugins=[stub, desk], config=config)


def tokens(stub: Stub) -> list[str | None]:
    return [request.headers.get("x-acs-security-token") for request in stub.requests]


@pytest.mark.parametrize("keeps", [False, True], ids=["plain provider", "provider that has refused"])
@pytest.mark.parametrize("call", ["list_jobs", "stop_job"])
def test_a_token_that_is_refused_before_it_expires_is_replaced(stub: Stub, call: str, keeps: bool) -> None:
    desk = Desk(keeps)
    client = client_of(stub, desk)
    for answer in (response({}), EXPIRED, response({}), response({})):
        stub.answers.append(answer)
    arguments = ["job-1"] if call == "stop_job" else []
    for _ in range(3):
        getattr(client, call)(*arguments)
    assert tokens(stub) == ["token-1", "token-1", "token-2", "token-2"]
    assert desk.asked == 2  # once again, and the new one is kept
    assert desk.dropped == (["token-1"] if keeps else [])


def test_a_token_without_an_end_is_replaced_too(stub: Stub) -> None:
    desk = Desk(keeps=True, life=None)
    stub.prepare([EXPIRED, response({})])
    client_of(stub, desk).list_jobs()
    assert (tokens(stub), desk.dropped) == (["token-1", "token-2"], ["token-1"])


def test_a_call_is_repeated_once(stub: Stub) -> None:
    stub.always = EXPIRED
    desk = Desk()
    client = client_of(stub, desk)
    for number in (1, 2):
        with pytest.raises(AuthenticationError, match=r"InvalidSecurityToken\.Expired: too old") as caught:
            client.list_jobs()
        assert len(stub.requests) == 2 * number
        assert caught.value.attempts == 2


def test_the_same_key_is_not_sent_again(stub: Stub) -> None:
    """Also when only its end and its source differ: the service would refuse it again."""
    desk = Desk()
    desk.act = lambda: setattr(desk, "fetched", desk.fetched - 1)
    stub.always = EXPIRED
    with pytest.raises(AuthenticationError):
        client_of(stub, desk).list_jobs()
    assert (len(stub.requests), desk.asked) == (1, 2)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId.NotFound", "SignatureDoesNotMatch"])
def test_the_clients_own_key_is_not_sent_again(stub: Stub, code: str) -> None:
    stub.always = response({"Code": code}, 404)
    with pytest.raises(AuthenticationError) as caught:
        stub.client().list_jobs()
    assert len(stub.requests) == 1
    assert not getattr(caught.value, "__notes__", [])


def test_missing_rights_are_not_a_matter_of_the_token(stub: Stub) -> None:
    desk = Desk(keeps=True)
    stub.always = response({"Code": "Forbidden.RAM"}, 403)
    with pytest.raises(PermissionDeniedError):
        client_of(stub, desk).list_jobs()
    assert (len(stub.requests), desk.asked, desk.dropped) == (1, 1, [])


@pytest.mark.parametrize(
    ("failure", "shown"),
    [(CredentialsError("the desk is closed"), "the desk is closed"), (RuntimeError(SECRET), "RuntimeError")],
)
def test_why_there_is_no_other_token(stub: Stub, failure: Exception, shown: str) -> None:
    desk = Desk()

    def act() -> None:
        raise failure

    desk.act = act
    stub.always = EXPIRED
    with pytest.raises(AuthenticationError) as caught:
        client_of(stub, desk).list_jobs()
    (note,) = caught.value.__notes__
    assert note.startswith("there are no other credentials: ")
    assert note.endswith(shown)
    assert SECRET not in note
    desk.act = lambda: None
    stub.answers.append(response({}))
    stub.always = None
    client_of(stub, desk).list_jobs()


def test_a_plugin_that_decides_is_asked_again(stub: Stub) -> None:
    class Decides:
        asked = 0

        @hookimpl
        def resolve_credentials(self, ctx: object) -> Credentials:
            self.asked += 1
            return Credentials("key", SECRET, f"token-{self.asked}")

    stub.prepare([EXPIRED, response({})])
    Client("cn-qingdao", plugins=[stub, Decides()]).list_jobs()
    assert tokens(stub) == ["token-1", "token-2"]


def test_of_many_threads_one_replaces_the_token(stub: Stub) -> None:
    count = 16
    desk = Desk(keeps=True)
    all_there = threading.Barrier(count)

    def serve(request: Request) -> Response:
        if request.headers["x-acs-security-token"] != "token-1":
            return response({})
        all_there.wait(30)
        return EXPIRED

    client = client_of(stub, desk)
    stub.always = serve
    with ThreadPoolExecutor(count) as pool:
        assert len(list(pool.map(lambda _: client.list_jobs(), range(count)))) == count
    assert (desk.asked, desk.dropped, len(stub.requests)) == (2, ["token-1"], 2 * count)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (EXPIRED, AuthenticationError),
        (response({"Code": "Forbidden"}, 403), PermissionDeniedError),
        (response({"Code": "InvalidTimeStamp.Expired"}, 400, date=""), ClientError),
    ],
)
def test_a_change_whose_answer_was_lost_is_not_repeated_for_another_key(
    stub: Stub, refusal: Response, kind: Any
) -> None:
    """Its idempotency token may be that of another account; and the refusal does not say what became of it."""

    class Tokens:
        @hookimpl
        def register_regions(self, ctx: object) -> list[Any]:
            from batchcompute import Region

            return [Region("lab", "lab.example", idempotent_tokens=True)]

    config = Config(credentials=CredentialsConfig(provider="desk"), retry=RetryConfig(base_wait=0))
    client = Client("lab", plugins=[stub, Desk(), Tokens()], config=config)
    stub.prepare([ResponseLostError("lost"), refusal, response({"ResourceId": "job-1", "State": "Stopped"})])
    with pytest.raises(AmbiguousResultError) as caught:
        client.stop_job("job-1")
    assert tokens(stub) == ["token-1"] * 3
    assert [request.method for request in stub.requests] == ["PUT", "PUT", "GET"]
    assert isinstance(caught.value.__cause__, kind)


# --- what errors say


@pytest.mark.parametrize("kind", [ConnectError, ResponseLostError, RequestTimeoutError])
def test_a_transport_error_names_the_call(stub: Stub, clock: Clock, kind: type[BatchComputeError]) -> None:
    stub.prepare([kind("the cable is out") for _ in range(4)])
    with pytest.raises(kind) as caught:
        stub.client().get_job("job-1")
    error = caught.value
    assert (error.operation, error.attempts) == ("get_job", 4)
    assert error.endpoint == "https://batchcompute.cn-qingdao.aliyuncs.com"
    assert str(error) == "the cable is out [get_job, https://batchcompute.cn-qingdao.aliyuncs.com, 4 attempts]"
    assert "testsecret" not in str(error)


def test_a_call_whose_time_is_over_names_what_took_it(stub: Stub, clock: Clock) -> None:
    def late(request: Request) -> Response:
        clock.now += 20
        return response({}, 503)

    stub.always = late

    class Stubborn:
        """A policy that knows nothing of the deadline."""

        @hookimpl
        def retry_policy(self, ctx: object) -> Any:
            def policy(fn: Callable[[], Response]) -> Response:
                while True:
                    try:
                        return fn()
                    except ServerError:
                        pass

            return policy

    with pytest.raises(RequestTimeoutError, match="did not end in time") as caught:
        stub.client(plugins=(Stubborn(),)).get_job("job-1", timeout=30)
    assert isinstance(caught.value.__cause__, ServerError)
    assert caught.value.sent is False


def test_an_error_answer_has_what_an_answer_has(stub: Stub, clock: Clock) -> None:
    stub.always = response({"Code": "Throttling.User", "Message": "slow"}, 400)
    with pytest.raises(ThrottlingError) as caught:
        stub.client().get_job("job-1")
    error = caught.value
    assert (error.status, error.request_id, error.date) == (400, "REQ-1", "Tue, 30 Jun 2015 08:00:00 GMT")
    assert (error.operation, error.attempts) == ("get_job", 4)
    assert error.endpoint == "https://batchcompute.cn-qingdao.aliyuncs.com"
    assert str(error).endswith("[HTTP 400, RequestId REQ-1, 4 attempts]")


def test_a_malformed_answer_has_its_status(stub: Stub) -> None:
    stub.answer(b"{", 203)
    with pytest.raises(DecodeError) as caught:
        stub.client().get_job("job-1")
    assert (caught.value.status, caught.value.request_id, caught.value.operation) == (203, "REQ-1", "get_job")
    stub.answer({"job-1": {"State": 99}, "job-2": []}, 203)
    jobs = stub.client().list_jobs()
    for read in (lambda: jobs[0].State, lambda: jobs[1]):
        with pytest.raises(DecodeError, match=r"\[HTTP 203, RequestId REQ-1\]$") as caught:
            read()
        assert caught.value.status == 203


def test_credentials_errors_name_the_call(stub: Stub) -> None:
    desk = Desk()
    desk.get = lambda: (_ for _ in ()).throw(CredentialsError("closed"))  # type: ignore[method-assign]  # fails from now on
    with pytest.raises(CredentialsError) as caught:
        client_of(stub, desk).list_jobs()
    assert (caught.value.operation, caught.value.attempts) == ("list_jobs", 1)


@pytest.mark.parametrize(
    ("answer", "status", "request_id"),
    [(response({}, 502), 502, "REQ-1"), (response(b"{"), 200, "REQ-1"), (ResponseLostError("lost"), 0, "")],
)
def test_an_unclear_result_has_the_last_answer(stub: Stub, answer: Any, status: int, request_id: str) -> None:
    stub.prepare([answer, response({"ResourceId": "job-1", "State": "Stopped"})])
    with pytest.raises(AmbiguousResultError) as caught:
        stub.client().stop_job("job-1") if status != 200 else stub.client().create_job(_description())
    error = caught.value
    assert (error.status, error.request_id, error.attempts) == (status, request_id, 1)
    assert error.endpoint == "https://batchcompute.cn-qingdao.aliyuncs.com"


def _description() -> Any:
    from tests.support.descriptions import describe_find

    return describe_find()


class Watch:
    def __init__(self) -> None:
        self.attempts: list[AttemptContext] = []
        self.calls: list[CallResult] = []

    @hookimpl
    def after_attempt(self, ctx: AttemptContext) -> None:
        self.attempts.append(ctx)

    @hookimpl
    def after_call(self, ctx: CallResult) -> None:
        self.calls.append(ctx)


def test_observers_get_the_answer_that_refused_a_call(stub: Stub, clock: Clock) -> None:
    watch = Watch()
    stub.answer({"Code": "ResourceNotFound"}, 404)
    with pytest.raises(ClientError):
        stub.client(plugins=(watch,)).get_job("job-1")
    (call,) = watch.calls
    assert call.response is not None
    assert (call.response.status, call.response.request_id) == (404, "REQ-1")
    stub.prepare([response({}, 503), ConnectError("down"), ConnectError("down"), ConnectError("down")])
    with pytest.raises(ConnectError):
        stub.client(plugins=(watch,)).get_job("job-1")
    assert watch.calls[-1].response is None  # the last attempt had none


def test_observers_get_errors_that_are_not_ours(stub: Stub) -> None:
    watch = Watch()
    stub.prepare([ZeroDivisionError("a bug in a transport")])
    with pytest.raises(ZeroDivisionError):
        stub.client(plugins=(watch,)).get_job("job-1")
    assert [type(ctx.error) for ctx in watch.attempts] == [ZeroDivisionError]
