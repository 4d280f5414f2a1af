"""Submits the jobs that are named as arguments, else all, and prints how many primes each has found.

OSS_HOST is the address of the object store, as it is seen from here.
"""

import os
import runpy
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import oss2

from batchcompute import Client, JobDescription, TaskDescription, pack

WORKER = Path(__file__).with_name("worker")
CONFIG = runpy.run_path(str(WORKER / "config.py"))
BUCKET = CONFIG["BUCKET"]
PACKAGE = f"oss://{BUCKET}/worker.tar.gz"


def describe_task(program: str, arguments: str = "", count: int = 1) -> TaskDescription:
    task = TaskDescription()
    task.ImageId = "img-0000000054F0A7D8A9D4A61C0001C25E"
    task.PackageUri = PACKAGE
    task.ProgramName = program
    task.ProgramType = "shell" if program.endswith(".sh") else "python"
    task.ProgramArguments = arguments
    task.InstanceCount = count
    task.Timeout = 600
    task.StdoutRedirectPath = task.StderrRedirectPath = f"oss://{BUCKET}/logs/"
    return task


def describe(find: TaskDescription, count: TaskDescription | None = None) -> JobDescription:
    job = JobDescription({"JobName": "find-prime", "Priority": 0})
    job.TaskDag.add_task("Find", find)
    if count is not None:
        job.TaskDag.add_task("Count", count)
        job.TaskDag.Dependencies = {"Find": ["Count"]}
    return job


def describe_mapped(prefix: str) -> JobDescription:
    """The parts are below a prefix that is known before the job is submitted; Count finds them in a folder of its own."""
    folder = f"{tempfile.gettempdir()}/{prefix.replace('/', '-')}parts/"
    find = describe_task("find_range.py", f"-s 0 -e 10000 -o {prefix}parts/", count=2)
    count = describe_task("count_mapped.py", f"-i {folder} -o {prefix}count")
    count.OssMapping = {f"oss://{BUCKET}/{prefix}parts/": folder}
    return describe(find, count)


def submit(client: Client, names: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each job, its id, and the prefix of its results."""
    prefix = f"find-prime/{uuid.uuid4().hex}/"
    jobs = {
        "one": describe(describe_task("find_all.py")),
        "shares": describe(describe_task("find_share.py", count=3)),
        "dag": describe(describe_task("find_share.py", count=2), describe_task("count.py")),
        "mapped": describe_mapped(prefix),
        "shell": describe(describe_task("primes.sh", "find", count=2), describe_task("primes.sh", "count")),
    }
    for name in names:
        if name not in jobs:
            sys.exit(f"there is no job {name!r}; the jobs are {', '.join(jobs)}")
    for name in names or jobs:
        job_id = client.create_job(jobs[name]).JobId
        yield name, job_id, prefix if name == "mapped" else f"find-prime/{job_id}/"


def count_primes(bucket: oss2.Bucket, prefix: str) -> int:
    """What task Count has uploaded; without such a task, the lines of all parts."""
    if bucket.object_exists(prefix + "count"):
        return int(bucket.get_object(prefix + "count").read())
    parts = [part.key for part in oss2.ObjectIterator(bucket, prefix=prefix)]
    return sum(len(bucket.get_object(key).read().splitlines()) for key in parts)


def main() -> None:
    host = os.environ.get("OSS_HOST") or sys.exit("OSS_HOST is not set: README.md has the command")
    client = Client("local", CONFIG["ID"], CONFIG["KEY"])
    bucket = oss2.Bucket(oss2.Auth(CONFIG["ID"], CONFIG["KEY"]), host, BUCKET)
    bucket.create_bucket()
    bucket.put_object("worker.tar.gz", pack(WORKER))
    for name, job_id, prefix in list(submit(client, sys.argv[1:])):
        client.wait(job_id, check=True)
        print(f"{name}: {count_primes(bucket, prefix)} primes")


main()
