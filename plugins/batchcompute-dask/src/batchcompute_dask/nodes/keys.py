"""The access keys of attempts, which only the service can make."""

from __future__ import annotations

from batchcompute_dask.messages import Group


class GivenKeys:
    """The access keys that came with the attempts."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[str, str]] = {}

    def add(self, group: Group) -> None:
        """Remember those of a group."""
        self._keys.update(zip((attempt for attempt, _ in group.members), group.keys, strict=True))

    def make(self, owner: int, attempt: str) -> tuple[str, str]:
        """See attempt_files.Keys."""
        return self._keys[attempt]

    def get(self, attempt: str) -> tuple[str, str]:
        """Return that of an attempt."""
        return self._keys[attempt]

    def drop(self, attempt: str) -> None:
        """It is over."""
        self._keys.pop(attempt, None)
