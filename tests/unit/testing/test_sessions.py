"""Sessions that were recorded from the region `local`, with its real service:

.venv/bin/python -m pytest tests/unit/testing --batchcompute-record
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from batchcompute import Client, JobDescription, JobFailedError, NotFoundError, StateConflictError, pack
from batchcompute.hooks import BucketLister, ObjectHasher

pytestmark = [pytest.mark.batchcompute_cassette, pytest.mark.usefixtures("local_region")]
PACKAGE = "oss://replay/worker.tar.gz"
CANARY = "canary-environment-5d21"


def description(program: str, instances: int = 1, **environment: str) -> JobDescription:
    job = JobDescription()
    job.JobName = "replayed"
    job.Priority = 100
    task = {"PackageUri": PACKAGE, "ProgramName": program, "ImageId": "img-local", "InstanceCount": instances}
    job.TaskDag.add_task("Work", task | {"EnvironmentVariables": environment})
    return job


@pytest.fixture
def recording(request: pytest.FixtureRequest) -> bool:
    """Whether the sessions are being recorded."""
    return bool(request.config.getoption("--batchcompute-record") != "replay")


@pytest.fixture
def package(tmp_path: Path) -> bytes:
    folder = tmp_path / "worker"
    folder.mkdir()
    (folder / "good.py").write_text("import os; print('token of', len(os.environ['TOKEN']), 'characters')")
    (folder / "bad.py").write_text("import sys; sys.exit('no such data')")
    (folder / "slow.py").write_text("import time; time.sleep(60)")
    return pack(folder)


def test_a_job_from_packing_to_its_log(package: bytes) -> None:
    with Client("local") as client:
        client.objects.put(PACKAGE, package)
        job = client.create_job(description("good.py", 3, TOKEN=CANARY))
        ended = client.wait(job, timeout=60, check=True)
        assert ended.NumFinishedInstance == 3
        assert [task.State for task in client.list_tasks(job)] == ["Finished"]
        assert client.read_log(job, "Work", 2, "stdout") == b"token of 23 characters\n"
        assert [known.JobId for known in client.list_jobs()] == [job.JobId]
        client.delete_job(job)
        with pytest.raises(NotFoundError):
            client.get_job(job)


def test_a_failed_job_tells_why(package: bytes) -> None:
    with Client("local") as client:
        client.objects.put(PACKAGE, package)
        job = client.create_job(description("bad.py"))
        with pytest.raises(JobFailedError, match="no such data"):
            client.wait(job, timeout=60, check=True)
        again = client.start_job(job)
        assert again.StatusCode == 200
        assert client.wait(job, timeout=60).State == "Failed"


def test_a_job_is_stopped_and_changed(package: bytes) -> None:
    with Client("local") as client:
        client.objects.put(PACKAGE, package)
        job = client.create_job(description("slow.py"))
        with pytest.raises(StateConflictError):
            client.update_job_priority(job, 200)
        client.stop_job(job)
        assert client.wait(job, timeout=60).State == "Stopped"
        client.update_job_priority(job, 200)
        assert client.get_job_description(job).Priority == 200


def test_the_same_session_with_another_endpoint_and_no_key(recording: bool) -> None:
    """What was recorded from `local` answers for any region."""
    with Client("local" if recording else "cn-qingdao") as client:
        assert [image.ImageId for image in client.list_images()] == ["img-local"]


def test_objects_are_read_and_listed() -> None:
    with Client("local") as client:
        client.objects.put("oss://replay/in/a", b"first")
        client.objects.put("oss://replay/in/b", b"second")
        assert [uri for uri, _ in client.objects.list("oss://replay/in/")] == ["oss://replay/in/a", "oss://replay/in/b"]
        assert client.objects.exists("oss://replay/in/a")
        assert not client.objects.exists("oss://replay/in/none")
        client.objects.delete("oss://replay/in/b")
        with pytest.raises(FileNotFoundError):
            client.objects.open("oss://replay/in/b")
        with client.objects.open("oss://replay/in/a") as file:
            assert file.read() == b"first"


def test_buckets_are_listed() -> None:
    with Client("local") as client:
        client.objects.put("oss://replay/in/a", b"first")
        assert isinstance(client.objects, BucketLister)
        assert list(client.objects.buckets()) == ["replay"]


def test_sums_of_objects(recording: bool) -> None:
    with Client("local") as client:
        client.objects.put("oss://replay/in/a", b"hello")
        if recording:
            path = Path(os.environ["BATCHCOMPUTE_DATA_DIR"]) / "oss/replay/in/b"
            path.write_bytes(b"by a program")
        assert isinstance(client.objects, ObjectHasher)
        assert client.objects.crc64("oss://replay/in/a") == 11177612005948864433
        assert client.objects.crc64("oss://replay/in/b") == 13604113400985106222
        for absent in ("a", "none"):
            client.objects.delete("oss://replay/in/a")
            with pytest.raises(FileNotFoundError):
                client.objects.crc64(f"oss://replay/in/{absent}")


def test_what_is_hidden_stays_hidden(package: bytes, recording: bool) -> None:
    """The values of environment variables are compared by name only, and come back as placeholders."""
    value = CANARY if recording else "another value than the recorded one"
    with Client("local") as client:
        client.objects.put(PACKAGE, package)
        job = client.create_job(description("good.py", TOKEN=value))
        client.wait(job, timeout=60, check=True)
        found = client.get_job_description(job).TaskDag.get_task("Work").EnvironmentVariables
        assert dict(found) == {"TOKEN": CANARY if recording else "<scrubbed:TOKEN>"}


def test_bodies_are_compared_by_meaning(package: bytes, recording: bool) -> None:
    """The order of keys does not count: a description may be rebuilt in another way."""
    text = json.dumps(description("good.py", TOKEN=CANARY).detail(), sort_keys=not recording)
    with Client("local") as client:
        client.objects.put(PACKAGE, package)
        assert client.wait(client.create_job(text), timeout=60).State == "Finished"
