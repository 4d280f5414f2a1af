"""The values that you send: JobDescription, TaskDag, TaskDescription and ResourceDescription (reference section 2.1). No I/O.

The defaults are those of the original SDK (protocol 1.7). MaxRetryCount and JobFailOnInstanceFail are extensions, with the
names and defaults of API 2015-11-11 (protocol 2.5); LeftoverSeconds is one of ours. An empty value takes a
property away, or back to its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ..messages import did_you_mean, shorten
from .containers import CheckedDict, NamesDict, StringDict
from .fields import (
    Count,
    DictOf,
    ExtensionFlag,
    ExtensionNumber,
    ExtensionSeconds,
    Flag,
    Nested,
    Number,
    OptionalNumber,
    Text,
    build,
)
from .properties import Source
from .writable import Writable


class ResourceDescription(Writable):
    """What one instance of a task needs (reference section 2.1, (4))."""

    __slots__ = ()
    Cpu = Number(800)
    """int: 100 is one core; [800, 2400] in the cloud regions."""
    Memory = Number(2000)
    """int: MB; [2000, 65536] in the cloud regions."""


class TaskDescription(Writable):
    """One task: the program, how often, with what (reference section 2.1, (3))."""

    __slots__ = ()
    PackageUri = Text()
    """str: `oss://bucket/key` of a tar.gz with the program."""
    ProgramName = Text()
    """str: path of the program inside the package."""
    ProgramType = Text("python")
    """str: python or php."""
    ProgramArguments = Text()
    """str: the command line arguments, in one text."""
    ImageId = Text()
    """str: id of the image to run on, see `Client.list_images`."""
    InstanceCount = Count(1)
    """int: how many instances; 4 and "4" are both taken."""
    Timeout = OptionalNumber()
    """int or None: seconds that one instance may run; [1, 86400]."""
    EnvironmentVariables = DictOf(StringDict)
    """dict of str to str."""
    StdoutRedirectPath = Text()
    """str: `oss://bucket/prefix/` where the standard output goes."""
    StderrRedirectPath = Text()
    """str: `oss://bucket/prefix/` where the standard error goes."""
    ResourceDescription = Nested(ResourceDescription)
    """ResourceDescription: what one instance needs."""
    OssMapping = DictOf(StringDict)
    """dict of str to str: `oss://bucket/prefix/` to the absolute path where the program sees it."""
    OssMappingLock = Flag()
    """bool or None: whether file locks work on mapped paths."""
    OssMappingLocale = Text()
    """str: character set of file names on mapped paths."""
    MaxRetryCount = ExtensionNumber()
    """int: how often an instance that fails runs again; [0, 10]. An extension, see `Ranges.extensions`."""
    LeftoverSeconds = ExtensionSeconds()
    """float or None: seconds that processes of the program may run after it; None: the service decides. An extension."""


class TaskDict(CheckedDict[TaskDescription]):
    """Task names to TaskDescription objects, which are copied when they are put in."""

    __slots__ = ()

    @classmethod
    def checked(cls, key: object, value: object, source: Source) -> TaskDescription:
        if not isinstance(value, TaskDescription):
            return build(TaskDescription, value, source)
        copied = build(TaskDescription, value.detail(), Source.COPY)
        copied._keep_dropped(value.unknown_names())
        return copied

    def detail(self) -> dict[str, Any]:
        return {name: task.detail() for name, task in self.items()}


class TaskDag(Writable):
    """Tasks by name, and which waits for which (reference section 2.1, (2))."""

    __slots__ = ()
    _old_names: ClassVar[Mapping[str, str]] = {"Dependences": "Dependencies"}  # protocol 1.7

    TaskDescMap = DictOf(TaskDict)
    """dict of task name to TaskDescription."""
    Dependencies = DictOf(NamesDict)
    """dict of task name to the names of the tasks that start after it: `{"A": ["B"]}` runs A, then B (protocol 2.2)."""

    def add_task(self, task_name: str, task: TaskDescription | Mapping[str, Any] | str) -> None:
        """Add a task, or replace the one of that name. The task is copied. Raises TypeError for an empty name."""
        self.TaskDescMap[task_name] = task

    def get_task(self, task_name: str) -> TaskDescription:
        """Return the task of that name, to read and to change. Raises KeyError."""
        return self.TaskDescMap[self._check_name(task_name)]

    def delete_task(self, task_name: str) -> None:
        """Remove a task. Dependencies are left as they are. Raises KeyError."""
        del self.TaskDescMap[self._check_name(task_name)]

    def add_dependency(self, before: str, after: str) -> None:
        """Let the task `after` start when the task `before` is Finished; once, however often it is added.

        The tasks may be added later: that both exist, and that there is no cycle, is checked before the job is sent.
        Raises TypeError for what is no name.
        """
        for argument, name in (("before", before), ("after", after)):
            if not isinstance(name, str) or not name:
                raise TypeError(f"{argument} must be the name of a task, not {shorten(name)}")
        successors = self.Dependencies.setdefault(before, [])
        if after not in successors:
            successors.append(after)

    def _check_name(self, task_name: str) -> str:
        if task_name in self.TaskDescMap:
            return task_name
        raise KeyError(f"there is no task {task_name!r}{did_you_mean(task_name, self.TaskDescMap)}")


class JobDescription(Writable):
    """A job: its name, its priority, and its tasks (reference section 2.1, (1))."""

    __slots__ = ()
    JobName = Text()
    """str: the name of the job."""
    JobTag = Text("Batchcompute")
    """str: a label."""
    Description = Text()
    """str: what the job is for."""
    Priority = OptionalNumber()
    """int or None: [0, 1000], larger runs earlier."""
    ZoneId = Text()
    """str: the zone to run in; rarely used (protocol 1.7)."""
    TaskDag = Nested(TaskDag)
    """TaskDag: the tasks and their dependencies."""
    JobFailOnInstanceFail = ExtensionFlag(True)
    """bool: False lets the job go on after an instance has failed. An extension, see `Ranges.extensions`."""
