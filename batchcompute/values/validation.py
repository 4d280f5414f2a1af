"""Find the mistakes of a job description before it is sent (reference section 2.1). No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping

from ..messages import nearest
from ..plain_errors import Problem
from ..regions import Range, Ranges
from .resources import JobDescription, ResourceDescription, TaskDescription

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
    elif job.Priority not in ranges.priority:
        yield ranges.priority.problem("Priority", job.Priority, source)
    if not job.JobFailOnInstanceFail and "JobFailOnInstanceFail" not in ranges.extensions:
        yield _unknown_extension("JobFailOnInstanceFail", False, True, source)
    dag = job.TaskDag
    tasks = dag.TaskDescMap
    if not tasks:
        yield Problem("TaskDag.TaskDescMap", None, "is missing", "at least one task", source)
    yield from _tasks(tasks, ranges)
    yield from _dependencies(dag.Dependencies, tasks, source)


def _tasks(tasks: Mapping[str, TaskDescription], ranges: Ranges) -> Iterator[Problem]:
    """One walk over thousands of tasks: stored values are read as they stand, and a path is made only for what is wrong."""
    source, types, optional = ranges.source, ranges.program_types, ranges.optional
    counts, timeouts = ranges.instance_count.span, ranges.timeout.span
    cpus, memories = ranges.cpu.span, ranges.memory.span
    usual_type, usual_count, usual_retries = (_TASK[name] for name in ("ProgramType", "InstanceCount", "MaxRetryCount"))
    usual_cpu, usual_memory = _RESOURCES["Cpu"], _RESOURCES["Memory"]
    is_name = _TASK_NAME.fullmatch
    right: set[tuple[str, str]] = set()
    knows_retries, knows_seconds = "MaxRetryCount" in ranges.extensions, "LeftoverSeconds" in ranges.extensions
    for name, task in tasks.items():
        get = task._values.get
        resources = get("ResourceDescription", _NO_RESOURCES)._values.get
        if not is_name(name):
            yield Problem(
                f"TaskDag.TaskDescMap.{name}",
                name,
                "is not a task name",
                "1 to 64 letters, digits, '-', '_' and '.', not '_', '-' or '.' first",
                "docs",
            )
        kind = get("ProgramType", usual_type)
        for required, wanted in _WANTED.items():
            if required in task._values or required in optional:
                continue
            if required != "PackageUri" or kind not in ranges.packageless_types:
                yield Problem(_path(name, required), None, "is missing", wanted, source)
        if kind not in types:
            yield Problem(
                _path(name, "ProgramType"), kind, "is not supported", ", ".join(types), source, nearest(kind, types)
            )
        count = get("InstanceCount", usual_count)
        if count not in counts:
            yield ranges.instance_count.problem(_path(name, "InstanceCount"), count, source)
        timeout = get("Timeout")
        if timeout is None:
            if "Timeout" not in optional:
                yield Problem(_path(name, "Timeout"), None, "is missing", f"{ranges.timeout} seconds", source)
        elif timeout not in timeouts:
            yield ranges.timeout.problem(_path(name, "Timeout"), timeout, source)
        retries = get("MaxRetryCount", usual_retries)
        if not knows_retries:
            if retries != usual_retries:
                yield _unknown_extension(_path(name, "MaxRetryCount"), retries, usual_retries, source)
        elif retries not in RETRIES:
            yield RETRIES.problem(_path(name, "MaxRetryCount"), retries, source)
        seconds = get("LeftoverSeconds")
        if seconds is not None:
            path = _path(name, "LeftoverSeconds")
            if not knows_seconds:
                yield _unknown_extension(path, seconds, None, source)
            elif seconds < 0:
                yield Problem(path, seconds, "is out of range", "at least 0", source)
        cpu, memory = resources("Cpu", usual_cpu), resources("Memory", usual_memory)
        if cpu not in cpus:
            yield ranges.cpu.problem(_path(name, "ResourceDescription.Cpu"), cpu, source)
        if memory not in memories:
            yield ranges.memory.problem(_path(name, "ResourceDescription.Memory"), memory, source)
        for uri, pattern in _URIS:
            value = get(uri)
            if value is not None and (uri, value) not in right:
                if pattern.fullmatch(value):
                    right.add((uri, value))  # most tasks of a job have the same
                else:
                    yield Problem(_path(name, uri), value, "is not an OSS path", "oss://bucket/key", source)


def _path(task: str, name: str) -> str:
    return f"TaskDag.TaskDescMap.{task}.{name}"


_TASK = {name: field.default for name, field in TaskDescription._fields.items()}
_RESOURCES = {name: field.default for name, field in ResourceDescription._fields.items()}
_NO_RESOURCES = ResourceDescription()
_URIS = (("PackageUri", _OBJECT), ("StdoutRedirectPath", _PREFIX), ("StderrRedirectPath", _PREFIX))
_WANTED = {
    "PackageUri": "oss://bucket/key of a tar.gz",
    "ProgramName": "a file in the package",
    "ImageId": "the id of an image, see list_images()",
}


def _unknown_extension(path: str, value: object, default: object, source: str) -> Problem:
    """An extension that the region does not know may only have its default, which is not sent."""
    allowed = f"{json.dumps(default)}, the default"
    return Problem(path, value, "is an extension that this region does not have", allowed, source)


def _dependencies(
    dependencies: Mapping[str, list[str]], tasks: Mapping[str, TaskDescription], source: str
) -> Iterator[Problem]:
    known, are_names = tasks.keys(), True
    for before, successors in dependencies.items():
        if before in known and all(type(name) is str and name in known for name in successors):
            continue
        for name in (before, *successors):
            if not isinstance(name, str):  # a list in the dict can be changed without our notice
                are_names = False
                yield Problem(f"TaskDag.Dependencies.{before}", name, "is not the name of a task", "a str", source)
            elif name not in tasks:
                path = "TaskDag.Dependencies" + ("" if name == before else f".{before}")
                shown = ", ".join(sorted(tasks)[:8]) + (", ..." if len(tasks) > 8 else "")
                yield Problem(path, name, "is not a task of this job", shown, source, nearest(name, tasks))
    if not are_names:
        dependencies = {key: [name for name in names if isinstance(name, str)] for key, names in dependencies.items()}
    cycle = find_cycle(dependencies)
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
