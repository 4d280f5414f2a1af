"""A program that says when it starts and ends and holds a lock meanwhile, as do the processes that it leaves behind; and
what its lines tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

PROGRAM = """
import fcntl, os, sys, time
name = os.environ["BATCHCOMPUTE_ATTEMPT"]
base = os.environ.get("STRESS_LINES") or os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/stress/lines"
base += "/" + name.rpartition(".")[0]
out = os.open(base, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def say(word):
    os.write(out, f"{word} {name} {time.monotonic()}\\n".encode())
lock = os.open(base + ".lock", os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    say("overlap")
say("start")
seconds, code, child = sys.argv[1:]
if child == "child" and os.fork() == 0:
    os.setsid()
    time.sleep(30)
    os._exit(0)
time.sleep(float(seconds))
say("end")
sys.exit(int(code))
"""


def check_lines(paths: Iterable[Path]) -> tuple[list[str], Counter[str], dict[str, list[int]]]:
    """Return what is wrong, in words; the figures; and the attempts that began, by `<job>.<task>.<instance>`."""
    problems: list[str] = []
    figures: Counter[str] = Counter()
    begun: dict[str, list[int]] = {}
    for path in paths:
        starts = begun[path.name] = []
        for line in path.read_text().splitlines():
            word, name, _ = line.split()
            attempt = int(name.rpartition(".")[2])
            figures[word] += 1
            if word == "overlap":
                problems.append(f"{name} began while an earlier attempt lived")
            elif word == "start":
                if starts and attempt <= starts[-1]:
                    problems.append(f"{name} began after attempt {starts[-1]}")
                starts.append(attempt)
            elif attempt != starts[-1]:
                problems.append(f"{name} ended after attempt {starts[-1]} began")
        figures["instances"] += 1
        figures["run again"] += len(starts) - 1
    return problems, figures, begun
