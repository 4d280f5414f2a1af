"""`batchcompute demo`: the reference's example find-prime, from packing the program to reading the result."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .session import Session, command, objects_of

if TYPE_CHECKING:
    from .. import JobDescription

END = 10_000
PACKAGE = "oss://demo/find-prime/worker.tar.gz"
LOGS = "oss://demo/find-prime/logs/"


def description() -> JobDescription:
    """Describe a job: task Find with 4 instances, then task Count."""
    from .. import JobDescription

    common: dict[str, object] = {"PackageUri": PACKAGE, "ImageId": "img-local", "Timeout": 600}
    common |= {"StdoutRedirectPath": LOGS, "StderrRedirectPath": LOGS}
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


@command("demo", examples=["batchcompute demo", "batchcompute demo --format json"])
def demo(session: Session) -> None:
    """Count the primes below 10,000 with a job of two tasks, and show how it goes. It runs in region local, or in --endpoint.

    JSON: {job_id, primes}.
    """
    from .. import BatchComputeError, pack
    from .output import emit_json
    from .watch import watch

    out = sys.stderr if session.json else sys.stdout
    with session.client("local") as client:
        program = pack(Path(__file__).parent / "find_prime")
        objects_of(client).put(PACKAGE, program)
        click.echo(f"Packed the program, {len(program)} bytes, and uploaded it to {PACKAGE}", out)
        job = client.create_job(description())
        click.echo(f"Submitted job {job.JobId}: Find, 4 instances, then Count\n", out)
        watch(client, job.JobId, out=out)
        ended = client.wait(job, check=True)
        click.echo(f"\nThe job {ended.State.lower()}. Its logs:", out)
        for uri, size in client.objects.list(LOGS):
            if job.JobId in uri and size:
                click.echo(f"  {uri}", out)
        where = getattr(client.objects, "root", None)
        if where is not None:
            click.echo(f"  (oss:// is the folder {where})", out)
        with client.objects.open(f"oss://demo/find-prime/{job.JobId}/answer") as file:
            answer = int(file.read())
        if answer != 1229:
            raise BatchComputeError(f"the job counted {answer} primes below {END}; there are 1229")
        click.echo(f"\nPrimes below {END}: {answer}", out)
        if session.json:
            emit_json({"job_id": job.JobId, "primes": answer})
