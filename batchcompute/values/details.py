"""The answers of region local that the API has no place for: slots, reasons for waiting, attempts. Plain frozen values, no I/O.

`from_wire` ignores what it does not know, and raises TypeError or ValueError for what is not as documented (docs/client.md).
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots of a service. `by_job`: the slots that each job takes; those of other accounts are together under ""."""

    total: int
    taken: int
    by_job: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_wire(cls, data: Any) -> Slots:
        """Read {Total, Taken, ByJob}."""
        return cls(_get(data, "Total", int), _get(data, "Taken", int), _read_all(data, "ByJob", str, _whole))


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process that still ran after its program had ended, and got `signal` (SIGTERM, SIGKILL) for that."""

    pid: int
    command: str
    signal: str

    @classmethod
    def from_wire(cls, data: Any) -> Leftover:
        """Read {Pid, Command, Signal}."""
        return cls(_get(data, "Pid", int), _get(data, "Command", str), _get(data, "Signal", str))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to run an instance. Times are seconds since 1970, 0 for not yet.

    `number` counts from 1; `round` is the number of times that the job had been started by then. `state` is Running, Finished,
    Failed or Stopped. `exit_code` and `signal` are None where there is none. `reason` says in words why it failed where the
    exit code or the signal alone does not. `start_time` and `end_time` are those of the service, `worker_...` those of the
    program. `leftovers`: the first hundred processes that had to be ended after the program.
    """

    number: int
    round: int
    state: str
    start_time: float = 0.0
    end_time: float = 0.0
    worker_start_time: float = 0.0
    worker_end_time: float = 0.0
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    host: str = ""
    timed_out: bool = False
    leftovers: tuple[Leftover, ...] = ()
    node: str = ""

    @classmethod
    def from_wire(cls, data: Any) -> Attempt:
        """Read an attempt."""
        return cls(
            _get(data, "Attempt", int),
            _get(data, "Round", int),
            _get(data, "State", str),
            _get(data, "StartTime", (int, float)),
            _get(data, "EndTime", (int, float)),
            _get(data, "WorkerStartTime", (int, float)),
            _get(data, "WorkerEndTime", (int, float)),
            _get(data, "ExitCode", (int, type(None))),
            _get(data, "Signal", (int, type(None))),
            _get(data, "Reason", str),
            _get(data, "Host", str),
            _get(data, "TimedOut", bool),
            tuple(map(Leftover.from_wire, _get(data, "Leftovers", list))),
            _get(data, "Node", str) if "Node" in data else "",  # a service of an earlier version does not say it
        )


@dataclass(frozen=True, slots=True)
class InstanceDetails:
    """An instance with its attempts, the oldest first. `reason`: why it waits; `retries`: how many it spent in this round."""

    state: str
    reason: str
    retries: int
    attempts: tuple[Attempt, ...]

    @classmethod
    def from_wire(cls, data: Any) -> InstanceDetails:
        """Read {State, Reason, Retries, Attempts}."""
        attempts = tuple(map(Attempt.from_wire, _get(data, "Attempts", list)))
        return cls(_get(data, "State", str), _get(data, "Reason", str), _get(data, "Retries", int), attempts)


@dataclass(frozen=True, slots=True)
class TaskDetails:
    """A task. `reason`: why it, or an instance of it, waits; "" if nothing does. `leftovers`: the instances that left processes.

    `instances` has those by number that failed, ran more than once, left processes or are held; `more` counts those that
    did not fit into the answer.
    """

    reason: str
    max_retry_count: int
    leftovers: int
    instances: Mapping[int, InstanceDetails]
    more: int = 0

    @classmethod
    def from_wire(cls, data: Any) -> TaskDetails:
        """Read {Reason, MaxRetryCount, Leftovers, Instances, More}."""
        return cls(
            _get(data, "Reason", str),
            _get(data, "MaxRetryCount", int),
            _get(data, "Leftovers", int),
            _read_all(data, "Instances", int, InstanceDetails.from_wire),
            _get(data, "More", int),
        )


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job. `reason`: why nothing of it runs; "" if something does. `round`: how often it was started. `tasks` are by name."""

    reason: str
    round: int
    slots: Slots
    tasks: Mapping[str, TaskDetails]

    @classmethod
    def from_wire(cls, data: Any) -> JobDetails:
        """Read {Reason, Round, Slots, Tasks}."""
        return cls(
            _get(data, "Reason", str),
            _get(data, "Round", int),
            Slots.from_wire(_get(data, "Slots", dict)),
            _read_all(data, "Tasks", str, TaskDetails.from_wire),
        )


@dataclass(frozen=True, slots=True)
class JobDetailsList:
    """All jobs of the user at once. `reasons`: why a job waits, by the ids of those that do.

    `leftovers`: the number of instances that left processes, by the ids of the jobs that have any.
    """

    slots: Slots
    reasons: Mapping[str, str]
    leftovers: Mapping[str, int]

    @classmethod
    def from_wire(cls, data: Any) -> JobDetailsList:
        """Read {Slots, Jobs}."""
        jobs = _get(data, "Jobs", dict)
        reasons = {job_id: _get(job, "Reason", str) for job_id, job in jobs.items()}
        leftovers = {job_id: _get(job, "Leftovers", int) for job_id, job in jobs.items()}
        return cls(
            Slots.from_wire(_get(data, "Slots", dict)),
            {job_id: reason for job_id, reason in reasons.items() if reason},
            {job_id: count for job_id, count in leftovers.items() if count},
        )


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Bytes of a log. `size`: of the log now, in bytes. `missing`: why there is no such log; None if there is one.

    `file` names the file, whatever attempt begins meanwhile; "" if it no longer changes.
    """

    data: bytes = b""
    size: int = 0
    file: str = ""
    missing: str | None = None

    @classmethod
    def from_wire(cls, data: Any) -> LogPiece:
        """Read {Data, Size, File}, Data in base64, or {Missing}."""
        if isinstance(data, dict) and "Missing" in data:
            return cls(missing=_get(data, "Missing", str))
        content = b64decode(_get(data, "Data", str), validate=True)
        return cls(content, _get(data, "Size", int), _get(data, "File", str))


def _get(data: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    value = data.get(name) if isinstance(data, dict) else None
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool):
        return value
    raise TypeError(f"{name} cannot be {value!r:.60}")


def _read_all(data: Any, name: str, key: Callable[[str], K], read: Callable[[Any], T]) -> dict[K, T]:
    return {key(each): read(value) for each, value in _get(data, name, dict).items()}


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected an integer, got {value!r:.60}")
    return value
