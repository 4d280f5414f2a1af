"""Workers that are jobs of Slurm, through dask-jobqueue, with stand-ins for its commands; and workers behind ssh."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from batchcompute_dask.certificates import with_certificate
from batchcompute_dask.clusters import place
from batchcompute_dask.clusters.batch import Jobs
from batchcompute_dask.clusters.starting import find_scheduler
from batchcompute_dask.settings import BATCH_SYSTEMS, read_options
from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from dask_cluster import is_running, sweep
from own_clusters import cluster_pid, end_all, processes_of, start_waiting
from stand_ins import pids, write_stand_ins

from tests.support.service import Cloud
from tests.support.waits import wait_for

SETTINGS = """
executor = "dask"
runner_linger_seconds = 60
grace_seconds = 0.5
[executors.dask]
cluster = "{cluster}"
workers = 2
host = "127.0.0.1"
shared_files = true
lease_seconds = 60
[executors.dask.environment]
PATH = "{path}"
JOBS = "{folder}/jobs"
[environment]
GO = "{folder}/go"
"""
SLURM = """
[executors.dask.slurm]
cores = 1
memory = "1 GiB"
queue = "debug"
local_directory = "{folder}/nodes"
"""
SSH = """
[executors.dask.ssh]
hosts = ["one", "me@two"]
slots = 1
folder = "{folder}/nodes"
"""


@pytest.fixture
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cloud]:
    """A service with a cluster of the kind that the test names."""
    made = Cloud(tmp_path / "data")
    (tmp_path / "jobs").mkdir()
    path = write_stand_ins(tmp_path / "bin")
    text = SETTINGS + (SLURM if request.param == "slurm" else SSH)
    made.settings(text.format(cluster=request.param, path=path, folder=tmp_path))
    yield made
    end_all(made)
    sweep(tmp_path / "nodes")


@pytest.mark.parametrize("service", ["slurm"], indirect=True)
def test_jobs_outlive_the_cluster_process_and_are_started_when_missing(service: Cloud, tmp_path: Path) -> None:
    job, logs = start_waiting(service, 2)
    layout = Layout.at(service.root)
    jobs = pids(tmp_path / "jobs")
    assert sorted(jobs) == ["1", "2"]
    script = (tmp_path / "jobs/1.sh").read_text()
    assert "#SBATCH -p debug\n" in script
    assert "#SBATCH --cpus-per-task=1\n" in script
    address, first = place.read_address(layout), cluster_pid(service.root)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: cluster_pid(service.root) not in (None, first), "another cluster process", 30)
    (tmp_path / "go").touch()
    assert service.ended(job)["State"] == "Terminated", (service.root / "dask/cluster.log").read_text()
    assert [log.read_text() for log in logs] == ["begun\ndone\n"] * 2, "nothing ran twice"
    assert place.read_address(layout) == address
    assert pids(tmp_path / "jobs") == jobs, "no job was submitted again"
    assert all(is_running(pid) for pid in jobs.values())
    os.killpg(jobs["1"], signal.SIGKILL)
    wait_for(lambda: sorted(pids(tmp_path / "jobs")) == ["1", "2", "3"], "another job", 30)
    second = cluster_pid(service.root)
    assert second is not None
    control.stop(service.root)
    os.kill(second, signal.SIGTERM)
    wait_for(lambda: not is_running(second), "the end of the cluster", 30)
    wait_for(lambda: not any(is_running(pid) for pid in pids(tmp_path / "jobs").values()), "the jobs' end", 30)
    assert place.read_jobs(layout) == {}


@pytest.mark.parametrize("service", ["ssh"], indirect=True)
def test_workers_behind_ssh_get_the_certificate_and_end_with_the_connection(service: Cloud, tmp_path: Path) -> None:
    job, _ = start_waiting(service, 2)
    called = {file.name: file.read_text().split() for file in (tmp_path / "jobs").glob("ssh-*")}
    assert sorted(called) == ["ssh-me@two", "ssh-one"]
    pem = (service.root / "dask/cluster.pem").read_text()
    assert not [words for words in processes_of(tmp_path).values() if any("cluster.pem" in word for word in words)]
    assert not [
        file for file in (tmp_path / "nodes").rglob("*") if file.is_file() and pem[:200].encode() in file.read_bytes()
    ]
    workers = [int(words[0]) for words in called.values()]
    first = cluster_pid(service.root)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not any(is_running(pid) for pid in workers), "the workers to end with their connections", 20)
    (tmp_path / "go").touch()
    assert service.ended(job)["State"] == "Terminated"


@pytest.mark.parametrize("kind", BATCH_SYSTEMS)
def test_every_batch_system_gets_our_worker(kind: str, tmp_path: Path) -> None:
    table = {"cores": 4, "memory": "8 GiB", "walltime": "01:00:00"}
    if kind == "htcondor":
        del table["walltime"]
        table["disk"] = "1 GiB"
    if kind == "oar":
        table["memory_per_core_property_name"] = "memcore"
    options = read_options({"cluster": kind, kind: table, "tls_ca_file": "/a", "tls_cert": "/a"})
    script = Jobs(Layout.at(tmp_path), options, "tls://10.0.0.5:1").make("w1").job_script()
    assert "-m batchcompute_dask.nodes.worker" in script
    for words in ("tls://10.0.0.5:1 --name w1", "--nthreads 4 --memory-limit 8.00GiB", "--death-timeout 300"):
        assert words in script
    assert "--tls-ca-file=/a --tls-cert=/a" in script


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    options = read_options({"cluster": "slurm", "slurm": {"cores": 1, "memory": "1 GB", "quue": "long"}})
    with pytest.raises(OSError, match=r"unknown option 'quue' of slurm; did you mean 'queue'\?"):
        find_scheduler(layout, options, 1.0)


def test_a_cluster_ends_when_nobody_needs_it(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path / "data")
    options = read_options({"cluster": "local", "workers": 0})
    found = find_scheduler(layout, with_certificate(layout, options), 1.0)
    assert found.scheduler == place.read_address(layout)
    wait_for(lambda: cluster_pid(layout.root) is None, "its end", 20)
