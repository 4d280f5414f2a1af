"""Reads the error and the time of the service out of an answer (protocol 1.5, 2.11). No I/O."""

from __future__ import annotations

import json
import time

from .plain_errors import ClientError, client_error
from .wire import Response


def error_of(response: Response) -> ClientError:
    """Return the error of an answer whose status is not 2xx; any body will do (protocol 1.5, 2.11)."""
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        data = None
    fields = data if isinstance(data, dict) else {}
    code = fields.get("Code") or fields.get("ErrorCode") or f"HTTP{response.status}"
    message = fields.get("Message") or "the service gave no reason"
    request_id = response.request_id or str(fields.get("RequestId") or "")
    error = client_error(
        response.status, str(code), str(message), request_id, _retry_after(response.headers.get("retry-after", ""))
    )
    error.date = response.headers.get("date", "")
    return error


def is_clock_error(error: BaseException) -> bool:
    """Return whether the service refused a request for its Date (protocol 2.11)."""
    return isinstance(error, ClientError) and error.code in ("InvalidTimeStamp.Expired", "IllegalTimestamp")


def date_of(response: Response) -> float | None:
    """Return the service's time in seconds since 1970, None if absent."""
    return _http_time(response.headers.get("date", ""))


def time_of(error: BaseException) -> float | None:
    """Return the service's time when it refused a request, in seconds since 1970; None if it did not say it."""
    return _http_time(error.date) if isinstance(error, ClientError) else None


def _retry_after(text: str) -> float | None:
    """Seconds of a Retry-After header: a number, or a date."""
    if text.isascii() and text.isdigit():
        return float(text)
    at = _http_time(text)
    return None if at is None else max(0.0, at - time.time())


def _http_time(text: str) -> float | None:
    if not text:
        return None
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()  # RFC 9110, 5.6.7: always UTC
    except (TypeError, ValueError, OverflowError):
        return None
