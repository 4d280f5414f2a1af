"""Jobs, tasks and instances in memory, and how they change. No I/O; what changed is noted in `Changes`.

A task of a hundred thousand instances costs a counter until they start: an `Instance` exists only for one that has
left Waiting at least once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs.states import ENDED, FINISHED, NONE, STOPPED, WAITING, Counts, State
from batchcompute_local.plan import NO_PLAN, JobPlan


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

    def reset(self) -> None:
        """Back to Waiting; only the number of attempts is kept."""
        self.state = WAITING
        self.started = self.ended = self.worker_started = self.worker_ended = 0.0
        self.exit_code = self.signal = None
        self.reason = self.host = ""


@dataclass(slots=True, eq=False)
class Task:
    """One task of a job. `again` is a heap of instances to run once more, `cursor` walks over the untouched ones."""

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

    def take(self) -> int | None:
        """The next instance to run, in order; None if none waits."""
        total = self.counts.total
        while self.cursor < total and self.cursor in self.instances:
            self.cursor += 1
        if self.again and (self.cursor >= total or self.again[0] < self.cursor):
            return heapq.heappop(self.again)
        if self.cursor >= total:
            return None
        self.cursor += 1
        return self.cursor - 1

    def put_back(self, number: int) -> None:
        """Instance `number` can run once more."""
        heapq.heappush(self.again, number)

    def set_state(self, number: int, new: State) -> Instance:
        """Put instance `number` in state `new`, counted."""
        instance = self.instances.get(number)
        if instance is None:
            instance = self.instances[number] = Instance(number)
        self.counts = self.counts.move(instance.state, new)
        instance.state = new
        return instance

    def state_of(self, number: int, job: State) -> State:
        """The state of instance `number`; untouched ones follow the job."""
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
    plan: JobPlan = NO_PLAN
    tasks: list[Task] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    queued: bool = False

    def running(self) -> Iterator[tuple[Task, Instance]]:
        """All running instances."""
        for task in self.tasks:
            if task.counts.running:
                for instance in task.instances.values():
                    if instance.state is State.RUNNING:
                        yield task, instance

    def offer(self, task: Task) -> None:
        """`task` has something to run; a task that still waits for another is not taken."""
        if not task.listed and not task.blockers and task.counts.waiting:
            task.listed = True
            heapq.heappush(self.ready, task.position)

    def line_up(self, is_live: Callable[[str], bool]) -> list[tuple[str, Task, int]]:
        """Work out what is ready. Returns the attempts that must be seen dead before their instance runs again."""
        for task, after in zip(self.tasks, self.plan.successors, strict=True):
            if task.state is not FINISHED:
                for position in after:
                    self.tasks[position].blockers += 1
        held = []
        for task in self.tasks:
            for instance in task.instances.values():
                if instance.state is WAITING:
                    attempt = attempt_id(self, task, instance)
                    if is_live(attempt):
                        held.append((attempt, task, instance.number))
                    else:
                        task.again.append(instance.number)
            heapq.heapify(task.again)
            self.offer(task)
        return held


@dataclass(frozen=True)
class StoredAnswer:
    """What a request with an idempotency token was answered: `digest` of the request, JSON `text`, epoch seconds `at`."""

    digest: str
    text: str
    at: float


@dataclass
class Changes:
    """What the next commit has to write. Keyed, so that ten changes of one row are written once."""

    created: dict[int, Job] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    tasks: dict[tuple[int, int], Task] = field(default_factory=dict)
    instances: dict[tuple[int, int, int], Instance] = field(default_factory=dict)
    late: dict[str, Exited] = field(default_factory=dict)
    """How the programs of stopped instances ended, by attempt; their jobs may not be in memory any more."""
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
        """All is written."""
        for part in (self.created, self.jobs, self.tasks, self.instances, self.late, self.deleted, self.answers):
            part.clear()

    def __bool__(self) -> bool:
        return bool(self.jobs or self.created or self.late or self.deleted or self.answers)


def attempt_id(job: Job, task: Task, instance: Instance) -> str:
    """The name of the instance's latest attempt: `<job id>.<task position>.<instance>.<attempt>`."""
    return f"{job.id}.{task.position}.{instance.number}.{instance.attempt}"


def parse_attempt(attempt: str) -> tuple[str, int, int, int]:
    """Job id, task position, instance number and attempt number. Raises ValueError."""
    job, task, number, count = attempt.rsplit(".", 3)
    return job, int(task), int(number), int(count)


def running_instance(jobs: Mapping[str, Job], attempt: str) -> tuple[Job, Task, Instance] | None:
    """Whose running instance `attempt` is the latest attempt of; None for any other attempt."""
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
    """A job that was just accepted."""
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
    )


def has_ended(job: Job) -> bool:
    """Nothing of the job will run unless it is started again."""
    return job.state in ENDED
