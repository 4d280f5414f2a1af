"""Answers become the types of the reference (sections 1.3 and 2; protocol 1.5 to 1.7)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from ..errors import DecodeError, ServiceWarning, warn_caller
from ..hooks import ResponseContext, hookimpl
from ..regions import Ranges
from ..surroundings import Surroundings
from ..values.containers import E
from ..values.details import JobDetails, JobDetailsList, LogPiece
from ..values.jsonizable import Record
from ..values.properties import Origin
from ..values.responses import (
    ActionResponse,
    CreateResponse,
    Image,
    Job,
    JobDescriptionResponse,
    JobResponse,
    ListResponse,
    Task,
)
from ..values.rows import read_rows
from ..wire import WARNING_HEADER, Response

_LONGEST_WARNING = 2000


@hookimpl(trylast=True)
def decode_response(ctx: ResponseContext) -> object:
    """The default object."""
    return default_object(ctx)


def default_object(ctx: ResponseContext) -> object:
    """Return the object for an answer, of the class `ctx.call.operation.answer`. Raises DecodeError with the RequestId."""
    response = ctx.response
    if (warning := response.headers.get(WARNING_HEADER)) is not None:
        warn_caller(f"the service warns: {unquote(warning)[:_LONGEST_WARNING]}", ServiceWarning)
    origin = Origin(response.request_id, response.status, response.headers.get("date", ""), ctx.humanize)
    return _DECODERS[ctx.call.operation.answer](response, origin)


def _object(response: Response) -> dict[str, Any]:
    try:
        data = json.loads(response.body)
    except (ValueError, RecursionError):
        raise DecodeError(
            f"the service answered {len(response.body)} bytes that are not JSON", response.request_id, response.status
        ) from None
    if not isinstance(data, dict):
        raise DecodeError(
            f"the service answered a JSON {type(data).__name__} where an object was due",
            response.request_id,
            response.status,
        )
    return data


def _created(response: Response, origin: Origin) -> CreateResponse:
    created = CreateResponse.wrap(_object(response), origin)
    if not created.JobId:
        raise DecodeError("the service answered a new job without its id", response.request_id, response.status)
    return created


def _plain(what: str, read: Callable[[dict[str, Any]], object]) -> Callable[[Response, Origin], object]:
    """Return a decoder of plain values. `what` names them in an error."""

    def decode(response: Response, origin: Origin) -> object:
        data = _object(response)
        try:
            return read(data)
        except (AttributeError, TypeError, ValueError) as error:
            raise DecodeError(
                f"the service answered {what} that cannot be read: {error}", response.request_id, response.status
            ) from None

    return decode


def _number_or_zero(item: object, key: str) -> int:
    value = item.get(key) if isinstance(item, dict) else item._stored(key) if isinstance(item, Record) else None
    return value if type(value) is int else 0


def _named(response: Response, origin: Origin, cls: type[Record], key: str) -> dict[str, Any]:
    """Return the items of an object that is keyed by name; each learns its own name. A bad one is kept: reading it tells."""
    if origin.humanize is None and (rows := read_rows(response.body, cls, key)) is not None:
        return rows
    data = _object(response)
    for name, item in data.items():
        if type(item) is dict and item.get(key) is None:
            item[key] = name
    return data


def _by_id(cls: type[E]) -> Callable[[Response, Origin], ListResponse[E]]:
    """Return a decoder of a list that is sorted by id."""

    def decode(response: Response, origin: Origin) -> ListResponse[E]:
        data = _named(response, origin, cls, "ResourceId")
        return ListResponse(cls, list(map(data.__getitem__, sorted(data))), origin)

    return decode


def _tasks(response: Response, origin: Origin) -> ListResponse[Task]:
    data = _named(response, origin, Task, "TaskName")
    by_start = sorted(data.items(), key=lambda pair: (_number_or_zero(pair[1], "StartTime"), pair[0]))
    return ListResponse(Task, [task for _, task in by_start], origin)


# Lists are sorted before times become text (protocol 1.2).
_DECODERS: dict[object, Callable[[Response, Origin], object]] = {
    CreateResponse: _created,
    ActionResponse: lambda response, origin: ActionResponse.wrap({}, origin),
    JobResponse: lambda response, origin: JobResponse.wrap(_object(response), origin),
    JobDescriptionResponse: lambda response, origin: JobDescriptionResponse.from_wire(_object(response), origin),
    ListResponse[Job]: _by_id(Job),
    ListResponse[Task]: _tasks,
    ListResponse[Image]: _by_id(Image),
    Ranges: _plain("a region", Ranges.from_wire),
    Surroundings: _plain("surroundings", Surroundings.from_wire),
    JobDetails: _plain("details of a job", JobDetails.from_wire),
    JobDetailsList: _plain("details of jobs", JobDetailsList.from_wire),
    LogPiece: _plain("a piece of a log", LogPiece.from_wire),
}
