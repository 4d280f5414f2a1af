"""A thousand short programs, two at once, against what starts the same programs and keeps nothing of them; in wall time.

`sh -c 'echo I >> OUT/I'` against a loop of posix_spawn, and a Python that prints, in an interpreter of its own and in an image
with a warm one, against xargs with the same Python. Ours
includes the submission, a folder and two logs for each, and what keeps every step on the disk.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from .bench_service_stage import SLOTS, Stage, stage
from .harness import Benchmark, Comparison, Pair

_COUNT, _QUICK_COUNT = 1000, 100
_LONGEST_SECONDS = 600.0
_APPEND = 'echo "$0" >> "$1/$0"'

_WARM = f'[images."img-warm"]\npython = "{sys.executable}"\nwarm = []\n'

_SPAWN = """\
import json, os, sys, time
slots, count, argv = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
started = time.perf_counter()
begun = ended = 0
while ended < count:
    while begun < count and begun - ended < slots:
        os.posix_spawn(argv[0], [word.replace("{}", str(begun)) for word in argv], os.environ)
        begun += 1
    os.waitpid(-1, 0)
    ended += 1
print((time.perf_counter() - started) / count)
"""


def _spawn(count: int, out: Path) -> float:
    """Wall seconds for each program, of a loop that spawns and waits."""
    argv = json.dumps(["/bin/sh", "-c", _APPEND, "{}", str(out)])
    command = [sys.executable, "-I", "-S", "-c", _SPAWN, str(SLOTS), str(count), argv]
    found = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_LONGEST_SECONDS)
    assert len([*out.iterdir()]) == count
    return float(found.stdout)


def _xargs(count: int, folder: Path) -> float:
    """Wall seconds for each program, of xargs."""
    script = folder / "main.py"
    script.write_text("print(1)\n")
    command = ["xargs", "-P", str(SLOTS), "-n", "1", sys.executable, str(script)]
    numbers = "\n".join(map(str, range(count)))
    started = time.perf_counter()
    subprocess.run(command, input=numbers.encode(), stdout=subprocess.DEVNULL, check=True, timeout=_LONGEST_SECONDS)
    return (time.perf_counter() - started) / count


def _append_task(out: Path) -> Mapping[str, Any]:
    return {
        "PackageUri": "",
        "ProgramType": "command",
        "ProgramName": "sh",
        "ProgramArguments": f'-c \'echo "$ALI_DIKU_INSTANCE_ID" >> "$0/$ALI_DIKU_INSTANCE_ID"\' {out}',
    }


def _opener(
    program: str,
    task: Callable[[Path], Mapping[str, Any]],
    floor: Callable[[int, Path], float],
    settings: str = "",
) -> Callable[[bool], AbstractContextManager[Pair]]:
    @contextmanager
    def open_pair(quick: bool) -> Iterator[Pair]:
        count = _QUICK_COUNT if quick else _COUNT
        with stage(program, settings) as service:

            def ours() -> float:
                with _folder(service) as out:
                    return service.run({"Task": {**task(out), "InstanceCount": count}})

            def theirs() -> float:
                with _folder(service) as out:
                    return floor(count, out)

            yield Pair(ours, theirs)

    return open_pair


@contextmanager
def _folder(service: Stage) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=service.data) as made:
        yield Path(made)


APPEND = Benchmark(
    "service_append",
    f"instance of {_COUNT}; wall time",
    "posix_spawn of the same, two at once",
    target=0.45,
    open=_opener("/bin/true", _append_task, _spawn),
    peers={"xargs": 0.79, "Dask": 0.15},
    rounds=5,
    quick_rounds=1,
    compare=Comparison.RATE,
)
PYTHON = Benchmark(
    "service_python",
    f"instance of {_COUNT}; wall time",
    "xargs -P 2 with the same Python",
    target=1.0,
    open=_opener(sys.executable, lambda out: {}, _xargs),
    rounds=3,
    quick_rounds=1,
    compare=Comparison.RATE,
)
WARM = Benchmark(
    "service_python_warm",
    f"instance of {_COUNT}; wall time",
    "xargs -P 2 with the same Python",
    target=4.0,
    open=_opener(sys.executable, lambda out: {"ImageId": "img-warm"}, _xargs, _WARM),
    rounds=3,
    quick_rounds=1,
    compare=Comparison.RATE,
)
