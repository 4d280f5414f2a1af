"""What the client rows cost in instructions of Python, which is the same each time, and no time: a guard for every change.

Counted are the bytecodes that a call runs, ours in relation to those of plain Python code in the same process, so that the
version of Python matters little. What C code does is not seen: the benchmarks see it. `python -m benchmarks.instructions` shows
the figures beside the baseline in instructions.json; with `--renew` it writes them there.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from batchcompute import Client, JobDescription

from . import bodies
from .bare import Bare
from .loopback import server
from .stub import Stub, client_of

BASELINE = Path(__file__).with_suffix(".json")
MOST = 1.2
"""Times the baseline: a loss of more than a fifth is an error."""


def count(work: Callable[[], object]) -> int:
    """Return the number of bytecodes that `work` runs in this thread, once warm."""
    seen = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal seen
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        seen += event == "opcode"
        return trace

    for _ in range(3):
        work()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return seen


def measure() -> dict[str, float]:
    """Return the ratio of each row; nothing is logged meanwhile, whoever listens."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        return _measure()
    finally:
        logging.disable(before)


def _measure() -> dict[str, float]:
    with get_job() as (ours, floor):
        found = {"get_job": count(ours) / count(floor)}
    jobs, tasks = bodies.jobs(1_500), bodies.tasks(1, 3_000)  # so long that rows are used
    listing = client_of(Stub(jobs))
    states = count(lambda: [job["State"] == "x" for job in json.loads(jobs).values()])
    found["list_jobs"] = count(lambda: [job.State == "x" for job in listing.list_jobs()]) / states
    listing = client_of(Stub(tasks))
    states = count(lambda: [one["State"] == "x" for one in json.loads(tasks)["Find0"]["InstanceStatusVector"]])
    found["list_tasks"] = (
        count(lambda: [one.State == "x" for task in listing.list_tasks("job-1") for one in task.InstanceList]) / states
    )
    plain = bodies.description(100)
    described, creating = JobDescription(plain), client_of(Stub(b'{"ResourceId":"job-1"}', status=201))
    encoded = count(lambda: json.dumps(plain, indent=0))  # indent: the encoder that is written in Python
    found["create_job"] = count(lambda: creating.create_job(described)) / encoded
    found["create_job_from_dict"] = count(lambda: creating.create_job(plain)) / encoded
    return {row: round(ratio, 4) for row, ratio in found.items()}


@contextmanager
def get_job() -> Iterator[tuple[Callable[[], object], Callable[[], object]]]:
    """Ours and bare urllib3, over a connection that is kept open."""
    with server() as port:
        url = f"http://127.0.0.1:{port}"
        bare = Bare(url, "testid", "testsecret")
        with Client(url, "testid", "testsecret") as client:
            yield lambda: client.get_job("job-1").State, lambda: bare.get_job("job-1")["State"]
        bare.pool.clear()


def find_losses(found: dict[str, float]) -> list[str]:
    """Return in words which rows cost more than the baseline allows."""
    known = json.loads(BASELINE.read_text())
    return [
        f"{row}: {found[row]:.3f} times the floor's instructions, {found[row] / known[row]:.2f} times the baseline"
        for row in known
        if found[row] > MOST * known[row]
    ]


def main() -> int:
    """The exit code: 1 for a loss."""
    found = measure()
    if "--renew" in sys.argv:
        BASELINE.write_text(json.dumps(found, indent=2) + "\n")
    known = json.loads(BASELINE.read_text())
    for row, ratio in found.items():
        print(f"{row:<22} {ratio:>8.3f}   baseline {known.get(row, 0):>8.3f}")
    losses = find_losses(found)
    print(*losses, sep="\n")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
