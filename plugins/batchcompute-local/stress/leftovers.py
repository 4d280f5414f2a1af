"""Output that a leftover writes is whole, also under load.

    python plugins/batchcompute-local/stress/leftovers.py [--instances 200] [--load 2]

Three programs end while a process that they started still writes: `> >(gzip ...)`, `exec > >(tee ...)` and a Popen without
wait. Each runs in so many instances, while processes without a pause use the cores. Every file must be whole.
"""

from __future__ import annotations

import argparse
import gzip
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from harness import ServiceHarness

from batchcompute import Client

ROWS = 300_000
GZIP = f"""#!/bin/bash
{{ seq 1 {ROWS}; }} > >(gzip -9 > "$BATCHCOMPUTE_OSS_ROOT/stress/gz.$ALI_DIKU_INSTANCE_ID")
"""
TEE = """#!/bin/bash
exec > >(tee "$BATCHCOMPUTE_OSS_ROOT/stress/tee.$ALI_DIKU_INSTANCE_ID") 2>&1
for i in $(seq 1 200); do echo "line $i"; done
echo RESULT=42
"""
POPEN = f"""import os, subprocess
out = open(os.environ["BATCHCOMPUTE_OSS_ROOT"] + "/stress/popen." + os.environ["ALI_DIKU_INSTANCE_ID"], "wb")
p = subprocess.Popen(["gzip", "-9"], stdin=subprocess.PIPE, stdout=out)
for i in range({ROWS}): p.stdin.write(b"%d\\n" % i)
p.stdin.close()
"""
PROGRAMS = {"gz": ("shell", GZIP), "tee": ("shell", TEE), "popen": ("python", POPEN)}
_SECONDS = 3600.0


def run(client: Client, harness: ServiceHarness, name: str, instances: int) -> tuple[int, float]:
    """Run one program; return the number of broken files, and the seconds. Ends with a message if the job does not finish."""
    kind, text = PROGRAMS[name]
    harness.put_program(text)
    task = {
        "ProgramType": kind,
        "ProgramName": "main.py",
        "PackageUri": "oss://stress/worker.tar.gz",
        "InstanceCount": instances,
    }
    began = time.monotonic()
    job = client.create_job(
        {"JobName": name, "Priority": 1, "TaskDag": {"TaskDescMap": {"A": task}, "Dependencies": {}}}
    )
    state = client.wait(job, timeout=_SECONDS).State
    if state != "Finished":
        sys.exit(f"{name}: the job is {state}")
    took = time.monotonic() - began
    folder = harness.root / "oss" / "stress"
    broken = 0
    for number in range(instances):
        file = folder / f"{name}.{number}"
        if name == "tee":
            log = client.read_log(job, "A", number, "stdout") or b""
            broken += log.count(b"\n") != 201 or file.read_bytes() != log
        else:
            broken += not _is_whole(file)
    return broken, took


def _is_whole(file: Path) -> bool:
    try:
        return gzip.decompress(file.read_bytes()).count(b"\n") == ROWS
    except (EOFError, OSError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--instances", type=int, default=200, help="of each program")
    parser.add_argument("--load", type=int, default=2, help="processes that use a core each")
    options = parser.parse_args()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.load)]
    broken = 0
    try:
        with tempfile.TemporaryDirectory() as folder:
            harness = ServiceHarness(Path(folder))
            try:
                with Client("local") as client:
                    for name in PROGRAMS:
                        found, took = run(client, harness, name, options.instances)
                        broken += found
                        print(f"{name}: {found} of {options.instances} broken, {took:.1f} s", flush=True)
            finally:
                harness.down()
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
