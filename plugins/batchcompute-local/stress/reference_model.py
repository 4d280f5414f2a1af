"""Jobs as the documents tell them (protocol 2.2 to 2.6): a model that shares no code with the service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

W, R, F, X, S = 1, 2, 3, 4, 5
WORDS = {W: "Waiting", R: "Running", F: "Terminated", X: "Failed", S: "Stopped"}
KEPT = 10
"""Earlier attempts of an instance that stay."""
ALLOWED = {"stop": (W, R), "start": (S, X), "priority": (S, X), "delete": (S, X, F)}


class Past(NamedTuple):
    """An attempt that has ended: its number, round and state, and the number of its leftovers."""

    number: int
    round: int
    state: int
    leftovers: int = 0


@dataclass
class Model:
    """One job as the documents tell it: `states[task][instance]`. `retries` is the MaxRetryCount of each task."""

    owner: int
    priority: int
    before: list[set[int]]
    states: list[list[int]]
    attempts: list[list[int]]
    retries: list[int]
    goes_on: bool
    spent: list[list[int]]
    not_before: list[list[float]]
    history: dict[tuple[int, int], list[Past]] = field(default_factory=dict)
    """All attempts that began and have ended, by task and instance."""
    ended_with: set[tuple[int, int]] = field(default_factory=set)
    """Instances that have ended with their latest attempt: it is in none of the earlier ones."""
    round: int = 1
    total: int = 0
    begun: bool = False
    over: int = 0
    tasks_begun: set[int] = field(default_factory=set)

    @property
    def state(self) -> int:
        everything = {state for task in self.states for state in task}
        return self.over or (F if everything == {F} else R if self.begun else W)

    def task_state(self, n: int) -> int:
        found = set(self.states[n])
        if found == {F}:
            return F
        if X in found and (found <= {F, X} or not self.goes_on):
            return X
        if self.over:
            return S if self.over == S or found != {W} else W
        return R if n in self.tasks_begun else W

    def may_start(self, now: float) -> Iterator[tuple[int, int]]:
        if not self.over:
            for n, states in enumerate(self.states):
                if self.is_reached(n):
                    yield from ((n, k) for k, state in enumerate(states) if state == W and self.not_before[n][k] <= now)

    def is_reached(self, n: int) -> bool:
        return all(set(self.states[b]) == {F} for b in self.before[n])

    def started(self, n: int, k: int) -> None:
        self.states[n][k] = R
        self.attempts[n][k] += 1
        self.begun = True
        self.tasks_begun.add(n)

    def note(self, n: int, k: int, state: int, leftovers: int = 0) -> None:
        """The latest attempt has ended in this way."""
        self.history.setdefault((n, k), []).append(Past(self.attempts[n][k], self.round, state, leftovers))

    def lost(self, n: int, k: int) -> None:
        self.note(n, k, X)
        self.states[n][k] = W

    def ended(self, n: int, k: int, good: bool, now: float, spends: bool = True, leftovers: int = 0) -> None:
        self.note(n, k, F if good else X, leftovers)
        if not good and spends and self.spent[n][k] < self.retries[n]:
            self.not_before[n][k] = now + min(60, 2 ** self.spent[n][k])  # seconds
            self.spent[n][k] += 1
            self.states[n][k] = W
            return
        self.states[n][k] = F if good else X
        self.ended_with.add((n, k))
        self.total += 2 if good else 0
        if not good and not self.goes_on:
            self.over = X
            self._end_running()
        reached = {state for n, states in enumerate(self.states) if self.is_reached(n) for state in states}
        if X in reached and reached <= {F, X}:
            self.over = X

    def stop(self) -> None:
        self.over = S
        self._end_running()
        self._all({W: S})

    def start(self) -> None:
        self.over, self.begun = 0, False
        self.round += 1
        self.ended_with = {(n, k) for n, k in self.ended_with if self.states[n][k] == F}
        self.tasks_begun.clear()
        self.spent = [[0] * len(task) for task in self.states]
        self.not_before = [[0.0] * len(task) for task in self.states]
        self._all({X: W, S: W})

    def _end_running(self) -> None:
        for n, states in enumerate(self.states):
            for k, state in enumerate(states):
                if state == R:
                    self.note(n, k, S)
                    self.ended_with.add((n, k))
        self._all({R: S})

    def leftovers(self) -> int:
        """The number of instances that left processes in an attempt that is kept."""
        return sum(any(past.leftovers for past in self.kept(n, k)) for n, k in self.history)

    def listed(self, n: int, k: int) -> list[Past]:
        """The attempts of an instance that failed, ran more than once or left processes; none of another one."""
        kept = self.kept(n, k)
        is_listed = (
            self.states[n][k] == X or len(kept) > ((n, k) in self.ended_with) or any(past.leftovers for past in kept)
        )
        return kept if is_listed else []

    def kept(self, n: int, k: int) -> list[Past]:
        """The attempts of an instance that are kept: the latest one, if it ended as the instance is, and ten before it."""
        return self.history.get((n, k), [])[-KEPT - ((n, k) in self.ended_with) :]

    def _all(self, change: dict[int, int]) -> None:
        self.states = [[change.get(state, state) for state in task] for task in self.states]


def expected_view(job: Model) -> dict[str, Any]:
    """What GET /jobs/{id} has to say about states."""
    parts = [state for task in job.states for state in task]
    tasks = [job.task_state(n) for n in range(len(job.states))]
    view: dict[str, Any] = {"State": WORDS[job.state], "Priority": job.priority, "TotalTime": job.total}
    for state, word in {W: "Waiting", R: "Running", F: "Finished", X: "Failed", S: "Stopped"}.items():
        view |= {f"Num{word}Instance": parts.count(state), f"Num{word}Task": tasks.count(state)}
    return view | {"NumTotalInstance": len(parts), "NumTotalTask": len(tasks), "OwnerId": job.owner}


def new_model(
    owner: int,
    priority: int,
    sizes: list[int],
    edges: set[tuple[int, int]],
    retries: Sequence[int] = (),
    goes_on: bool = False,
) -> Model:
    before = [{a for a, b in edges if b == n} for n in range(len(sizes))]
    none, no_time = [[0] * size for size in sizes], [[0.0] * size for size in sizes]
    states, attempts = [[W] * size for size in sizes], [[0] * size for size in sizes]
    return Model(owner, priority, before, states, attempts, list(retries) or [0] * len(sizes), goes_on, none, no_time)


def tasks_of(
    sizes: list[int], edges: set[tuple[int, int]], retries: Sequence[int] = ()
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Tasks and dependencies of a description."""
    follow = {f"t{a}": sorted({f"t{b}" for x, b in edges if x == a}) for a, _ in edges}
    counts = retries or [0] * len(sizes)
    return {f"t{n}": {"InstanceCount": size, "MaxRetryCount": counts[n]} for n, size in enumerate(sizes)}, follow
