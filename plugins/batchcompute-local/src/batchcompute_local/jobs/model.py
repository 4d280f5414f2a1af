"""Jobs, tasks and instances in memory, and how they change. No I/O; what changed is noted in `Changes`.

A task of a hundred thousand instances costs a counter until they start: an `Instance` exists only for one that has
left Waiting at least once.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs.claim_ahead import ClaimAhead
from batchcompute_local.jobs.states import ENDED, FINISHED, NONE, STOPPED, WAITING, Counts, State
from batchcompute_local.plan import NO_PLAN, JobPlan
from batchcompute_local.records import Leftover

_MOST_LEFTOVERS = 100

LOST = "lost: it is not known how it ended"
"""The reason of an attempt that was given up."""

_DIGITS = 18
"""Of a number that the store takes."""


@dataclass(slots=True)
class Instance:
    """One instance that was started at least once. `attempt` counts from 1. Times are epoch seconds, 0 = not yet."""

    number: int
    state: State = WAITING
    attempt: int = 0
    started: float = 0.0
    ended: float = 0.0
    worker_started: float = 0.0
    worker_ended: float = 0.0
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    host: str = ""
    retries: int = 0
    """Retries since the job was started."""
    not_before: float = 0.0
    """The end of the pause before a retry, in epoch seconds; 0: none."""
    round: int = 1
    """Of its latest attempt: the number of times that the job had been started by then."""
    timed_out: bool = False
    leftovers: str = ""
    """JSON list of what its latest attempt left, see `encode_leftovers`; empty if nothing."""
    node: str = ""
    """The name of the node that its latest attempt was given to; empty if there are no nodes."""

    def reset(self) -> None:
        """Go back to Waiting; only the numbers of attempts, of retries and of the round are kept."""
        self.state = WAITING
        self.started = self.ended = self.worker_started = self.worker_ended = self.not_before = 0.0
        self.exit_code = self.signal = None
        self.reason = self.host = self.leftovers = self.node = ""
        self.timed_out = False


@dataclass(frozen=True)
class Attempt:
    """An earlier attempt of an instance. Times are epoch seconds, 0 = never. The fields are those of `Instance`."""

    attempt: int
    state: State
    started: float
    ended: float
    worker_started: float
    worker_ended: float
    exit_code: int | None
    signal: int | None
    reason: str
    host: str
    round: int
    timed_out: bool
    leftovers: str
    node: str


_OF_AN_ATTEMPT = tuple(each.name for each in fields(Attempt))


@dataclass(slots=True, eq=False)
class Task:
    """One task of a job. `again` is a heap of instances below the `cursor` that are to run; those from there on are untouched.

    `instances` are those that were started and have not ended; only the store has the others.
    """

    position: int
    name: str
    counts: Counts
    state: State = WAITING
    started: float = 0.0
    ended: float = 0.0
    instances: dict[int, Instance] = field(default_factory=dict)
    cursor: int = 0
    again: list[int] = field(default_factory=list)
    blockers: int = 0
    listed: bool = False
    """Whether it is in `Job.ready`, or parked by the scheduler."""
    ahead: ClaimAhead | None = None
    """Estimate by the ends of its own instances, where there are nodes."""

    def has_next(self) -> bool:
        """Return whether an instance waits for nothing but its turn, if the task does."""
        return bool(self.again) or self.cursor < self.counts.total

    def take(self) -> int | None:
        """Take the next instance to run, in order; None if none waits."""
        if self.again:
            return heapq.heappop(self.again)
        if self.cursor >= self.counts.total:
            return None
        self.cursor += 1
        return self.cursor - 1

    def put_back(self, number: int) -> None:
        """Let instance `number` run once more."""
        heapq.heappush(self.again, number)

    def set_state(self, number: int, new: State) -> Instance:
        """Put instance `number` in state `new`, and count it there."""
        instance = self.instances.get(number)
        if instance is None:
            instance = self.instances[number] = Instance(number)
        self.counts = self.counts.move(instance.state, new)
        instance.state = new
        return instance

    def state_of(self, number: int, job: State) -> State:
        """Return the state of instance `number`; one that was never started follows the job."""
        instance = self.instances.get(number)
        if instance is not None:
            return instance.state
        return STOPPED if job is STOPPED else WAITING


@dataclass(slots=True, eq=False)
class Job:
    """One job. `tasks` is empty in a summary read for an answer. `ready` is a heap of task positions."""

    seq: int
    id: str
    owner: int
    name: str
    description: str
    priority: int
    created: float
    state: State = WAITING
    started: float = 0.0
    ended: float = 0.0
    total_time: float = 0.0
    counts: Counts = NONE
    task_counts: Counts = NONE
    round: int = 1
    """The number of times that it was started."""
    parent: str = ""
    """The attempt that submitted it, empty if none did."""
    plan: JobPlan = NO_PLAN
    tasks: list[Task] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    queued: bool = False
    blocked: int = 0
    """The number of instances of tasks that wait for another task."""

    def running(self) -> Iterator[tuple[Task, Instance]]:
        """Yield all running instances."""
        for task in self.tasks:
            if task.counts.running:
                for instance in task.instances.values():
                    if instance.state is State.RUNNING:
                        yield task, instance

    def can_run(self) -> bool:
        """Return whether an instance runs, or waits for nothing but its turn. Only for a job whose tasks are lined up."""
        return bool(self.counts.running) or self.counts.waiting > self.blocked

    def offer(self, task: Task) -> None:
        """Put `task` on the list if it has something to run and waits for no other task."""
        if not task.listed and not task.blockers and task.counts.waiting:
            task.listed = True
            heapq.heappush(self.ready, task.position)

    def line_up(self, is_held: Callable[[Task, Instance], bool]) -> None:
        """Find what is ready. A waiting instance that `is_held` has to be put back later."""
        for task, after in zip(self.tasks, self.plan.successors, strict=True):
            if task.state is not FINISHED:
                for position in after:
                    self.tasks[position].blockers += 1
        self.blocked = sum(task.counts.waiting for task in self.tasks if task.blockers)
        for task in self.tasks:
            for instance in task.instances.values():
                if instance.state is WAITING and not is_held(task, instance):
                    task.again.append(instance.number)
            heapq.heapify(task.again)
            self.offer(task)


@dataclass(frozen=True)
class StoredAnswer:
    """Answer of a request with an idempotency token: `digest` of the request, JSON `text`, epoch seconds `at`."""

    digest: str
    text: str
    at: float


@dataclass
class Changes:
    """Rows for the next commit. They have keys, so that ten changes of one row are written once."""

    created: dict[int, Job] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    tasks: dict[tuple[int, int], Task] = field(default_factory=dict)
    instances: dict[tuple[int, int, int], Instance] = field(default_factory=dict)
    # two changes of an instance that write less than a whole row: its first attempt began, the one that ran ended
    begun: dict[tuple[int, int, int], Instance] = field(default_factory=dict)
    ended: dict[tuple[int, int, int], Instance] = field(default_factory=dict)
    attempts: dict[tuple[int, int, int, int], Attempt] = field(default_factory=dict)
    """Attempts that are no longer the latest one of their instance."""
    late: dict[str, Exited] = field(default_factory=dict)
    """Ends of the programs of stopped instances, by attempt; their jobs may not be in memory any more."""
    stopping: dict[str, str] = field(default_factory=dict)
    """Nodes of attempts that are being ended, since no instance wants them any more; empty once the attempt has ended."""
    deleted: set[int] = field(default_factory=set)
    answers: dict[tuple[int, str], StoredAnswer] = field(default_factory=dict)
    forget_answers_before: float = 0.0

    def touch(self, job: Job, task: Task | None = None, instance: Instance | None = None) -> None:
        """Note that these rows changed."""
        self.jobs[job.seq] = job
        if task is not None:
            self.tasks[job.seq, task.position] = task
            if instance is not None:
                self.instances[job.seq, task.position, instance.number] = instance

    def clear(self) -> None:
        """Forget everything: it is written, or undone."""
        rows = (self.created, self.jobs, self.tasks, self.instances, self.begun, self.ended, self.attempts)
        for part in (*rows, self.late, self.stopping, self.deleted, self.answers):
            part.clear()

    def __bool__(self) -> bool:
        return any((self.jobs, self.created, self.late, self.stopping, self.deleted, self.answers))


def attempt_id(job: Job, task: Task, instance: Instance) -> str:
    """Return the name of the instance's latest attempt: `<job id>.<task position>.<instance>.<attempt>`."""
    return f"{job.id}.{task.position}.{instance.number}.{instance.attempt}"


