"""The Client: one short method for each operation (reference section 2), and `wait`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, BinaryIO

from . import credentials as _credentials, logs, operations as ops, waiting
from .beyond import Beyond
from .config import Config
from .configuration import hooks_for
from .errors import ConfigError, ValidationError
from .hooks import ObjectStore, ValidationContext
from .log_pieces import read, skip
from .messages import did_you_mean, warn_caller
from .operations import A, Call
from .pipeline import Pipeline
from .regions import Ranges, find_region
from .surroundings import Surroundings
from .values.details import JobDetails, JobDetailsList
from .values.resources import JobDescription
from .values.responses import (
    ActionResponse,
    CreateResponse,
    GetResponse,
    Image,
    Job,
    JobDescriptionResponse,
    JobResponse,
    ListResponse,
    Task,
)
from .values.validation import unknown_images

JobLike = str | CreateResponse | Job | GetResponse
"""A job: its id, or an answer of create_job, get_job or list_jobs."""

_OLD_NAMES = {"human_readabel": "human_readable"}  # misspelt in the reference's example (section 2)
_ENDPOINTS = "a region such as 'local' or 'cn-qingdao', a domain or a URL"
_ARGUMENTS = (
    "endpoint",
    "region",
    "access_key_id",
    "access_key_secret",
    "human_readable",
    "security_token",
    "plugins",
    "config",
    "timeout",
    "strict",
)


class Client:
    """Speaks API 2015-06-30 to a region. Thread-safe, fork-safe; a context manager that closes its connections.

    Every method takes `timeout`, the seconds that the call may take in all, and may raise ClientError (the service
    answered with an error), TransportError (no answer arrived), DecodeError or CredentialsError.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        access_key_id: str | None = None,
        access_key_secret: str | None = None,
        human_readable: bool = False,
        *,
        region: str | None = None,
        security_token: str | None = None,
        plugins: Iterable[object] = (),
        config: Config | None = None,
        timeout: float | None = None,
        strict: bool | None = None,
        **unknown: Any,
    ) -> None:
        """Reference section 2.

        endpoint: a region (`local`, `cn-qingdao`), a domain (CN_QINGDAO) or a URL; `region` is another name for it.
        access_key_id, access_key_secret, security_token: not needed where the region has its own, as `local` does.
        human_readable: show times as `YYYY-MM-DD HH:MM:SS` in local time instead of numbers.
        plugins: plugin objects for this Client only. timeout: seconds, for each call that is not given its own.
        config: settings; None reads those of files and environment, which may name the endpoint (docs/configuration.md).
        strict: a name that does not exist is an error, not a warning; None leaves it to the setting `strict`.
        Raises ConfigError.
        """
        for name, value in unknown.items():
            if name not in _OLD_NAMES:
                raise TypeError(f"Client has no argument {name!r}{did_you_mean(name, _ARGUMENTS)}")
            if human_readable:
                raise TypeError(f"human_readable and {name} are two names of one argument: pass the first")
            warn_caller(f"Client({name}=...) is called {_OLD_NAMES[name]}", DeprecationWarning)
            human_readable = value
        if not isinstance(human_readable, bool):
            raise TypeError(
                f"human_readable must be True or False, not {type(human_readable).__name__}; "
                "a security token is passed as security_token=..."
            )
        if endpoint is not None and region is not None and endpoint != region:
            raise ConfigError("endpoint and region are two names of one argument: pass one of them")
        where = endpoint if endpoint is not None else region
        if where is not None and (not isinstance(where, str) or not where.strip()):
            raise ConfigError(f"endpoint must be {_ENDPOINTS}, not {where!r}")
        if config is not None and not isinstance(config, Config):
            raise TypeError(f"config must be a Config, not {type(config).__name__}")
        if strict is not None and not isinstance(strict, bool):
            raise TypeError(f"strict must be True, False or None, not {type(strict).__name__}")
        check_timeout(timeout)
        explicit = _credentials.explicit(access_key_id, access_key_secret, security_token)
        self._hooks = hooks_for(config, plugins, strict)
        self._config = self._hooks.config
        self._strict = self._config.strict if strict is None else strict
        where = where or self._config.endpoint
        if where is None:
            raise ConfigError(
                f"endpoint is missing: pass {_ENDPOINTS}, or set endpoint in the configuration or BATCHCOMPUTE_ENDPOINT"
            )
        found = find_region(where, self._hooks.regions())
        self._timeout = timeout if timeout is not None else self._config.timeout
        humanize = self._hooks.humanize_timestamp if human_readable else None
        self._pipeline = Pipeline(self._hooks, found, self._config, explicit, humanize)
        self._beyond = Beyond(self._pipeline, found)

    # --- the ten operations

    def create_job(
        self,
        job_desc: JobDescription | Mapping[str, Any] | str,
        *,
        idempotency_token: str | None = None,
        surroundings: Surroundings | None = None,
        timeout: float | None = None,
    ) -> CreateResponse:
        """Submit a job; its id is `.JobId` (reference section 2.1).

        job_desc: JobDescription, dict or JSON text. Raises ValidationError, with every problem, before anything is sent;
        TypeError or JsonError for what is no description at all.
        idempotency_token: 1 to 64 letters, digits, '-' and '_' of your choice; the same token with the same description is
        the same job, for 24 hours. Only where the region supports tokens, ConfigError elsewhere; without one of yours the
        Client makes one for each call.
        surroundings: interpreter, PATH, locale and time zone of the programs, None for those of this process. Only regions
        that keep them, as local does, are sent them. Raises ConfigError if they are larger than 8,192 bytes.
        """
        if idempotency_token is not None:
            self._check_token(idempotency_token)
        left = self._start(timeout)
        description = job_desc if isinstance(job_desc, JobDescription) else JobDescription(job_desc)
        self._check_job(description, left)
        if self._strict:
            self._check_images(description, left)
        # what detail() makes has no circles to look for
        body = json.dumps(description.detail(), separators=(",", ":"), check_circular=False).encode("ascii")
        return self._pipeline.call(
            Call(
                ops.CREATE_JOB,
                body=body,
                timeout=left(),
                token=idempotency_token,
                surroundings=surroundings,
            )
        )

    def list_jobs(self, *, timeout: float | None = None) -> ListResponse[Job]:
        """Return all jobs of the user, sorted by id (reference section 2.8)."""
        return self._pipeline.call(Call(ops.LIST_JOBS, timeout=self._choose_timeout(timeout)))

    def get_job(self, job: JobLike, *, timeout: float | None = None, wait: int = 0) -> JobResponse:
        """Return the state of a job (reference section 2.7).

        wait: whole seconds for which a service that can, as region local's, may keep the answer back until the job has
        ended (`Prefer: wait`, RFC 7240); others ignore it. Raises TypeError, ValueError.
        """
        if isinstance(wait, bool) or not isinstance(wait, int):
            raise TypeError(f"wait must be a whole number of seconds, not {wait!r}")
        if wait < 0:
            raise ValueError(f"wait must be a whole number of seconds, not {wait}")
        wait = min(wait, int(self._find_patience(timeout))) if wait else 0
        return self._call_on_job(ops.GET_JOB, job, timeout, wait=wait)

    def get_job_description(self, job: JobLike, *, timeout: float | None = None) -> JobDescriptionResponse:
        """Return the description of a job (reference section 2.2)."""
        return self._call_on_job(ops.GET_JOB_DESCRIPTION, job, timeout)

    def update_job_priority(self, job: JobLike, priority: int, *, timeout: float | None = None) -> ActionResponse:
        """Change the priority of a Stopped or Failed job (reference section 2.3).

        priority: int within the region's range, [0, 1000]; larger runs earlier. Raises TypeError, ValidationError.
        """
        if isinstance(priority, bool) or not isinstance(priority, int):
            raise TypeError(f"priority must be an int, not {type(priority).__name__}")
        ranges = self._beyond.region.ranges
        if priority not in ranges.priority:
            raise ValidationError([ranges.priority.problem("Priority", priority, ranges.source)])
        return self._call_on_job(ops.UPDATE_JOB_PRIORITY, job, timeout, str(priority).encode())

    def stop_job(self, job: JobLike, *, timeout: float | None = None) -> ActionResponse:
        """Stop a Waiting or Running job (reference section 2.4)."""
        return self._call_on_job(ops.STOP_JOB, job, timeout)

    def start_job(self, job: JobLike, *, timeout: float | None = None) -> ActionResponse:
        """Start a Stopped or Failed job again; Finished instances do not run again (reference section 2.5)."""
        return self._call_on_job(ops.START_JOB, job, timeout)

    def delete_job(self, job: JobLike, *, timeout: float | None = None) -> ActionResponse:
        """Delete a Stopped, Finished or Failed job (reference section 2.6)."""
        return self._call_on_job(ops.DELETE_JOB, job, timeout)

    def list_tasks(self, job: JobLike, *, timeout: float | None = None) -> ListResponse[Task]:
        """Return the tasks of a job with their instances, sorted by start time and name (reference section 2.9)."""
        return self._call_on_job(ops.LIST_TASKS, job, timeout)

    def list_images(self, *, timeout: float | None = None) -> ListResponse[Image]:
        """Return the images that tasks can run on, sorted by id (reference section 2.10)."""
        return self._pipeline.call(Call(ops.LIST_IMAGES, timeout=self._choose_timeout(timeout)))

    def list_job_status(self, *, timeout: float | None = None) -> ListResponse[Job]:
        """Return all jobs: the name that the reference's example uses for list_jobs (section 2.8). Deprecated."""
        warn_caller("Client.list_job_status is called list_jobs", DeprecationWarning)
        return self.list_jobs(timeout=timeout)

    # --- beyond the reference

    def check_job(self, job_desc: JobDescription, *, timeout: float | None = None) -> None:
        """Raises ValidationError with everything for which create_job would refuse a description. Creates nothing.

        A strict Client refuses names that no class has. Only create_job looks for the images, since it asks the region.
        A service at a URL that no region has is asked for its ranges if those of the reference refuse a description: until it has
        answered; one that does not know the question is asked again after a while.
        """
        self._check_job(job_desc, self._start(timeout))

    def _check_job(self, job_desc: JobDescription, left: Callable[[], float | None]) -> None:
        unknown = job_desc.unknown_names() if self._strict else []
        problems = self._hooks.validate_description(ValidationContext(job_desc, self._beyond.region))
        if problems and self._beyond.ask_region(left()):
            problems = self._hooks.validate_description(ValidationContext(job_desc, self._beyond.region))
        if unknown or problems:
            raise ValidationError([*unknown, *problems])

    def get_region(self, *, timeout: float | None = None) -> Ranges:
        """Return what descriptions may contain where the Client sends them, as the service says it.

        Only services of region local answer this, also over a port. Others answer with an error.
        """
        return self._pipeline.call(Call(ops.GET_REGION, timeout=self._choose_timeout(timeout)))

    def get_surroundings(self, job: JobLike, *, timeout: float | None = None) -> Surroundings | None:
        """Return the interpreter, PATH, locale and time zone with which a job was submitted.

        None if its client sent none, and where the service does not keep them, see `list_job_details`.
        """
        found = self._beyond.call(Call(ops.GET_SURROUNDINGS, job_id_of(job), timeout=self._choose_timeout(timeout)))
        return found if found != Surroundings() else None

    def list_job_details(self, *, timeout: float | None = None) -> JobDetailsList | None:
        """Return the slots of the service, which jobs of the user wait and why, and which left processes.

        None where the service does not know that: only region local's does, also over a port. Other regions are not asked.
        """
        return self._beyond.call(Call(ops.LIST_JOB_DETAILS, timeout=self._choose_timeout(timeout)))

    def get_job_details(
        self,
        job: JobLike,
        task_name: str | None = None,
        instance_id: int | None = None,
        *,
        timeout: float | None = None,
    ) -> JobDetails | None:
        """Return why a job waits, and the attempts of its instances that failed, ran more than once or left processes.

        task_name: only this task; instance_id: only this instance of it, whatever became of it. None where the service does
        not know that, see `list_job_details`. Raises ValueError for an instance without its task.
        """
        if instance_id is not None and task_name is None:
            raise ValueError("instance_id needs a task_name")
        chosen = {"Task": task_name, "Instance": instance_id}
        parameters = {name: str(value) for name, value in chosen.items() if value is not None}
        return self._beyond.call(
            Call(ops.GET_JOB_DETAILS, job_id_of(job), timeout=self._choose_timeout(timeout), parameters=parameters)
        )

    def wait(
        self,
        job: JobLike,
        *,
        timeout: float | None = None,
        on_change: Callable[[Job], object] | None = None,
        check: bool = False,
    ) -> JobResponse:
        """Wait until a job has ended, and return its last state.

        timeout: seconds, None for as long as it takes; on_change: called with the Job whenever anything about it changed.
        check: raise JobFailedError or JobStoppedError unless the job has Finished; the error names the
        failed instances, twenty at most, and ends with the last lines of the first one's stderr, where the region can give
        them. Raises WaitTimeoutError; the job then goes on.
        """
        check_timeout(timeout)
        return waiting.wait(
            self, job_id_of(job), timeout, on_change, check, self._pipeline.clock, self._find_patience(None)
        )

    def read_log(
        self,
        job: JobLike,
        task_name: str,
        instance_id: int = 0,
        stream: str = "stderr",
        *,
        start: int = 0,
        limit: int | None = None,
        attempt: int | None = None,
    ) -> bytes | None:
        """Return what an instance wrote to `stream`, stdout or stderr; None if the region has no logs to give.

        start: how many bytes to leave out, because they were read before; limit: at most so many bytes, None for all.
        attempt: from 1, None for the newest one.
        Raises KeyError for a task that the job does not have; LookupError for an attempt without a log, where that is known.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be None or at least 0, not {limit}")
        log = self.open_log(job, task_name, instance_id, stream, attempt=attempt)
        if log is None:
            return None
        with log:
            skip(log, start)
            return read(log, limit)

    def open_log(
        self,
        job: JobLike,
        task_name: str,
        instance_id: int = 0,
        stream: str = "stderr",
        *,
        attempt: int | None = None,
    ) -> BinaryIO | None:
        """Open what `read_log` reads, for a log of any size; arguments and errors are the same. The caller closes it."""
        return logs.open_log(
            self,
            self._hooks,
            self._beyond.region,
            self._beyond.call,
            job_id_of(job),
            task_name,
            instance_id,
            stream,
            attempt,
            self._timeout,
        )

    @property
    def objects(self) -> ObjectStore:
        """Object store of the region: put, open, exists, list, delete by `oss://bucket/key`. Raises ConfigError without one."""
        ctx = self._pipeline.context(Call(ops.LIST_IMAGES))
        store = self._hooks.object_store(
            replace(
                ctx,
                find_credentials=partial(self._pipeline.find_credentials, ctx),
                find_oss_endpoint=partial(self._beyond.find_oss_endpoint, self._timeout),
                find_retry_policy=partial(self._pipeline.retry_policy, ctx),
            )
        )
        if store is None:
            raise ConfigError(f"no plugin offers an object store for region {self._beyond.region.name}")
        return store

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._pipeline.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._beyond.region.name!r})"

    def _call_on_job(
        self, operation: ops.Operation[A], job: JobLike, timeout: float | None, body: bytes = b"", wait: int = 0
    ) -> A:
        return self._pipeline.call(Call(operation, job_id_of(job), body, self._choose_timeout(timeout), wait=wait))

    def _choose_timeout(self, timeout: float | None) -> float | None:
        """Return the timeout of a call: its own, else the Client's."""
        if timeout is None:
            return self._timeout
        check_timeout(timeout)
        return timeout

    def _start(self, timeout: float | None) -> Callable[[], float | None]:
        """Return what says how many seconds are left of the timeout of a call that asks first; None without one."""
        seconds, now = self._choose_timeout(timeout), self._pipeline.clock.monotonic
        if seconds is None:
            return lambda: None
        ends = now() + seconds
        return lambda: max(0.0, ends - now())

    def _find_patience(self, timeout: float | None) -> float:
        """Seconds for which an answer may be kept back without looking like a lost one."""
        return min(self._config.transport.read_timeout, timeout or self._timeout or math.inf) / 2

    def _check_images(self, description: JobDescription, left: Callable[[], float | None]) -> None:
        """Raises ValidationError for images that the region does not list."""
        if any(task.ImageId for task in description.TaskDag.TaskDescMap.values()):
            known = {image.ImageId for image in self._pipeline.call(Call(ops.LIST_IMAGES, timeout=left()))}
            if problems := unknown_images(description, known, "list_images()"):
                raise ValidationError(problems)

    def _check_token(self, token: str) -> None:
        if not isinstance(token, str) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", token):
            raise ValueError("idempotency_token must be 1 to 64 letters, digits, '-' and '_'")
        if not self._beyond.region.idempotent_tokens:
            raise ConfigError(f"region {self._beyond.region.name} does not support idempotency tokens")


def job_id_of(job: JobLike) -> str:
    """Return the id that a JobLike names.

    An empty one is refused: it would change what the request means (protocol 1.9, number 9).
    """
    if isinstance(job, str):
        job_id = job
    elif isinstance(job, (CreateResponse, Job)):
        job_id = job.JobId
    else:
        raise TypeError(
            f"a job is given by its id, or by what create_job, get_job or list_jobs answered, not by {type(job).__name__}"
        )
    if not job_id.strip():
        raise ValueError("the job id is empty")
    # '.' and '..' are not encoded, and resolved by whatever is on the way: another path
    if job_id in (".", "..") or any("\ud800" <= character <= "\udfff" for character in job_id):
        raise ValueError(f"{job_id!r} is not a job id")
    return job_id


def find_target(client: Client) -> tuple[str, str]:
    """Return the URL of a Client's requests and the id of the access key that signs them, "" without one: whose jobs it lists.

    Both as they are now. Raises what a plugin raises.
    """
    return client._pipeline.find_target(Call(ops.LIST_JOBS))


def check_timeout(timeout: float | None) -> None:
    """Raises TypeError or ValueError for what is no number of seconds."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be seconds, not {type(timeout).__name__}")
    if not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")
