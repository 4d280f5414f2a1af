"""The runner is started with the standard library and the shared plain modules only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from batchcompute_local.paths import Layout
from batchcompute_local.process.spawning import BOOT

PLAIN = {
    "containment",
    "clocks",
    "damage",
    "detached",
    "exhaustion",
    "filelocks",
    "files",
    "known_state",
    "mark",
    "paths",
    "procs",
    "records",
    "unixsocket",
}
RUNNER = {
    "children",
    "exit_message",
    "groups",
    "guard",
    "journal",
    "lease",
    "leftovers",
    "orphans",
    "restart",
    "runner",
    "serving",
    "spawn",
    "spawner",
    "spawners",
    "warm",
    "warm_pool",
}


def test_the_runner_imports_nothing_else(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    layout.journal.write_text('{"attempt":"x","event":"started"}\n')
    at = BOOT.index("-c") + 1
    command = [*BOOT[:at], f"{BOOT[at]}; import sys; print('modules:', *sys.modules)", *BOOT[at + 1 :]]
    with open(os.devnull, "wb") as ready:
        arguments = [str(layout.root), "job-none", "0", "auto", str(ready.fileno())]
        ran = subprocess.run(
            [*command, *arguments], pass_fds=[ready.fileno()], capture_output=True, check=False, timeout=60
        )
    assert ran.returncode == 0, ran.stderr
    modules = set(ran.stdout.decode().partition("modules:")[2].split())
    ours = {name for name in modules if name.partition(".")[0] == "batchcompute_local"}
    wanted = {"batchcompute_local", "batchcompute_local.runner"}
    wanted |= {f"batchcompute_local.{name}" for name in PLAIN} | {
        f"batchcompute_local.runner.{name}" for name in RUNNER
    }
    assert ours == wanted
    others = {name.partition(".")[0] for name in modules - ours} - sys.stdlib_module_names - {"__main__"}
    assert others == set()
