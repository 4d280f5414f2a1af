"""What is read from the tables, over the engine's own connection, which also sees what is not committed, or a snapshot's."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from batchcompute.surroundings import Surroundings
from batchcompute_local.jobs import tables
from batchcompute_local.jobs.model import Attempt, Instance, Job, StoredAnswer, Task
from batchcompute_local.jobs.states import ENDED, FINISHED, State
from batchcompute_local.jobs.tables import ANSWERS, ATTEMPTS, INSTANCES, JOBS, TASKS
from batchcompute_local.plan import build_plan


class Rows:
    """Reads jobs. Everything raises sqlite3.Error. Not thread-safe."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def select(self, owner: int, expression: str, after: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield the number of each job of `owner` with a number above `after`, in order, and an SQL `expression` over its row."""
        sql = f"SELECT seq, {expression} FROM jobs WHERE owner = ? AND seq > ? ORDER BY seq"  # noqa: S608  # names of ours, no values
        with closing(self._db.execute(sql, (owner, after))) as found:
            yield from found

    def summary(self, job_id: str) -> Job | None:
        """Read one job without its tasks, of any owner; None if there is none."""
        row = self._db.execute(f"{JOBS.select} WHERE id = ?", (job_id,)).fetchone()
        return JOBS.read(row) if row else None

    def keeps(self, job_id: str) -> bool:
        """Check if the folder of a job stays: it is one of this store, or was unknown to a copy that was restored."""
        key = f"{tables.UNKNOWN}{job_id}"
        return (
            self.summary(job_id) is not None
            or self._db.execute("SELECT 1 FROM meta WHERE name = ?", (key,)).fetchone() is not None
        )

    def ended(self, state: State, before: float, limit: int) -> list[Job]:
        """Read up to `limit` jobs, of any owner, that ended in `state` before that time, without tasks, oldest first."""
        condition = f"{JOBS['state']} = ? AND {JOBS['ended']} < ?"
        rows = self._db.execute(f"{JOBS.select} WHERE {condition} ORDER BY seq LIMIT ?", (state.real, before, limit))
        return [JOBS.read(row) for row in rows]

    def description(self, seq: int) -> str:
        """Read the stored description as JSON text."""
        row = self._db.execute("SELECT text FROM descriptions WHERE job = ?", (seq,)).fetchone()
        return str(row[0])

    def surroundings(self, seq: int) -> Surroundings | None:
        """Read the surroundings of a job; None if none were sent."""
        row = self._db.execute("SELECT surroundings FROM descriptions WHERE job = ?", (seq,)).fetchone()
        return None if row[0] is None else Surroundings.from_wire(json.loads(row[0]))

    def answer(self, owner: int, token: str) -> StoredAnswer | None:
        """Read what a request with this token was answered; None if there was none, or too long ago."""
        row = self._db.execute(f"{ANSWERS.select} WHERE owner = ? AND token = ?", (owner, token)).fetchone()
        return ANSWERS.read(row) if row else None

    def outline(self, job: Job) -> Job:
        """Read the plan and the tasks of `job`, a summary, into it."""
        job.plan = build_plan(json.loads(self.description(job.seq)), self.surroundings(job.seq))
        job.tasks.extend(self.tasks(job.seq))
        return job

    def complete(self, job: Job) -> Job:
        """Read the plan, the tasks and all instances of `job`, a summary, into it."""
        for task in self.outline(job).tasks:
            task.instances.update((one.number, one) for one in self.instances(job.seq, task.position))
        return job

    def take_up(self, job: Job) -> Job:
        """Read into `job`, a summary, what is needed to run it: the plan, the tasks, and the instances that may run again.

        Raises ValueError for an instance that its task does not have.
        """
        over = ENDED if job.state not in ENDED else {FINISHED}
        sql = f"{INSTANCES.select} WHERE job = ? AND {INSTANCES['state']} NOT IN ({', '.join(f'{one:d}' for one in over)})"
        self.outline(job)
        for row in self._db.execute(sql, (job.seq,)):
            instance = INSTANCES.read(row)
            job.tasks[row[1]].instances[instance.number] = instance
        for position, number, last in self._db.execute(tables.SELECT_STARTED, (job.seq,)).fetchall():
            task = job.tasks[position]
            if not 0 <= last < task.counts.total:
                raise ValueError(f"task {position} has no instance {last}")
            task.cursor = last + 1
            if number < task.cursor:  # a job that was restored from a copy: only some have left a trace
                there = {one.number for one in self.instances(job.seq, position)}
                task.again.extend(one for one in range(task.cursor) if one not in there)
        return job

    def tasks(self, seq: int) -> list[Task]:
        """Read the tasks of a job, without their instances."""
        return [*map(TASKS.read, self._db.execute(f"{TASKS.select} WHERE job = ? ORDER BY position", (seq,)))]

    def instances(self, seq: int, position: int, condition: str = "TRUE") -> Iterator[Instance]:
        """Read the instances of one task, by number, one after the other; only those that were started at least once.

        condition: which of them, in SQL; it has no text of a user.
        """
        sql = f"{INSTANCES.select} WHERE job = ? AND task = ? AND {condition} ORDER BY number"
        return map(INSTANCES.read, self._db.execute(sql, (seq, position)))

    def attempts(self, seq: int) -> Iterator[tuple[int, int, Attempt]]:
        """Yield task position, instance number and attempt of all earlier attempts of a job, in order."""
        for row in self._db.execute(f"{ATTEMPTS.select} WHERE job = ? ORDER BY task, number, attempt", (seq,)):
            yield row[1], row[2], ATTEMPTS.read(row)

    def newest_earlier(self, seq: int, position: int, number: int) -> int | None:
        """Read the newest earlier attempt of an instance that has a host: its program began. None if none did."""
        row = self._db.execute(tables.SELECT_NEWEST_EARLIER, (seq, position, number)).fetchone()
        return None if row[0] is None else int(row[0])

    def leftovers(self, owner: int) -> dict[str, int]:
        """Count the instances that left processes, by job id; only jobs of `owner` that have any."""
        return dict(self._db.execute(tables.SELECT_LEFTOVERS, (owner,)))

    def active_of(self, owner: int) -> list[Job]:
        """Read the jobs of `owner` that have not ended, without their tasks, oldest first."""
        rows = self._db.execute(f"{JOBS.select} WHERE {tables.ACTIVE} AND owner = ? ORDER BY seq", (owner,))
        return [JOBS.read(row) for row in rows]

    def close(self) -> None:
        """Close the connection; what is not committed is lost."""
        self._db.close()
