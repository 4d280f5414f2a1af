"""The cassette file: vcrpy's own format, version 1, written and read by vcrpy's serializer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from vcr.request import Request as VcrRequest
from vcr.serialize import deserialize, serialize
from vcr.serializers import yamlserializer

from ..errors import ConfigError, ConnectError, RequestTimeoutError, ResponseLostError, TransportError
from ..wire import Response

BASE = "https://batchcompute.invalid"
"""Stands for the endpoint, whichever it was: a cassette of one region replays for any other."""
_NO_ANSWER = 599
_ERROR_HEADER = "x-batchcompute-error"
_ERRORS: dict[str, type[TransportError]] = {
    kind.__name__: kind for kind in (ConnectError, RequestTimeoutError, ResponseLostError)
}
Answer = Response | TransportError


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came of it: an answer, or the error that took its place.

    `target` is the request target, or the whole URI of what is not sent to the endpoint, such as `oss://bucket/key`.
    """

    method: str
    target: str
    answer: Answer
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def read_cassette(path: Path) -> list[Exchange]:
    """Return what a cassette holds, in recorded order. Raises FileNotFoundError, and ConfigError for what is no cassette."""
    text = path.read_text(encoding="utf-8")
    try:
        requests, responses, *_ = deserialize(text, yamlserializer)
        return [_exchange(request, response) for request, response in zip(requests, responses, strict=True)]
    except Exception as error:
        raise ConfigError(f"{path} is not a cassette of vcrpy's format, version 1: {type(error).__name__}") from error


def write_cassette(path: Path, exchanges: Iterable[Exchange]) -> None:
    """Write a cassette whole or not at all; folders are made. Raises OSError."""
    requests, responses = [], []
    for exchange in exchanges:
        target = exchange.target
        uri = BASE + target if target.startswith("/") else target
        requests.append(VcrRequest(exchange.method, uri, exchange.body or None, dict(exchange.headers)))
        responses.append(_response(exchange.answer))
    text = serialize({"requests": requests, "responses": responses}, yamlserializer)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(part).unlink()
        raise


def _exchange(request: VcrRequest, response: Mapping[str, object]) -> Exchange:
    headers = {name.lower(): value for name, value in request.headers.items()}
    target = request.uri.removeprefix(BASE)
    return Exchange(request.method, target, _answer(response), request.body or b"", headers)


def _response(answer: Answer) -> dict[str, object]:
    if isinstance(answer, TransportError):
        kind = next((name for name, kind in _ERRORS.items() if isinstance(answer, kind)), "ResponseLostError")
        status, headers, body = _NO_ANSWER, {_ERROR_HEADER: kind}, str(answer).encode()
    else:
        status, headers, body = answer.status, dict(answer.headers), answer.body
    return {
        "status": {"code": status, "message": ""},
        "headers": {name: [value] for name, value in headers.items()},
        "body": {"string": body},
    }


def _answer(response: Mapping[str, object]) -> Answer:
    status, headers, body = response["status"], response["headers"], response["body"]
    if not isinstance(status, dict) or not isinstance(headers, dict) or not isinstance(body, dict):
        raise TypeError("an interaction without status, headers or body")
    plain = {
        str(name).lower(): ", ".join(value) if isinstance(value, list) else str(value)
        for name, value in headers.items()
    }
    data = body.get("string") or b""
    kind = _ERRORS.get(plain.get(_ERROR_HEADER, ""))
    if kind is not None:
        return kind(data.decode("utf-8", "replace"))
    return Response(int(status["code"]), plain, data)
