"""Writes values_3_0.pickle: one object of every kind that a script can pickle. Run with batchcompute 3.0 only.

    python tests/unit/values/make_pickle.py

It stands here to show what is in the file. The file is not to be made again: it is what users have on their disks.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import batchcompute as bc
from batchcompute.properties import Origin, PropertyTypeError
from batchcompute.responses import JobDescriptionResponse, JobResponse

ORIGIN = Origin("REQ-1", 200, "Tue, 30 Jun 2015 00:00:00 GMT")
JOB = {"ResourceId": "job-1", "Name": "find", "State": "Failed", "CreateTime": 1435622400, "Priority": 5}
DESCRIPTION = {
    "JobName": "find",
    "Priority": 5,
    "TaskDag": {
        "TaskDescMap": {
            "Find": {
                "ProgramName": "find.py",
                "InstanceCount": "4",
                "Timeout": 60,
                "EnvironmentVariables": {"A": "1"},
                "ResourceDescription": {"Cpu": 1600},
                "OssMapping": {"oss://bucket/data/": "/data"},
            },
            "Count": {"ProgramName": "count.py"},
        },
        "Dependencies": {"Find": ["Count"]},
    },
}
TASK = {
    "TaskName": "Find",
    "State": "Failed",
    "InstanceStatusVector": [{"InstanceId": 0, "State": "Finished"}, {"InstanceId": 1, "State": "Failed"}],
}


def make() -> dict[str, object]:
    """The objects by the names that the test knows them by."""
    description = bc.JobDescription(DESCRIPTION)
    task = description.TaskDag.get_task("Find")
    job = JobResponse.wrap(dict(JOB), ORIGIN)
    answered = bc.Task.from_wire(TASK, ORIGIN)
    wrong = PropertyTypeError("expected a str, got int 5").at("JobName")
    return {
        "JobDescription": description,
        "TaskDag": description.TaskDag,
        "TaskDict": description.TaskDag.TaskDescMap,
        "NamesDict": description.TaskDag.Dependencies,
        "TaskDescription": task,
        "StringDict": task.EnvironmentVariables,
        "ResourceDescription": task.ResourceDescription,
        "Job": bc.Job.from_wire(JOB, ORIGIN),
        "Task": answered,
        "LazyList": answered.InstanceList,
        "Instance": answered.InstanceList[1],
        "Image": bc.Image.from_wire({"ResourceId": "img-1", "Name": "python", "Platform": "Linux"}, ORIGIN),
        "JobResponse": job,
        "JobDescriptionResponse": JobDescriptionResponse.from_wire(DESCRIPTION, ORIGIN),
        "CreateResponse": bc.CreateResponse.wrap({"ResourceId": "job-1"}, ORIGIN),
        "ActionResponse": bc.ActionResponse.wrap({}, ORIGIN),
        "ListResponse": bc.ListResponse(bc.Job, [dict(JOB)], ORIGIN),
        "Origin": ORIGIN,
        "PropertyTypeError": wrong,
        "FieldError": bc.FieldError("Job has no property 'Nmae'"),
        "JsonError": bc.JsonError("not a JSON text"),
        "ConfigError": bc.ConfigError("endpoint is missing"),
        "ValidationError": bc.ValidationError([bc.Problem("Priority", 5000, "is out of range", "[0, 1000]", "docs")]),
        "DecodeError": bc.DecodeError("the service answered a bad Job", "REQ-1"),
        "NotFoundError": bc.NotFoundError(404, "InvalidResource.NotFound", "no such job", "REQ-1"),
        "ThrottlingError": bc.ThrottlingError(429, "Throttling", "slow down", "REQ-1", 2.0),
        "JobFailedError": bc.JobFailedError("job-1 failed", job, "Traceback"),
        "WaitTimeoutError": bc.WaitTimeoutError("job-1 is still Running", job),
        "AmbiguousResultError": bc.AmbiguousResultError("create_job", "the connection broke", [job], "token-1"),
        "UnknownPropertyWarning": bc.UnknownPropertyWarning("Job has no property 'Nmae'"),
    }


if __name__ == "__main__":
    (Path(__file__).parent / "values_3_0.pickle").write_bytes(pickle.dumps(make(), protocol=4))
