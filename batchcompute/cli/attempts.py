"""Attempts, reasons and slots in words, for `job list` and `job show`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from ..errors import BatchComputeError
from .output import duration, when

if TYPE_CHECKING:
    from ..values.details import Attempt, InstanceDetails, Slots, TaskDetails

T = TypeVar("T")
_MOST_LINES = 12
_MOST_OF_ONE = 3
_MOST_NAMED = 2


def ask(call: Callable[[], T | None]) -> T | None:
    """Return what `call` returns; None if it fails: what only explains must not keep the rest from being shown."""
    try:
        return call()
    except BatchComputeError:
        return None


def describe_slots(slots: Slots) -> str:
    """Say how many slots are taken, and by which jobs."""
    by_job = sorted(slots.by_job.items(), key=lambda each: -each[1])
    named = [f"{job_id or 'other accounts'} ({count})" for job_id, count in by_job[:_MOST_NAMED]]
    if len(by_job) > _MOST_NAMED:
        named.append(f"{len(by_job) - _MOST_NAMED} more jobs")
    return f"{slots.taken} of {slots.total} are taken" + (f": {', '.join(named)}" if named else "")


def describe_end(one: Attempt) -> str:
    """Say in a few words how an attempt ended."""
    if one.reason and one.exit_code is None and one.signal is None:
        text = one.reason
    elif one.timed_out:
        text = "ran longer than its Timeout"
    elif one.signal is not None:
        text = _name_signal(one.signal)
    elif one.exit_code is not None:
        text = f"exit code {one.exit_code}"
        if one.exit_code == 0 and one.state == "Failed" and one.reason:
            text += f": {one.reason}"
    else:
        return one.state.lower()
    if one.worker_end_time:
        text += f" after {_seconds(one)}"
    if one.leftovers:
        first = one.leftovers[0]
        more = f" and {len(one.leftovers) - 1} more" if len(one.leftovers) > 1 else ""
        text += f"; left {first.command} (pid {first.pid}, {first.signal}){more}"
    return text


def lines(job_id: str, tasks: Mapping[str, TaskDetails]) -> Iterator[str]:
    """Yield a line for each attempt of instances that failed, ran more than once or left processes, a screenful at most."""
    left, more = _MOST_LINES, sum(task.more for task in tasks.values())
    first = ""
    for name, task in tasks.items():
        for number, instance in task.instances.items():
            shown = instance.attempts[-_MOST_OF_ONE:]
            if not shown:
                continue
            if len(shown) > left:
                first = first or f"--task {name} --instance {number}"
                left, more = 0, more + 1
                continue
            left -= len(shown)
            if len(shown) < len(instance.attempts):
                yield f"{name} {number}: {len(instance.attempts) - len(shown)} earlier attempts"
            for one in shown:
                yield f"{name} {number}, attempt {one.number}: {describe_end(one)}"
    if more:
        yield f"{more} more; one whole: batchcompute job show {job_id} {first or '--task TASK --instance N'}"


def whole(job_id: str, task: str, number: int, instance: InstanceDetails) -> Iterator[str]:
    """Yield all that is known of one instance."""
    yield f"{task} {number}: {instance.state}, retries in this round: {instance.retries}"
    if instance.reason:
        yield f"waits: {instance.reason}"
    for one in instance.attempts:
        yield ""
        yield f"attempt {one.number}, round {one.round}: {one.state}"
        node = f", on node {one.node}" if one.node else ""
        yield f"  started {when(int(one.start_time))}, ended {when(int(one.end_time)) or '-'}{node}"
        if one.worker_start_time:
            ran = _seconds(one) if one.worker_end_time else "still runs"
            yield f"  its program began {when(int(one.worker_start_time))} on {one.host}, ran for {ran}"
        if one.exit_code is not None:
            yield f"  exit code {one.exit_code}"
        if one.signal is not None:
            yield f"  {_name_signal(one.signal)}"
        if one.reason:
            yield f"  reason: {one.reason}"
        for left in one.leftovers:
            yield f"  left {left.command}, pid {left.pid}: {left.signal}"
        yield f"  batchcompute job logs {job_id} {task} {number} --attempt {one.number} --stderr"


def _seconds(one: Attempt) -> str:
    ran = max(0.0, one.worker_end_time - one.worker_start_time)
    return duration(ran)


def _name_signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
