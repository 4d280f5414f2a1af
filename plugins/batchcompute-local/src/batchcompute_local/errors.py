"""Errors of the service, with the codes of API 2015-06-30 (protocol 2.11)."""

from __future__ import annotations

from batchcompute.errors import BatchComputeError, ConfigError


class ServiceError(Exception):
    """An error answer: HTTP `status`, error `code` and a `message` for people.

    `retry_after`: the seconds after which it may be sent again, None if that does not help.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


class DaemonError(BatchComputeError, RuntimeError):
    """The daemon could not be started, or does not answer."""


class SettingsError(ConfigError):
    """service.toml is not valid; the message names the file and the key."""


def invalid(parameter: str, detail: str) -> ServiceError:
    """Make a 400 InvalidParameter, with the original service's wording (protocol 2.11)."""
    return ServiceError(400, "InvalidParameter", f"Specified parameter {parameter} is not valid. {detail}")


def not_found(what: str) -> ServiceError:
    """Make a 404 ResourceNotFound, the code of this API version (protocol 2.3)."""
    return ServiceError(404, "ResourceNotFound", f"Specified resource {what} is not found.")


def conflict(state: str) -> ServiceError:
    """Make a 409 StateConflict: the action is not allowed in `state` (protocol 2.3, 2.11)."""
    return ServiceError(409, "StateConflict", f"User operation is invalid. The current resource state is {state}.")
