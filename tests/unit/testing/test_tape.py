"""Which recorded answer belongs to a request."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from batchcompute.testing import UnrecordedRequestError
from batchcompute.testing.cassette import Exchange
from batchcompute.testing.scrubbing import Scrubber
from batchcompute.testing.tape import Tape
from batchcompute.wire import Response

ACCOUNT = "1234567890123456"


def tape(*exchanges: Exchange, scrub: tuple[str, ...] = ()) -> Tape:
    """A tape of what was scrubbed, read by somebody who knows only what he names himself."""
    return Tape(Scrubber(scrub).clean(exchanges), Scrubber(scrub), Path("session.yaml"))


def post(body: object, number: int = 1, owner: str = "") -> Exchange:
    answer = {"ResourceId": f"job-{number}"} | ({"OwnerId": int(owner)} if owner else {})
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange("POST", "/jobs", Response(201, {}, json.dumps(answer).encode()), data)


def played(recorded: Tape, body: object) -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer, _ = recorded.play("POST", "/jobs", data)
    assert isinstance(answer, Response)
    return str(json.loads(answer.body)["ResourceId"])


def test_bodies_tell_requests_apart_whatever_the_order_of_keys() -> None:
    recorded = tape(post({"A": 1, "B": [1, 2]}, 1), post({"A": 2, "B": [1, 2]}, 2), post({"A": 1, "B": [2, 1]}, 3))
    assert played(recorded, b'{"B": [2, 1], "A": 1}') == "job-3"
    assert played(recorded, b'{"B":[1,2],"A":2}') == "job-2"
    assert played(recorded, {"A": 1, "B": [1, 2]}) == "job-1"


@pytest.mark.parametrize(
    "body",
    [
        {"PackageUri": f"oss://logs-{ACCOUNT}/w"},
        {"Tasks": [{"Uri": "x"}, {"Uri": f"oss://{ACCOUNT}/"}]},
        {"OssMapping": {f"oss://{ACCOUNT}/in/": "/in"}, "Priority": 1},
        {"Number": int(ACCOUNT)},
        {"OwnerId": int(ACCOUNT), "Name": "n"},
        {"EnvironmentVariables": {"A": "first-value", "B": "x"}},
    ],
)
def test_what_was_hidden_need_not_be_known(body: dict[str, Any]) -> None:
    recorded = tape(post(body, 1, ACCOUNT), post({**body, "Priority": 2}, 2))
    assert played(recorded, {**body, "Priority": 2}) == "job-2"
    other = json.loads(json.dumps(body).replace(ACCOUNT, "9999999999999999").replace("first-value", "second-value"))
    assert played(recorded, other) == "job-1"


def test_what_was_hidden_in_a_target_need_not_be_known() -> None:
    reads = [
        Exchange("GET", f"oss://logs-{ACCOUNT}/{name}", Response(200, {}, name.encode()))
        for name in ("first", "second")
    ]
    recorded = tape(post({}, 1, ACCOUNT), *reads)
    answer, _ = recorded.play("GET", f"oss://logs-{ACCOUNT}/second")
    assert isinstance(answer, Response)
    assert answer.body == b"second"
    with pytest.raises(UnrecordedRequestError, match=r"nearest that was is GET oss://logs-9990000000000001/"):
        recorded.play("GET", f"oss://logs-{ACCOUNT}/third")


def test_names_of_environment_variables_count() -> None:
    recorded = tape(post({"EnvironmentVariables": {"A": "1"}}))
    with pytest.raises(UnrecordedRequestError, match="differs at EnvironmentVariables"):
        played(recorded, {"EnvironmentVariables": {"B": "1"}})


def test_what_the_caller_names_counts_as_one_and_the_same() -> None:
    recorded = tape(post(b"plain named-1 text", 1), post({"A": "x named-1"}, 2), scrub=("named-1",))
    assert played(recorded, b"plain named-1 text") == "job-1"
    assert played(recorded, {"A": "x named-1"}) == "job-2"


def test_bodies_that_are_no_json_differ_as_a_whole() -> None:
    with pytest.raises(UnrecordedRequestError, match="it differs as a whole"):
        played(tape(post(b"one")), b"other")


def test_an_empty_session_says_so() -> None:
    with pytest.raises(UnrecordedRequestError, match="has no requests at all"):
        tape().play("GET", "/jobs")


def test_threads_never_share_an_answer_of_a_change() -> None:
    recorded = tape(*[post({"A": 1}, number) for number in range(400)])
    seen: list[str] = []

    def work() -> None:
        seen.extend(played(recorded, {"A": 1}) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"job-{number}" for number in range(400))
    with pytest.raises(UnrecordedRequestError, match="recorded 400 times"):
        played(recorded, {"A": 1})
