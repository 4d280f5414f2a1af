"""The interface of an operation to the engine's turn: read jobs, change them, keep an answer.

Everything takes part in the commit of the turn. What is read includes what earlier operations of the turn changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from batchcompute_local.jobs import transitions
from batchcompute_local.jobs.active import ActiveJobs
from batchcompute_local.jobs.effects import Effects
from batchcompute_local.jobs.model import Changes, Job, StoredAnswer, new_job
from batchcompute_local.jobs.reading import Reading
from batchcompute_local.jobs.reasons import Reasons
from batchcompute_local.jobs.states import State
from batchcompute_local.jobs.store import Store
from batchcompute_local.plan import JobPlan


class Turn(Reading):
    """Valid only while the operation runs that got it."""

    def __init__(
        self,
        store: Store,
        active: ActiveJobs,
        changes: Changes,
        effects: Effects,
        clock: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        super().__init__(store)
        self._store = store
        self._active = active
        self._changes = changes
        self._effects = effects
        self._clock = clock
        self._steady = steady

    # -- read

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return self._clock()

    def steady_now(self) -> float:
        """Return the time for decisions about age, in seconds: no clock that is set changes it."""
        return self._steady()

    def find(self, job_id: str) -> Job | None:
        """Find a job, active or a summary from the store; None if there is none."""
        return self._active.jobs.get(job_id) or super().find(job_id)

    def keeps(self, job_id: str) -> bool:
        """Check if the files of a job stay: there is such a job, or there may have been one before a restore."""
        return job_id in self._active.jobs or self._read().keeps(job_id)

    def active(self, owner: int) -> list[Job]:
        """Return the jobs of `owner` that have not ended."""
        return [job for job in self._active.jobs.values() if job.owner == owner]

    def reasons(self, owner: int) -> Reasons:
        """Return why jobs of `owner` wait now; it names no jobs of others."""

        def is_known(job_id: str) -> bool:
            job = self.find(job_id)
            return job is not None and job.owner == owner

        return Reasons(self._active, is_known)

    def remarks(self, plan: JobPlan) -> Iterator[str]:
        """Say for the log which tasks of `plan` ask for more than there is."""
        return self._active.placement.remarks(plan)

    # -- change

    def create(self, owner: int, plan: JobPlan) -> Job:
        """Make a job of `plan` and run it."""
        seq, job_id = self._store.next_id()
        job = new_job(seq, job_id, owner, plan, self.now())
        self._changes.created[seq] = job
        for task in job.tasks:
            self._changes.touch(job, task)
        self._active.add(job)
        return job

    def note_changed(self, job: Job) -> None:
        """Have the attributes of `job` written; those of its tasks are not."""
        self._changes.touch(job)

    def stop(self, job: Job) -> None:
        """Stop `job`, which is active, and end its programs."""
        self._active.retire(job, transitions.stop(job, self.now(), self._changes))

    def restart(self, job: Job) -> None:
        """Run `job`, which has ended, again."""
        transitions.restart(self._read().take_up(job), self._changes)
        self._active.add(job)

    def delete(self, job: Job) -> None:
        """Delete `job`, which has ended, and its folders once nothing of it runs."""
        self._changes.deleted.add(job.seq)
        self._effects.deleted.add(job.id)

    def delete_old(self, state: State, before: float, limit: int) -> list[str]:
        """Delete up to `limit` jobs, of any owner, that ended in `state` before that time (epoch seconds). Return their ids."""
        old = self._read().ended(state, before, limit)
        for job in old:
            self.delete(job)
        return [job.id for job in old]

    # -- answers of requests that may come again

    def find_answer(self, owner: int, token: str) -> StoredAnswer | None:
        """Find what a request with this token was answered; None if there was none."""
        return self._changes.answers.get((owner, token)) or self._store.answer(owner, token)

    def keep_answer(self, owner: int, token: str, answer: StoredAnswer, forget_before: float) -> None:
        """Store an answer, and delete all that were given before `forget_before` (epoch seconds)."""
        self._changes.answers[owner, token] = answer
        self._changes.forget_answers_before = forget_before

    def _read(self) -> Store:
        self._store.flush(self._changes)
        return self._store
