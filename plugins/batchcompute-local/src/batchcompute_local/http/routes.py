"""From a request to the operation behind it: the routes are those of the table in `batchcompute.operations`.

An operation of the table is done by the method of `Service` that has its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from batchcompute.operations import CREATE_JOB, OPERATIONS, UPDATE_JOB_PRIORITY, Operation
from batchcompute.surroundings import HEADER
from batchcompute_local.errors import ServiceError
from batchcompute_local.jobs.descriptions import read_description, read_priority
from batchcompute_local.jobs.service import Service
from batchcompute_local.jobs.turn import Turn
from batchcompute_local.settings import Settings

READERS: Mapping[str, Callable[[bytes, Mapping[str, str], Settings], Any]] = {
    CREATE_JOB.name: lambda body, headers, settings: read_description(body, settings, headers.get(HEADER)),
    UPDATE_JOB_PRIORITY.name: lambda body, headers, settings: read_priority(body),
}
"""Readers of body and headers: the result is the last argument of the method. Other operations take no body."""


@dataclass(frozen=True, slots=True)
class Match:
    """The operation that a request asks for, and the job id in its path as it was sent, None if there is none."""

    operation: Operation[Any]
    job: str | None
    parameters: Mapping[str, str] | None = None
    """Of the query, by name; None for an operation that takes none."""

    def bind(self, service: Service, owner: int, body: Sequence[Any]) -> Callable[[Turn], Any]:
        """Return what to run in the engine's turn; `body` has what the reader made of the body, if there is a reader."""
        method = getattr(service, self.operation.name)
        arguments = [each for each in (self.job, self.parameters) if each is not None] + [*body]
        return lambda turn: method(turn, owner, *arguments)


@dataclass(slots=True)
class _Path:
    """The operations of one path: by method, then by query string, "" for an operation that has none."""

    pattern: re.Pattern[str]
    methods: dict[str, dict[str, Operation[Any]]] = field(default_factory=dict)


def _compile() -> tuple[_Path, ...]:
    paths: dict[str, _Path] = {}
    for operation in OPERATIONS.values():
        pattern = re.escape(operation.path).replace(re.escape("{job}"), "([^/]+)")
        path = paths.setdefault(operation.path, _Path(re.compile(pattern)))
        query = f"Action={operation.action}" if operation.action else ""
        path.methods.setdefault(operation.method, {})[query] = operation
    return tuple(paths.values())


def _check() -> None:
    """Raise TypeError unless table and `Service` have the same operations."""
    methods = {name for name in vars(Service) if not name.startswith("_")}
    odd = methods ^ set(OPERATIONS) | set(READERS) - set(OPERATIONS)
    if odd:
        raise TypeError(f"not both in batchcompute.operations and in Service: {', '.join(sorted(odd))}")


_check()
_PATHS = _compile()


def find_route(method: str, path: str, query: str) -> Match:
    """Find the operation behind a request (protocol 1.2). Raises ServiceError 400, and 403 for a wrong query string."""
    for route in _PATHS:
        match = route.pattern.fullmatch(path)
        if match is not None:
            break
    else:
        raise ServiceError(400, "InvalidUrlPattern", "Specified url is not valid.")
    operations = route.methods.get(method)
    if operations is None:
        raise ServiceError(400, "MethodNotAllowed", f"Method {method[:20]} is not allowed on this url.")
    operation = operations.get(query) or operations.get("")
    if operation is None:
        allowed = " or ".join(each.action for each in operations.values())
        raise ServiceError(403, "InvalidQueryString", f"Specified query string is not valid: Action={allowed}.")
    parameters = _read_parameters(operation, query) if operation.parameters else None
    return Match(operation, match[1] if match.re.groups else None, parameters)


def _read_parameters(operation: Operation[Any], query: str) -> Mapping[str, str]:
    """Raises ServiceError 403 for a query string that names something else, or anything twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        pairs = [("", query)]
    found = dict(pairs)
    if len(found) < len(pairs) or not found.keys() <= set(operation.parameters):
        allowed = " and ".join(operation.parameters)
        raise ServiceError(403, "InvalidQueryString", f"Specified query string is not valid: {allowed} are allowed.")
    return found
