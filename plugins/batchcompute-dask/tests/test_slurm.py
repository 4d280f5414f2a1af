"""Slurm for real, where its packages slurmctld, slurmd and slurm-client are installed: one node, configured here.

`make test-cluster` runs it. The daemons run as this user, without munge, on ports of loopback.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from batchcompute_dask.clusters import place
from batchcompute_local.client import control
from batchcompute_local.paths import Layout
from dask_cluster import sweep
from own_clusters import cluster_pid, end_all, start_waiting

from tests.support.service import Cloud
from tests.support.waits import wait_for

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
MISSING = [
    name for name in ("slurmctld", "slurmd", "slurmstepd", "sbatch", "squeue") if not shutil.which(name, path=PATH)
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"Slurm is not installed (no {', '.join(MISSING)})")

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
{more}
"""
SETTINGS = """
executor = "dask"
runner_linger_seconds = 60
grace_seconds = 0.5
[executors.dask]
cluster = "slurm"
workers = 2
host = "127.0.0.1"
shared_files = true
lease_seconds = 60
[executors.dask.slurm]
cores = 1
memory = "1 GiB"
job_directives_skip = ["--mem"]
local_directory = "{folder}/nodes"
log_directory = "{folder}/logs"
[executors.dask.environment]
PATH = "{path}"
SLURM_CONF = "{folder}/slurm.conf"
LD_LIBRARY_PATH = "{libraries}"
[environment]
GO = "{folder}/go"
"""


def free_port() -> int:
    """A port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def stepd() -> str:
    """The program that slurmd starts for each job."""
    return shutil.which("slurmstepd", path=PATH) or ""


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A controller and a node; the environment of the commands."""
    for name in ("state", "spool", "logs"):
        (tmp_path / name).mkdir()
    host = socket.gethostname().partition(".")[0]
    more = os.environ.get("SLURM_TEST_CONFIG", "")  # such as PluginDir, for packages that are unpacked elsewhere
    text = CONFIG.format(
        host=host, user=getpass.getuser(), folder=tmp_path, control=free_port(), node=free_port(), more=more
    )
    (tmp_path / "slurm.conf").write_text(text)
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(tmp_path / "slurm.conf")}
    with ExitStack() as stack:
        for words in (["slurmctld", "-D", "-c"], ["slurmd", "-D", "-N", host, "-d", stepd()]):
            log = stack.enter_context(open(tmp_path / f"{words[0]}.out", "wb"))
            process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def is_idle() -> bool:
            shown = subprocess.run(
                ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
            )
            return shown.stdout.strip() == "idle"

        try:
            wait_for(is_idle, "the node of Slurm", 60)
        except AssertionError:
            for file in (*tmp_path.glob("slurm*.out"), *tmp_path.glob("slurm*.log")):
                print(f"--- {file.name}\n{file.read_text(errors='replace')[-3000:]}")
            raise
        yield environment


@pytest.fixture
def service(slurm: dict[str, str], tmp_path: Path) -> Iterator[Cloud]:
    """A service whose workers are jobs of this Slurm."""
    made = Cloud(tmp_path / "data")
    libraries = slurm.get("LD_LIBRARY_PATH", "")
    made.settings(SETTINGS.format(folder=tmp_path, path=slurm["PATH"], libraries=libraries))
    yield made
    end_all(made)
    sweep(tmp_path / "nodes")


def test_jobs_of_slurm_run_instances(service: Cloud, slurm: dict[str, str], tmp_path: Path) -> None:
    """The cluster process is killed meanwhile; a job that is cancelled is submitted again; all are cancelled at the end."""

    def queued() -> set[str]:
        shown = subprocess.run(
            ["squeue", "-h", "-t", "R,PD", "-o", "%i"], env=slurm, capture_output=True, text=True, check=True
        )
        return set(shown.stdout.split())

    job, logs = start_waiting(service, 2)
    before = queued()
    assert len(before) == 2
    layout = Layout.at(service.root)
    address, first = place.read_address(layout), cluster_pid(service.root)
    assert first is not None
    os.kill(first, 9)
    wait_for(lambda: cluster_pid(service.root) not in (None, first), "another cluster process", 30)
    (tmp_path / "go").touch()
    assert service.ended(job)["State"] == "Terminated", (service.root / "dask/cluster.log").read_text()
    assert [log.read_text() for log in logs] == ["begun\ndone\n"] * 2, "nothing ran twice"
    assert place.read_address(layout) == address
    assert queued() == before, "no job was submitted again"
    cancelled = min(before)
    subprocess.run(["scancel", cancelled], env=slurm, check=True)
    wait_for(lambda: len(queued() - before) == 1, "another job", 60)
    control.stop(service.root)
    end_all(service)
    wait_for(lambda: not queued(), "the end of all jobs", 60)
