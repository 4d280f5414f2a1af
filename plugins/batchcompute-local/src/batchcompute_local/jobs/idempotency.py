"""A request that comes again with the same token gets the answer of the first time, and is not done again.

The answer is stored in the commit that does the request, for 24 hours. The same token with another request is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.model import StoredAnswer
from batchcompute_local.jobs.turn import Turn

HEADER = "x-acs-idempotent-token"
KEPT_SECONDS = 24 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_token(token: str) -> None:
    """Refuse a bad token with ServiceError 400 (protocol 2.1: at most 64 letters, digits and underscores; '-' is taken too)."""
    if not _TOKEN.fullmatch(token):
        raise ServiceError(
            400,
            "InvalidIdempotentToken",
            "Specified parameter IdempotentToken is not valid. It must be 1 to 64 characters within [a-zA-Z0-9_-].",
        )


def digest_of(method: str, target: str, body: bytes) -> str:
    """Return a text that is the same for the same request only."""
    return hashlib.sha256(f"{method} {target}\n".encode("latin-1") + body).hexdigest()


def once(turn: Turn, owner: int, token: str, digest: str, run: Callable[[Turn], Any]) -> Any:
    """Run `run`, or return what it returned to the same request before. Raises what `run` raises, and ServiceError 400."""
    now = turn.steady_now()  # a clock that is set, back or ahead, makes no token old or new
    since = now - KEPT_SECONDS
    found = turn.find_answer(owner, token)
    if found is not None and found.at >= since:
        if found.digest != digest:
            raise ServiceError(
                400, "IdempotentTokenMismatch", "Specified idempotent token was used for another request."
            )
        return json.loads(found.text)
    result = run(turn)
    turn.keep_answer(owner, token, StoredAnswer(digest, json.dumps(result), now), forget_before=since)
    return result
