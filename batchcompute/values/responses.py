"""The answers that you get: Job, Task, Instance and Image (reference sections 1.3 and 2). No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, SupportsIndex, overload

from ..messages import did_you_mean
from ..plain_errors import FieldError
from .answer_fields import Items, State, Time
from .containers import E, LazyList
from .fields import ExtensionText, Number, Text
from .jsonizable import Jsonizable, Record
from .properties import Origin
from .resources import JobDescription


class Job(Jsonizable):
    """State of a job (reference section 2.7). Times are seconds since 1970, 0 for not yet."""

    __slots__ = ()
    _identity = "JobId"

    JobId = Text(key="ResourceId")
    JobName = Text(key="Name")
    Description = Text()
    Priority = Number()
    State = State()
    """str: Waiting, Running, Finished, Failed or Stopped."""
    OwnerId = Number()
    CreateTime = Time()
    StartTime = Time()
    EndTime = Time()
    TotalTime = Number()
    """int: seconds that the finished instances ran, summed up (protocol 1.7)."""
    NumTotalTask = Number()
    NumFinishedTask = Number()
    NumFailedTask = Number()
    NumWaitingTask = Number()
    NumRunningTask = Number()
    NumStoppedTask = Number()
    NumTotalInstance = Number()
    NumFinishedInstance = Number()
    NumFailedInstance = Number()
    NumWaitingInstance = Number()
    NumRunningInstance = Number()
    NumStoppedInstance = Number()


class Instance(Jsonizable):
    """State of one instance of a task (reference section 2.9, (2)); worker times: protocol 1.7."""

    __slots__ = ()
    _identity = "InstanceId"

    InstanceId = Number()
    """int: from 0."""
    State = State()
    StartTime = Time()
    EndTime = Time()
    WorkerStartTime = Time()
    WorkerEndTime = Time()
    Node = ExtensionText()
    """str: the node that its latest attempt was given to; '' where there are no nodes. An extension of region local."""


class Task(Jsonizable):
    """State of a task (reference section 2.9, (1))."""

    __slots__ = ()
    _identity = "TaskName"
    _old_names: ClassVar[Mapping[str, str]] = {"InstanceStatusList": "InstanceList"}

    TaskName = Text()
    State = State()
    StartTime = Time()
    EndTime = Time()
    InstanceList = Items(Instance, key="InstanceStatusVector")
    """list of Instance."""


class Image(Jsonizable):
    """An image that tasks can run on (reference section 2.10)."""

    __slots__ = ()
    _identity = "ImageId"

    ImageId = Text(key="ResourceId")
    ImageName = Text(key="Name")
    Platform = Text()
    """str: Windows or Linux."""
    Description = Text()
    OwnerId = Number()


_META = ("RequestId", "StatusCode", "Date")
_NOWHERE = Origin()


class RawResponse(Record):
    """Base of every response: RequestId, StatusCode and Date (reference section 1.3)."""

    __slots__ = ()

    @property
    def RequestId(self) -> str:  # noqa: N802  # the reference's name
        """Id of the request."""
        return (self._origin or _NOWHERE).request_id

    @property
    def StatusCode(self) -> int:  # noqa: N802  # the reference's name
        """HTTP status."""
        return (self._origin or _NOWHERE).status

    @property
    def Date(self) -> str:  # noqa: N802  # the original SDK's name
        """Date header of the answer."""
        return (self._origin or _NOWHERE).date

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name) if name in _META else super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        return name in _META or super().__contains__(name)

    def _meta(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _META}


class ActionResponse(RawResponse):
    """Answer to an action: RequestId, StatusCode and Date only (reference sections 2.3 to 2.6)."""

    __slots__ = ()
    _identity = "RequestId"

    def detail(self) -> dict[str, Any]:
        """A new dict of the properties."""
        return super().detail() | self._meta()


class CreateResponse(ActionResponse):
    """Answer to create_job (reference section 2.1). Stands for the job in every other call."""

    __slots__ = ()
    _identity = "JobId"

    JobId = Text(key="ResourceId")
    """str: the id of the new job."""


class GetResponse(RawResponse):
    """Answer to get_job or get_job_description: also everything that the Job or JobDescription is."""

    __slots__ = ()


class JobResponse(GetResponse, Job):
    """The answer of get_job: a GetResponse and a Job (reference section 2.7)."""

    __slots__ = ()


class JobDescriptionResponse(GetResponse, JobDescription):
    """The answer of get_job_description: a GetResponse and a JobDescription (reference section 2.2)."""

    __slots__ = ()


class ListResponse(LazyList[E]):
    """Answer to a list call: used like a list, with RequestId, StatusCode and Date (reference section 2.8)."""

    __slots__ = ()

    @property
    def _meta(self) -> Origin:
        return self._item_origin or _NOWHERE

    @property
    def RequestId(self) -> str:  # noqa: N802  # the reference's name
        """Id of the request."""
        return self._meta.request_id

    @property
    def StatusCode(self) -> int:  # noqa: N802  # the reference's name
        """HTTP status."""
        return self._meta.status

    @property
    def Date(self) -> str:  # noqa: N802  # the original SDK's name
        """Date header of the answer."""
        return self._meta.date

    @overload
    def __getitem__(self, index: SupportsIndex) -> E: ...
    @overload
    def __getitem__(self, index: slice) -> list[E]: ...
    @overload
    def __getitem__(self, index: str) -> Any: ...
    def __getitem__(self, index: SupportsIndex | slice | str) -> E | list[E] | Any:
        if isinstance(index, str):
            if index in _META:
                return getattr(self, index)
            raise FieldError(f"a list response has no property {index!r}{did_you_mean(index, _META)}")
        return super().__getitem__(index)

    def __reduce__(self) -> tuple[Any, ...]:
        origin = Origin(self.RequestId, self.StatusCode, self.Date)
        return type(self), (self._cls, list(self), origin)
