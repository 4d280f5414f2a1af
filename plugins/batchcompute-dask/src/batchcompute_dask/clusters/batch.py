"""Workers that are jobs of a batch system, by dask-jobqueue. They outlive the process that submitted them, which is found again.

The jobs are ours to keep: dask-jobqueue's own cluster would forget them with its process. So it makes scripts, and submits.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import shlex
from collections import Counter
from collections.abc import Collection
from typing import Any

from batchcompute_local.paths import Layout

from batchcompute.errors import did_you_mean
from batchcompute_dask.clusters import place
from batchcompute_dask.settings import Options

_log = logging.getLogger(__name__)
_ASK_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_MOST_FAILURES = 6
"""A question that fails says little: the batch system may be restarted. So many in a row say that the job is gone."""
_DEATH_SECONDS = 300
"""A job ends if it finds no scheduler for so long."""
_CLASSES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
}
_ASK = {
    "slurm": "squeue --noheader --jobs",
    "pbs": "qstat",
    "lsf": "bjobs -noheader -o stat",
    "sge": "qstat -j",
    "htcondor": "condor_q -autoformat JobStatus -constraint ClusterId==",
    "oar": "oarstat -j",
    "moab": "checkjob",
}
"""What prints something about a job that is queued or runs, and else nothing, fails, or prints a word of `_OVER`."""
_OVER = ("DONE", "EXIT", "Terminated", "Error", "Completed", "Removed")
_OURS = {"scheduler", "name", "nanny", "protocol", "security", "processes", "worker_command", "config_name", "self"}


class Jobs:
    """A Starter of jobs. Raises ImportError without dask-jobqueue, ValueError for a wrong option."""

    def __init__(self, layout: Layout, options: Options, address: str) -> None:
        import dask_jobqueue

        self._layout = layout
        self._kind = options.cluster
        self._class: Any = getattr(dask_jobqueue, _CLASSES[options.cluster]).job_cls
        _check_names(self._class, options)
        self._jobs = place.read_jobs(layout)
        self._asked: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self._address = address
        self.names: Collection[str] = [f"w{number}" for number in range(1, options.workers + 1)]
        more = [f"--tls-ca-file={options.tls_ca_file}", f"--tls-cert={options.tls_cert}"]
        more += [f"--tls-key={options.tls_key}"] if options.tls_key else []
        values = dict(options.table)
        more += values.pop("worker_extra_args", [])
        values.setdefault("death_timeout", _DEATH_SECONDS)
        values.setdefault("job_name", "batchcompute-worker")
        self._values = {**values, "worker_extra_args": [shlex.quote(word) for word in more]}

    async def start(self, name: str) -> None:
        """See Starter."""
        job = self.make(name)
        await job.start()
        self._note(name, str(job.job_id))

    async def is_there(self, name: str) -> bool:
        """See Starter. The batch system is asked, which knows whether a job still waits."""
        job = self._jobs.get(name)
        if job is None:
            return False
        now = asyncio.get_running_loop().time()
        if now - self._asked.get(name, -_ASK_SECONDS) < _ASK_SECONDS:
            return True
        self._asked[name] = now
        if await self._is_queued(job):
            return True
        self._note(name, None)
        return False

    async def close(self) -> None:
        """See Starter: the jobs are cancelled."""
        for name, number in [*self._jobs.items()]:
            job = self.make(name)
            job.job_id = number
            await job.close()
            self._note(name, None)

    def make(self, name: str) -> Any:
        """Return the job of a worker, not submitted yet."""
        return self._class(
            scheduler=self._address,
            name=name,
            processes=1,
            worker_command="batchcompute_dask.nodes.worker",
            nanny=False,
            **self._values,
        )

    def _note(self, name: str, number: str | None) -> None:
        if number is None:
            self._jobs.pop(name, None)
        else:
            self._jobs[name] = number
            self._asked[name] = asyncio.get_running_loop().time()
        place.write_jobs(self._layout, self._jobs)

    async def _is_queued(self, job: str) -> bool:
        command = _ASK[self._kind]
        words = shlex.split(command + ("" if command.endswith("==") else " ") + job)
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            shown, _ = await asyncio.wait_for(process.communicate(), _ANSWER_SECONDS)
        except TimeoutError:
            _log.warning("the batch system says nothing of the job %s for %.0f seconds", job, _ANSWER_SECONDS)
            return True  # nobody knows
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            self._failures[job] += 1
            if self._failures[job] < _MOST_FAILURES:
                return True
        del self._failures[job]
        return process.returncode == 0 and bool(shown.strip()) and not any(word in shown.decode() for word in _OVER)


def _check_names(job_class: Any, options: Options) -> None:
    known = _names(job_class)
    for name in options.table:
        if name not in known:
            hint = did_you_mean(name, known) or f"; options: {', '.join(known)}"
            raise ValueError(f"unknown option {name!r} of {options.cluster}{hint}")


def _names(job_class: Any) -> list[str]:
    """The options of the class and of those that it is made from, but for those that are set here."""
    found: set[str] = set()
    for each in job_class.__mro__:
        init = vars(each).get("__init__")
        if init is not None and each is not object:
            kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
            found |= {name for name, one in inspect.signature(init).parameters.items() if one.kind not in kinds}
    return sorted(found - _OURS)
