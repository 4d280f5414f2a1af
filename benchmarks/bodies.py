"""What a service answers, in the shapes of its recorded answers (protocol 1.7)."""

from __future__ import annotations

import json
from typing import Any

STATES = ("Waiting", "Running", "Terminated", "Failed", "Stopped")
BEGIN = 1_435_651_200  # 2015-06-30


def job_id(number: int) -> str:
    return f"job-00000000552F996A00001B5A{number:08X}"


def job(number: int) -> dict[str, Any]:
    """A job as get_job and list_jobs answer it: the state is a word."""
    return {
        "CreateTime": BEGIN + number,
        "Description": f"primes of share {number}",
        "EndTime": BEGIN + number + 911,
        "Name": f"find-prime-{number}",
        "NumFailedInstance": 0,
        "NumFailedTask": 0,
        "NumFinishedInstance": 4,
        "NumFinishedTask": 1,
        "NumRunningInstance": 1,
        "NumRunningTask": 1,
        "NumStoppedInstance": 0,
        "NumStoppedTask": 0,
        "NumTotalInstance": 5,
        "NumTotalTask": 2,
        "NumWaitingInstance": 0,
        "NumWaitingTask": 0,
        "OwnerId": 1_200_000_000 + number % 7,
        "Priority": number % 1001,
        "ResourceId": job_id(number),
        "StartTime": BEGIN + number + 3,
        "State": STATES[number % len(STATES)],
        "TotalTime": 62,
    }


def instance(number: int) -> dict[str, Any]:
    """An instance as list_tasks answers it: the state is a number."""
    begin = BEGIN + number % 86_400
    return {
        "InstanceId": number,
        "State": number % 6,
        "StartTime": begin,
        "EndTime": begin + 62,
        "WorkerStartTime": begin + 2,
        "WorkerEndTime": begin + 60,
    }


def jobs(count: int) -> bytes:
    """The body of list_jobs, in no order."""
    return dumps({job_id(number): job(number) for number in ((i * 7919) % count for i in range(count))})


def tasks(count: int, instances: int) -> bytes:
    """The body of list_tasks: `count` tasks with `instances` instances each."""
    return dumps(
        {
            f"Find{number}": {
                "StartTime": BEGIN + number,
                "EndTime": 0,
                "State": 2,
                "UnfinishedInstances": [],
                "InstanceStatusVector": [instance(item) for item in range(instances)],
            }
            for number in range(count)
        }
    )


def description(count: int) -> dict[str, Any]:
    """A job description with `count` tasks, each waiting for the one a hundred before it."""

    def task(number: int) -> dict[str, Any]:
        return {
            "PackageUri": "oss://my-bucket/packages/find-prime.tar.gz",
            "ProgramName": "find_prime.py",
            "ProgramType": "python",
            "ProgramArguments": f"--share {number} --of {count}",
            "ImageId": "img-00000000552F996A00001B5A0000002A",
            "InstanceCount": 4,
            "Timeout": 3600,
            "EnvironmentVariables": {"DATA_BEGIN": "0", "DATA_END": "10000", "SHARE": str(number)},
            "StdoutRedirectPath": "oss://my-bucket/logs/",
            "StderrRedirectPath": "oss://my-bucket/logs/",
            "ResourceDescription": {"Cpu": 1200, "Memory": 4000},
            "OssMapping": {"oss://my-bucket/data/": "/home/admin/data"},
            "OssMappingLock": True,
            "OssMappingLocale": "GBK",
        }

    return {
        "JobName": "find-prime",
        "JobTag": "Batchcompute",
        "Description": "a wide graph",
        "Priority": 100,
        "TaskDag": {
            "TaskDescMap": {f"task-{number:04}": task(number) for number in range(count)},
            "Dependencies": {
                f"task-{number:04}": [f"task-{number + 100:04}"] for number in range(count) if number + 100 < count
            },
        },
    }


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
