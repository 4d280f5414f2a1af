"""A request that comes again with the same token gets the answer of the first time, and is not done again.

The answer is stored in the commit that does the request, for 24 hours. The same token with another request is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.model import StoredAnswer

if TYPE_CHECKING:
    from batchcompute_local.jobs.engine import Engine

HEADER = "x-acs-idempotent-token"
KEPT_SECONDS = 24 * 3600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_token(token: str) -> None:
    """Raises ServiceError 400 (protocol 2.1: at most 64 letters, digits and underscores; '-' is taken too)."""
    if not _TOKEN.fullmatch(token):
        raise ServiceError(
            400,
            "InvalidIdempotentToken",
            "Specified parameter IdempotentToken is not valid. It must be 1 to 64 characters within [a-zA-Z0-9_-].",
        )


def digest_of(method: str, target: str, body: bytes) -> str:
    """What tells one request from another."""
    return hashlib.sha256(f"{method} {target}\n".encode("latin-1") + body).hexdigest()


def once(engine: Engine, owner: int, token: str, digest: str, run: Callable[[], Any]) -> Any:
    """What `run` answers, or answered. In the engine's turn. Raises what `run` raises, and ServiceError 400."""
    since = engine.clock() - KEPT_SECONDS
    known = engine.changes.answers.get((owner, token)) or engine.store.answer(owner, token)
    if known is not None and known.at >= since:
        if known.digest != digest:
            raise ServiceError(
                400, "IdempotentTokenMismatch", "Specified idempotent token was used for another request."
            )
        return json.loads(known.text)
    result = run()
    engine.changes.answers[owner, token] = StoredAnswer(digest, json.dumps(result), engine.clock())
    engine.changes.forget_answers_before = since
    return result
