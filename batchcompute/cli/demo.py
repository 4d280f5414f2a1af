"""`batchcompute demo`: the reference's own story, find-prime, from packing the program to reading the answer."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .. import Client, JobDescription, pack
from ..errors import BatchComputeError
from .watch import watch

END = 10_000
PACKAGE = "oss://demo/find-prime/worker.tar.gz"
LOGS = "oss://demo/find-prime/logs/"


def description() -> JobDescription:
    """Task Find with 4 instances, then task Count."""
    common = {"PackageUri": PACKAGE, "ImageId": "img-local", "StdoutRedirectPath": LOGS, "StderrRedirectPath": LOGS}
    find = {**common, "ProgramName": "find.py", "ProgramArguments": str(END), "InstanceCount": 4}
    count = {**common, "ProgramName": "count.py"}
    return JobDescription(
        {
            "JobName": "find-prime",
            "Description": "the primes below 10,000",
            "Priority": 100,
            "TaskDag": {"TaskDescMap": {"Find": find, "Count": count}, "Dependencies": {"Find": ["Count"]}},
        }
    )


def run(endpoint: str) -> None:
    """Submit, watch, and print the answer. Raises BatchComputeError."""
    with Client(endpoint) as client:
        program = pack(Path(__file__).parent / "find_prime")
        client.objects.put(PACKAGE, program)
        click.echo(f"Packed the program, {len(program)} bytes, and uploaded it to {PACKAGE}")
        job = client.create_job(description())
        click.echo(f"Submitted job {job.JobId}: Find, 4 instances, then Count\n")
        watch(client, job.JobId, out=sys.stdout)
        ended = client.wait(job, check=True)
        click.echo(f"\nThe job {ended.State.lower()}. Its logs:")
        for uri, size in client.objects.list(LOGS):
            if job.JobId in uri and size:
                click.echo(f"  {uri}")
        where = getattr(client.objects, "root", None)
        if where is not None:
            click.echo(f"  (oss:// is the folder {where})")
        with client.objects.open(f"oss://demo/find-prime/{job.JobId}/answer") as file:
            answer = int(file.read())
        if answer != 1229:
            raise BatchComputeError(f"the job counted {answer} primes below {END}; there are 1229")
        click.echo(f"\nPrimes below {END}: {answer}")
