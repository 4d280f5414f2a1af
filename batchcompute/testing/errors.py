"""The errors of replay."""

from __future__ import annotations

from ..errors import BatchComputeError


class UnrecordedRequestError(BatchComputeError):
    """A request of a replayed session has no recorded answer. It is never retried, and nothing was sent.

    Attributes: `method` and `target` of the request, and `nearest`: the recorded request that is most like it, or ''.
    """

    def __init__(self, message: str, method: str = "", target: str = "", nearest: str = "") -> None:
        super().__init__(message, method, target, nearest)
        self.message = message
        self.method = method
        self.target = target
        self.nearest = nearest

    def __str__(self) -> str:
        return self.message
