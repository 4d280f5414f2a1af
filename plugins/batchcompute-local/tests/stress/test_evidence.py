"""stress/evidence.py: what is printed of a service that does not go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STRESS = Path(__file__).parents[2] / "stress"
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from batchcompute_local.client import control
from evidence import print_evidence
from harness import ServiceHarness
from moved_clock import make_interpreter
from batchcompute import Client

folder = Path(sys.argv[2])
harness = ServiceHarness(folder, f'interpreter = "{make_interpreter(folder)}"')
try:
    with Client("local") as client:
        client.create_job({
            "JobName": "j", "Priority": 1,
            "TaskDag": {"TaskDescMap": {"A": {
                "ProgramType": "command", "ProgramName": "sleep", "ProgramArguments": "60", "InstanceCount": 1,
            }}},
        })
    print_evidence(harness)
finally:
    harness.down()
"""


def test_the_evidence_names_stacks_locks_and_rows(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BATCHCOMPUTE", "PYTEST"))}
    command = [sys.executable, "-c", SCRIPT, str(STRESS), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    sections = {part.partition("\n")[0]: part for part in done.stdout.split("-- ")}
    assert '"troubles": []' in sections["status"]
    for lock in ("daemon.lock", "runner.lock"):
        assert f"{lock}: ['" in sections["locks"]
    assert "('job-" in sections["jobs that have not ended"]
    assert "batchcompute_local.daemon" in sections["processes"]
    log = sections["the end of the log"]
    assert "jobs/engine.py" in log, "the stacks of the daemon"
    assert "process/connection.py" in log
