"""Moves of a job from one state to the next: `states` applied to the model. No I/O.

Every function notes what it changed in `changes`; those that leave programs to be ended return their attempts. `now` is the
time of a clock that somebody may set: what ends does so no earlier than it began.
"""

from __future__ import annotations

from batchcompute_local.executors.base import Exited
from batchcompute_local.jobs import states
from batchcompute_local.jobs.model import LOST, Changes, Instance, Job, Task, as_earlier, attempt_id, encode_leftovers
from batchcompute_local.jobs.states import ENDED, FAILED, FINISHED, RUNNING, STOPPED, WAITING, Counts, State


def claim(job: Job, task: Task, number: int, now: float, changes: Changes, node: str = "") -> str:
    """Claim instance `number`, which is about to start on `node`. Returns the new attempt; it may start once this is on disk."""
    instance = _move(job, task, number, RUNNING)
    instance.attempt += 1
    instance.round = job.round
    instance.started = now
    instance.node = node
    if not job.started:
        job.started = now
    if not task.started:
        task.started = now
    _progress(job, task, now)
    changes.touch(job, task)
    rows = changes.begun if instance.attempt == 1 else changes.instances
    rows[job.seq, task.position, number] = instance
    return attempt_id(job, task, instance)


def finish(job: Job, task: Task, instance: Instance, event: Exited, now: float, changes: Changes) -> list[str]:
    """End a running instance. Returns the attempts to be ended because the job failed with it."""
    outcome = states.exit_state(event.code, event.signal, event.timed_out)
    _move(job, task, instance.number, outcome)
    instance.ended = max(now, instance.started)
    _note_end(instance, event)
    del task.instances[instance.number]
    if outcome is FINISHED:
        job.total_time += max(0.0, event.ended - event.started)
    changes.touch(job, task)
    changes.ended[job.seq, task.position, instance.number] = instance
    _progress(job, task, now)
    return _fail_rest(job, now, changes) if job.state is FAILED else []


def _note_end(instance: Instance, event: Exited) -> None:
    instance.worker_started, instance.worker_ended = event.started, event.ended
    instance.exit_code, instance.signal = event.code, event.signal
    instance.reason, instance.host = event.reason, event.host
    instance.timed_out = event.timed_out
    instance.leftovers = encode_leftovers(event.leftovers) if event.leftovers else ""


def _progress(job: Job, task: Task, now: float) -> None:
    goes_on = job.plan.goes_on
    _task_to(job, task, states.progress(task.state, task.counts, goes_on), now)
    if task.state is FINISHED:
        _release_successors(job, task)
    job.state = states.progress(job.state, job.counts, goes_on)
    if job.counts.failed and not job.can_run():
        job.state = FAILED  # what still waits is behind a failed task
    if job.state in ENDED:
        job.ended = max(now, job.started)


def _fail_rest(job: Job, now: float, changes: Changes) -> list[str]:
    attempts = []
    for task, instance in job.running():
        attempts.append(attempt_id(job, task, instance))
        _move(job, task, instance.number, states.after_failure(RUNNING))
        instance.ended = max(now, instance.started)
        changes.touch(job, task, instance)
    for task in job.tasks:
        before = task.state
        _task_to(job, task, states.task_after_failure(task.state, task.counts), now)
        if task.state is not before:
            changes.touch(job, task)
    return attempts


def stop(job: Job, now: float, changes: Changes) -> list[str]:
    """Stop the job for the user: it is Stopped at once (protocol 2.3). Returns the attempts to be ended."""
    attempts = []
    for task in job.tasks:
        for instance in task.instances.values():
            if instance.state is RUNNING:
                attempts.append(attempt_id(job, task, instance))
                instance.ended = max(now, instance.started)
            if instance.state not in ENDED:
                instance.state = STOPPED
                changes.touch(job, task, instance)
        if task.state not in ENDED:
            task.counts = states.counts_after_stop(task.counts)
            _task_to(job, task, states.after_stop(task.state), now)
            changes.touch(job, task)
    job.counts = states.counts_after_stop(job.counts)
    job.state = STOPPED
    job.ended = max(now, job.started)
    changes.touch(job)
    return attempts