def parse_attempt(attempt: str) -> tuple[str, int, int, int]:
    """Split the name into job id, task position, instance number and attempt number. Raises ValueError."""
    job, task, number, count = attempt.rsplit(".", 3)
    if max(len(task), len(number), len(count)) > _DIGITS:
        raise ValueError(f"{attempt[:200]!r} is not the name of an attempt")
    return job, int(task), int(number), int(count)


def running_instance(jobs: Mapping[str, Job], attempt: str) -> tuple[Job, Task, Instance] | None:
    """Find the running instance whose latest attempt is `attempt`; None for any other attempt."""
    try:
        job_id, position, number, _ = parse_attempt(attempt)
        job = jobs[job_id]
        task = job.tasks[position]
        instance = task.instances[number]
    except (ValueError, KeyError, IndexError):
        return None
    current = instance.state is State.RUNNING and attempt_id(job, task, instance) == attempt
    return (job, task, instance) if current else None


def new_job(seq: int, job_id: str, owner: int, plan: JobPlan, now: float) -> Job:
    """Build a job that was just accepted."""
    tasks = [Task(n, spec.name, Counts(waiting=spec.instance_count)) for n, spec in enumerate(plan.tasks)]
    return Job(
        seq=seq,
        id=job_id,
        owner=owner,
        name=plan.name,
        description=plan.description,
        priority=plan.priority,
        created=now,
        counts=Counts(waiting=sum(t.counts.waiting for t in tasks)),
        task_counts=Counts(waiting=len(tasks)),
        plan=plan,
        tasks=tasks,
        parent=plan.parent,
    )


def as_earlier(instance: Instance, state: State) -> Attempt:
    """Return the latest attempt of `instance` as it is now, but in `state`."""
    return replace(Attempt(*(getattr(instance, name) for name in _OF_AN_ATTEMPT)), state=state)


def encode_leftovers(leftovers: Sequence[Leftover]) -> str:
    """Return the first hundred as a JSON list of {Pid, Command, Signal}; empty if there are none."""
    found = [{"Pid": one.pid, "Command": one.command, "Signal": one.signal} for one in leftovers[:_MOST_LEFTOVERS]]
    return json.dumps(found, separators=(",", ":")) if found else ""


def has_ended(job: Job) -> bool:
    """Return whether nothing of the job will run unless it is started again."""
    return job.state in ENDED
