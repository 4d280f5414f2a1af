"""Cases that users of other systems reported, with the result that a user wants: real programs in a real service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from batchcompute import Client, JobFailedError
from tests.support.descriptions import PACKAGE, pack_files
from tests.support.service import Cloud

WORKER = """import signal, time, sys
def save(*_):
    print("got TERM", flush=True)
    time.sleep(0.7)
    print("checkpoint written", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
POOL = """import multiprocessing, signal, sys, time
def work(number):
    def save(*_):
        time.sleep(0.3)
        print("checkpoint written", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    time.sleep(60)
if __name__ == "__main__":
    processes = [multiprocessing.Process(target=work, args=(number,)) for number in range(2)]
    for each in processes: each.start()
    for each in processes: each.join()
"""
WRAPPERS = {
    "direct.sh": "exec python3 worker.py\n",
    "bash.sh": "python3 worker.py\necho after\n",
    "pipe.sh": "python3 worker.py | (trap '' TERM; cat)\n",
    "timeout.sh": "timeout 100 python3 worker.py\n",
    "xargs.sh": "echo worker.py | xargs -P 2 python3\n",
    "wrapper.py": "import subprocess, sys; subprocess.run([sys.executable, 'worker.py'])\n",
    "pool.py": POOL,
}


@pytest.fixture
def client(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(cloud.root))
    with Client("local") as client:
        yield client


def submit(client: Client, tasks: dict[str, dict[str, Any]], **more: Any) -> str:
    dag = {"TaskDescMap": {name: {"PackageUri": PACKAGE, **task} for name, task in tasks.items()}, "Dependencies": {}}
    return client.create_job({"JobName": "case", "Priority": 1, "TaskDag": dag, **more}).JobId


def test_a_timeout_lets_every_worker_write_its_checkpoint(cloud: Cloud, client: Client) -> None:
    """Whatever stands between the service and the worker: the wrapper dies at once, the worker has the grace period."""
    cloud.settings(f"slots = {len(WRAPPERS)}\ngrace_seconds = 30\n")
    cloud.oss.put(PACKAGE, pack_files({**WRAPPERS, "worker.py": WORKER}))
    kinds = {"sh": "shell", "py": "python"}
    names = {program.replace(".", ""): program for program in WRAPPERS}
    tasks = {
        task: {"ProgramName": program, "ProgramType": kinds[program.rpartition(".")[2]], "Timeout": 3}
        for task, program in names.items()
    }
    job = submit(client, tasks, JobFailOnInstanceFail=False)
    assert client.wait(job, timeout=120).State == "Failed"
    saved = {
        names[task]: (client.read_log(job, task, 0, "stdout") or b"").count(b"checkpoint written") for task in tasks
    }
    assert saved == {program: 2 if program == "pool.py" else 1 for program in WRAPPERS}


def test_each_attempt_keeps_its_log(cloud: Cloud, client: Client) -> None:
    """A rare failure is looked into after the job was started again, twice."""
    cloud.oss.put(
        PACKAGE,
        pack_files({"main.py": "import os, sys; sys.exit('rare error of ' + os.environ['BATCHCOMPUTE_ATTEMPT'])"}),
    )
    job = submit(client, {"A": {"ProgramName": "main.py"}})
    for _ in range(2):
        client.wait(job, timeout=60)
        client.start_job(job)
    client.wait(job, timeout=60)
    first, second, third = ((client.read_log(job, "A", attempt=number) or b"").decode() for number in (1, 2, 3))
    for number, log in enumerate((first, second, third), start=1):
        assert log.startswith(f"rare error of {job}.0.0.{number}\n")
        assert f"attempt {number} on" in log
    assert (client.read_log(job, "A") or b"").decode() == third


def test_all_bad_samples_are_known_after_one_round(cloud: Cloud, client: Client) -> None:
    """Three of 300 samples are bad: all others are done, the three are named, and only they run again."""
    script = """case $ALI_DIKU_INSTANCE_ID in
37|137|237) [ -e "$BATCHCOMPUTE_OSS_ROOT/mine/mended" ] || { echo "sample $ALI_DIKU_INSTANCE_ID: bad header" >&2; exit 1; } ;;
esac
"""
    cloud.oss.put(PACKAGE, pack_files({"main.sh": script}))
    task = {"ProgramName": "main.sh", "ProgramType": "shell", "InstanceCount": 300}
    job = submit(client, {"A": task}, JobFailOnInstanceFail=False)
    with pytest.raises(
        JobFailedError,
        match=r"task A, instances 37, 137, 237; the stderr of the first one ends:\nsample 37: bad header",
    ):
        client.wait(job, check=True, timeout=120)
    shown = client.get_job(job)
    assert (shown.NumFinishedInstance, shown.NumFailedInstance) == (297, 3)
    client.objects.put("oss://mine/mended", b"")
    client.start_job(job)
    assert client.wait(job, check=True, timeout=60).NumFinishedInstance == 300
    again = [number for number in (36, 37, 137, 237, 238) if _attempts(client, job, number) == 2]
    assert again == [37, 137, 237]


def _attempts(client: Client, job: str, number: int) -> int:
    """The attempts of an instance with a log."""
    count = 0
    try:
        while client.read_log(job, "A", number, attempt=count + 1) is not None:
            count += 1
    except LookupError:
        pass
    return count
