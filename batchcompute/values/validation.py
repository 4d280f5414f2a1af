"""Find the mistakes of a job description before it is sent (reference section 2.1). No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping

from ..messages import nearest
from ..plain_errors import Problem
from ..regions import Range, Ranges
from .properties import AnyField
from .resources import JobDescription, TaskDescription

_TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OBJECT = re.compile(r"oss://[^/]+/.+", re.DOTALL)
_PREFIX = re.compile(r"oss://[^/]+(/.*)?", re.DOTALL)
RETRIES = Range(0, 10)
"""Values of MaxRetryCount."""


def check_job(job: JobDescription, ranges: Ranges) -> list[Problem]:
    """Everything that is wrong with a description, in the order of its parts; empty when it is right."""
    return list(_job(job, ranges))


def _job(job: JobDescription, ranges: Ranges) -> Iterator[Problem]:
    source = ranges.source
    if not job.JobName:
        yield Problem("JobName", None, "is missing", "a name", source)
    if job.Priority is None:
        yield Problem("Priority", None, "is missing", str(ranges.priority), source)
    else:
        yield from _within("Priority", job.Priority, ranges.priority, source)
    yield from _extension("", JobDescription.JobFailOnInstanceFail, job.JobFailOnInstanceFail, ranges)
    dag = job.TaskDag
    tasks = dag.TaskDescMap
    if not tasks:
        yield Problem("TaskDag.TaskDescMap", None, "is missing", "at least one task", source)
    for name, task in tasks.items():
        yield from _task(name, task, ranges)
    yield from _dependencies(dag.Dependencies, tasks, source)


def _task(name: str, task: TaskDescription, ranges: Ranges) -> Iterator[Problem]:
    path = f"TaskDag.TaskDescMap.{name}"
    source = ranges.source
    if not _TASK_NAME.fullmatch(name):
        yield Problem(
            path,
            name,
            "is not a task name",
            "1 to 64 letters, digits, '-', '_' and '.', not '_', '-' or '.' first",
            "docs",
        )
    kind = task.ProgramType
    optional = ranges.optional | {"PackageUri"} if kind in ranges.packageless_types else ranges.optional
    for required in ("PackageUri", "ProgramName", "ImageId"):
        if not task[required] and required not in optional:
            yield Problem(f"{path}.{required}", None, "is missing", _WANTED[required], source)
    if kind not in ranges.program_types:
        yield Problem(
            f"{path}.ProgramType",
            kind,
            "is not supported",
            ", ".join(ranges.program_types),
            source,
            nearest(kind, ranges.program_types),
        )
    yield from _within(f"{path}.InstanceCount", task.InstanceCount, ranges.instance_count, source)
    if task.Timeout is not None:
        yield from _within(f"{path}.Timeout", task.Timeout, ranges.timeout, source)
    elif "Timeout" not in ranges.optional:
        yield Problem(f"{path}.Timeout", None, "is missing", f"{ranges.timeout} seconds", source)
    yield from _extension(f"{path}.", TaskDescription.MaxRetryCount, task.MaxRetryCount, ranges)
    if "MaxRetryCount" in ranges.extensions:
        yield from _within(f"{path}.MaxRetryCount", task.MaxRetryCount, RETRIES, source)
    yield from _extension(f"{path}.", TaskDescription.LeftoverSeconds, task.LeftoverSeconds, ranges)
    if "LeftoverSeconds" in ranges.extensions and (task.LeftoverSeconds or 0) < 0:
        yield Problem(f"{path}.LeftoverSeconds", task.LeftoverSeconds, "is out of range", "at least 0", source)
    resources = task.ResourceDescription
    yield from _within(f"{path}.ResourceDescription.Cpu", resources.Cpu, ranges.cpu, source)
    yield from _within(f"{path}.ResourceDescription.Memory", resources.Memory, ranges.memory, source)
    for uri, pattern in (("PackageUri", _OBJECT), ("StdoutRedirectPath", _PREFIX), ("StderrRedirectPath", _PREFIX)):
        value = task[uri]
        if value and not pattern.fullmatch(value):
            yield Problem(f"{path}.{uri}", value, "is not an OSS path", "oss://bucket/key", source)


_WANTED = {
    "PackageUri": "oss://bucket/key of a tar.gz",
    "ProgramName": "a file in the package",
    "ImageId": "the id of an image, see list_images()",
}


def _extension(path: str, field: AnyField, value: object, ranges: Ranges) -> Iterator[Problem]:
    """An extension that the region does not know may only have its default, which is not sent."""
    if value != field.default and field.name not in ranges.extensions:
        allowed = f"{json.dumps(field.default)}, the default"
        yield Problem(
            f"{path}{field.name}", value, "is an extension that this region does not have", allowed, ranges.source
        )


def _within(path: str, value: int, allowed: Range, source: str) -> Iterator[Problem]:
    if value not in allowed:
        yield allowed.problem(path, value, source)


def _dependencies(
    dependencies: Mapping[str, list[str]], tasks: Mapping[str, TaskDescription], source: str
) -> Iterator[Problem]:
    for before, successors in dependencies.items():
        for name in (before, *successors):
            if not isinstance(name, str):  # a list in the dict can be changed without our notice
                yield Problem(f"TaskDag.Dependencies.{before}", name, "is not the name of a task", "a str", source)
            elif name not in tasks:
                path = "TaskDag.Dependencies" + ("" if name == before else f".{before}")
                known = ", ".join(sorted(tasks)[:8]) + (", ..." if len(tasks) > 8 else "")
                yield Problem(path, name, "is not a task of this job", known, source, nearest(name, tasks))
    cycle = find_cycle({key: [name for name in names if isinstance(name, str)] for key, names in dependencies.items()})
    if cycle:
        yield Problem("TaskDag.Dependencies", " -> ".join(cycle), "is a cycle", "a graph without cycles", source)


def unknown_images(job: JobDescription, known: Collection[str], source: str) -> list[Problem]:
    """Return a Problem for each task whose image is not among those that are known."""
    return [
        Problem(
            f"TaskDag.TaskDescMap.{name}.ImageId",
            task.ImageId,
            "is not an image of this region",
            ", ".join(sorted(known)[:8]) + (", ..." if len(known) > 8 else "") or "none: it has no images",
            source,
            nearest(task.ImageId, known),
        )
        for name, task in job.TaskDag.TaskDescMap.items()
        if task.ImageId and task.ImageId not in known
    ]


def find_cycle(dependencies: Mapping[str, list[str]]) -> list[str]:
    """Return the names along a cycle, the first one again at the end; empty if there is none.

    No recursion: graphs may be deep.
    """
    done: set[str] = set()
    for start in dependencies:
        if start in done:
            continue
        path = [start]
        on_path = {start}
        todo = [iter(dependencies.get(start, ()))]
        while todo:
            name = next(todo[-1], None)
            if name is None:
                todo.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif name in on_path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                on_path.add(name)
                todo.append(iter(dependencies.get(name, ())))
    return []