def restart(job: Job, changes: Changes) -> None:
    """Start a stopped or failed job again: what is Finished is kept, all else waits (protocol 2.4)."""
    for task in job.tasks:
        for instance in task.instances.values():
            if instance.state is not FINISHED:
                _keep_attempt(job, task, instance, instance.state, changes)
                instance.reset()
                instance.retries = 0
                changes.touch(job, task, instance)
        task.counts = states.counts_after_restart(task.counts)
        if task.state is not FINISHED:
            _task_to(job, task, states.after_restart(task.state), 0.0)
            task.started = task.ended = 0.0
            changes.touch(job, task)
    job.counts = _sum(job)
    job.state = WAITING
    job.round += 1
    job.started = job.ended = 0.0
    changes.touch(job)


def lose(job: Job, task: Task, instance: Instance, now: float, changes: Changes) -> None:
    """Let a running instance wait for its next attempt, since nobody knows how this one ended. It spends no retry."""
    instance.ended, instance.reason = max(now, instance.started), LOST
    _keep_attempt(job, task, instance, FAILED, changes)
    requeue(job, task, instance, changes)


def requeue(job: Job, task: Task, instance: Instance, changes: Changes) -> None:
    """Let a running instance whose attempt never began wait for its next attempt. It spends no retry."""
    _to_waiting(job, task, instance, changes)
    task.put_back(instance.number)
    job.offer(task)


def is_retried(job: Job, task: Task, instance: Instance, event: Exited) -> bool:
    """Return whether an instance whose attempt ended with `event` runs again by itself."""
    left = instance.retries < job.plan.tasks[task.position].max_retries
    return left and states.is_spent(event.code, event.signal, event.timed_out)


def retry(
    job: Job, task: Task, instance: Instance, event: Exited, now: float, first_pause: float, changes: Changes
) -> None:
    """Let a running instance wait for a retry, until its pause is over. Whoever calls puts it back then."""
    instance.ended = max(now, instance.started)
    _note_end(instance, event)
    _keep_attempt(job, task, instance, FAILED, changes)
    _to_waiting(job, task, instance, changes)
    instance.retries += 1
    instance.not_before = now + states.pause(instance.retries, first_pause)


def _keep_attempt(job: Job, task: Task, instance: Instance, state: State, changes: Changes) -> None:
    """Note the latest attempt of `instance`, which ended in `state`, as an earlier one; not one noted before, or given back."""
    if instance.started:
        key = (job.seq, task.position, instance.number, instance.attempt)
        changes.attempts[key] = as_earlier(instance, state)


def _to_waiting(job: Job, task: Task, instance: Instance, changes: Changes) -> None:
    _move(job, task, instance.number, WAITING)
    instance.reset()
    changes.touch(job, task, instance)


def _move(job: Job, task: Task, number: int, new: State) -> Instance:
    old = task.state_of(number, job.state)
    instance = task.set_state(number, new)
    job.counts = job.counts.move(old, new)
    return instance


def _task_to(job: Job, task: Task, new: State, now: float) -> None:
    if new is not task.state:
        job.task_counts = job.task_counts.move(task.state, new)
        task.state = new
        if new in ENDED:
            task.ended = max(now, task.started)


def _release_successors(job: Job, task: Task) -> None:
    for position in job.plan.successors[task.position]:
        after = job.tasks[position]
        after.blockers -= 1
        if not after.blockers:
            job.blocked -= after.counts.waiting
        job.offer(after)


def _sum(job: Job) -> Counts:
    return Counts(*(sum(column) for column in zip(*(task.counts for task in job.tasks), strict=True)))
