"""Jobs as the documents tell them (protocol 2.2 to 2.6): a model that shares no code with the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

W, R, F, X, S = 1, 2, 3, 4, 5
WORDS = {W: "Waiting", R: "Running", F: "Terminated", X: "Failed", S: "Stopped"}
ALLOWED = {"stop": (W, R), "start": (S, X), "priority": (S, X), "delete": (S, X, F)}


@dataclass
class Model:
    """One job as the documents tell it: `states[task][instance]`."""

    owner: int
    priority: int
    before: list[set[int]]
    states: list[list[int]]
    attempts: list[list[int]]
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
        if found == {F} or X in found:
            return X if X in found else F
        if self.over:
            return S if self.over == S or found != {W} else W
        return R if n in self.tasks_begun else W

    def may_start(self) -> Iterator[tuple[int, int]]:
        if not self.over:
            for n, states in enumerate(self.states):
                if all(set(self.states[b]) == {F} for b in self.before[n]):
                    yield from ((n, k) for k, state in enumerate(states) if state == W)

    def started(self, n: int, k: int) -> None:
        self.states[n][k] = R
        self.attempts[n][k] += 1
        self.begun = True
        self.tasks_begun.add(n)

    def ended(self, n: int, k: int, good: bool) -> None:
        self.states[n][k] = F if good else X
        self.total += 2 if good else 0
        if not good:
            self.over = X
            self._all({R: S})

    def stop(self) -> None:
        self.over = S
        self._all({W: S, R: S})

    def start(self) -> None:
        self.over, self.begun = 0, False
        self.tasks_begun.clear()
        self._all({X: W, S: W})

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


def new_model(owner: int, priority: int, sizes: list[int], edges: set[tuple[int, int]]) -> Model:
    before = [{a for a, b in edges if b == n} for n in range(len(sizes))]
    return Model(owner, priority, before, [[W] * size for size in sizes], [[0] * size for size in sizes])


def tasks_of(sizes: list[int], edges: set[tuple[int, int]], **more: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Tasks and dependencies of a description."""
    follow = {f"t{a}": sorted({f"t{b}" for x, b in edges if x == a}) for a, _ in edges}
    return {f"t{n}": {"InstanceCount": size} | more for n, size in enumerate(sizes)}, follow
