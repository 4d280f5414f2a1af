"""Imports of version 3.0 that scripts have: type checkers find the names there too. Checked by test_typing.py, never run."""

from __future__ import annotations

from typing import assert_type

from batchcompute import JobDescription as Described, values
from batchcompute.containers import LazyList, NamesDict, StringDict
from batchcompute.errors import ClientError, did_you_mean, nearest, shorten, warn_caller
from batchcompute.jsonizable import Jsonizable
from batchcompute.properties import Origin, PropertyTypeError
from batchcompute.resources import JobDescription, ResourceDescription, TaskDag, TaskDescription, TaskDict
from batchcompute.responses import (
    ActionResponse,
    CreateResponse,
    GetResponse,
    Image,
    Instance,
    Job,
    JobDescriptionResponse,
    JobResponse,
    ListResponse,
    RawResponse,
    Task,
)
from batchcompute.validation import check_job, find_cycle
from batchcompute.values.resources import JobDescription as New


def same(old: JobDescription, new: New, root: Described) -> list[New]:
    assert_type(old, New)
    assert_type(new, Described)
    return [old, new, root]


def annotated(jobs: ListResponse[Job], tasks: LazyList[Task], task: TaskDescription, dag: TaskDag) -> None:
    assert_type(jobs[0].State, str)
    assert_type(tasks[0].TaskName, str)
    assert_type(task.ResourceDescription, ResourceDescription)
    assert_type(task.EnvironmentVariables, StringDict)
    assert_type(dag.TaskDescMap, TaskDict)
    assert_type(dag.Dependencies, NamesDict)
    assert_type(find_cycle({"a": ["b"]}), list[str])


KINDS: tuple[type[object], ...] = (
    *(ActionResponse, CreateResponse, GetResponse, Image, Instance, JobDescriptionResponse, JobResponse, RawResponse),
    *(Jsonizable, Origin, PropertyTypeError, ClientError),
)
FUNCTIONS = (check_job, find_cycle, did_you_mean, nearest, shorten, warn_caller)
MODULE = values
