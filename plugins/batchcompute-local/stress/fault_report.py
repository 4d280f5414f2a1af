"""What the clients of `fault_clients.py` wrote down, counted: what must be 0, and what is only a figure."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from fault_calls import HANG_SECONDS
from harness import ServiceHarness
from lines import check_lines

OVERTIME_SECONDS = 0.5
FULL = "all connections taken"
_SHOWN = 12
MUST_BE_ZERO = (
    "reads refused with 503 at the end of their call",
    "other refusals",
    "calls without an answer while the service was there",
    "jobs lost",
    "jobs doubled",
    "attempts overlapping",
    "calls past their timeout",
    "of those, without the waits for a processor",
    "hangs",
    "second daemons beside a living one",
)
FIGURES = (
    "reads answered",
    "reads refused with 503 and Retry-After on the way",
    "reads in time without an answer while the service was away",
    "changes made",
    "changes refused with 503",
    "changes without an answer while the service was away",
    "jobs",
    "attempts",
)


class Report:
    """`away` has the times in which the service could not answer: why, from when to when, in seconds of time.monotonic().

    `is_busy`: other programs use the processors, so a call is past its timeout only without its waits for one.
    """

    def __init__(self, folder: Path, away: list[tuple[str, float, float]], is_busy: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.details: dict[str, list[str]] = {}
        self._away = away
        self._is_busy = is_busy
        self._jobs = [json.loads(path.read_text()) for path in sorted(folder.glob("jobs-*"))]
        self._latest = ("", 0.0)
        rows = (json.loads(line) for path in sorted(folder.glob("calls-*")) for line in path.open())
        for row in rows:
            self._count(row)
        gaps = folder / "gaps"
        self._gaps = [tuple(map(float, line.split())) for line in gaps.open()] if gaps.exists() else []
        hangs = folder / "hangs"
        self.problems += [f"a call hung:\n{text}" for text in hangs.read_text().split("Timeout (")[1:]]
        for jobs in self._jobs:
            self.counts["jobs"] += len(jobs["ends"])
            for problem in jobs["problems"]:
                self._wrong("jobs lost", problem)

    def _wrong(self, what: str, detail: str) -> None:
        self.counts[what] += 1
        self.details.setdefault(what, []).append(detail)

    def _count(self, row: dict[str, Any]) -> None:
        took, outcome, is_read = row["ended"] - row["began"], row["outcome"], row["kind"] != "change"
        reasons = sorted({why for why, began, ended in self._away if began < row["ended"] and row["began"] < ended})
        text = (
            f"{row['name']} with timeout {row['timeout']} took {took:.2f} s, {row['queued']:.2f} s of them without a processor, "
            f"and was refused {row['asked']} times: {outcome} {row['detail']} ({', '.join(reasons)})"
        )
        if took - row["queued"] > row["timeout"] + OVERTIME_SECONDS:
            self.counts["of those, without the waits for a processor"] += 1
        if took > row["timeout"] + HANG_SECONDS:
            self._wrong("hangs", text)
        elif took - self._is_busy * row["queued"] > row["timeout"] + OVERTIME_SECONDS:
            self._wrong("calls past their timeout", text)
        self._latest = max(self._latest, (text, took - row["timeout"]), key=lambda each: each[1])
        if row["blunt"]:
            self._wrong("other refusals", f"503 without Retry-After: {text}")
        if is_read:
            self.counts["reads refused with 503 and Retry-After on the way"] += row["asked"]
        if outcome == "done":
            self.counts["reads answered" if is_read else "changes made"] += 1
        elif outcome == "refused" and is_read:
            self._wrong("reads refused with 503 at the end of their call", text)
        elif outcome == "refused":
            self.counts["changes refused with 503"] += 1
        elif outcome in ("late", "lost", "unsure"):
            if not reasons or (row["kind"] == "crowd" and reasons == [FULL]):
                self._wrong("calls without an answer while the service was there", text)
            elif is_read:
                self.counts["reads in time without an answer while the service was away"] += 1
            else:
                self.counts["changes without an answer while the service was away"] += 1
        elif outcome in ("error", "bare error"):
            self._wrong("other refusals", text)

    def compare(self, states: dict[str, tuple[str, str]]) -> list[str]:
        """What is wrong with the jobs that there are, by id: name and state."""
        problems = []
        ends = {job_id: end for jobs in self._jobs for job_id, end in jobs["ends"].items()}
        names = {name: what for jobs in self._jobs for name, what in jobs["names"].items()}
        self.counts["jobs lost"] = len(self.details.get("jobs lost", []))
        for job_id, allowed in ends.items():
            found = states.get(job_id, ("", "gone"))[1]
            if found not in allowed:
                problems.append(f"{job_id} is {found}, not {' or '.join(allowed)}")
                self.counts["jobs lost"] += found == "gone"
        made = Counter(name for name, _ in states.values())
        for job_id, (name, state) in states.items():
            known = names.get(name, "no")
            if known not in (job_id, "maybe"):
                problems.append(f"{job_id} was made for {name}, which is {known}")
            if state not in ("Finished", "Failed", "Stopped"):
                problems.append(f"{job_id} is {state}")
        self.counts["jobs doubled"] = sum(number > 1 for number in made.values())
        return problems

    def check_programs(self, harness: ServiceHarness) -> None:
        wrong, figures, _ = check_lines(harness.lines())
        self.problems += wrong
        self.counts["attempts"] = figures["start"]
        self.counts["attempts overlapping"] = figures["overlap"]

    def show(self) -> int:
        """Print everything; return the exit code."""
        for what in (*FIGURES, *MUST_BE_ZERO):
            print(f"{what}: {self.counts[what]}")
        longest = max((end - begin for begin, end in self._gaps), default=0.0)
        print(
            f"the longest call was {self._latest[1]:+.2f} s past its timeout; longest scheduling gap: {longest:.2f} s"
        )
        wrong = [f"{what}: {text}" for what, texts in self.details.items() for text in texts[:_SHOWN]]
        for text in wrong + self.problems[:_SHOWN]:
            print("WRONG:", text)
        failed = bool(self.problems) or any(self.counts[what] for what in MUST_BE_ZERO)
        number = sum(map(len, self.details.values())) + len(self.problems)
        print(f"{number} things are wrong" if failed else "every fault stayed where it was")
        return int(failed)
