"""Commands that stand in for those of a batch system and of ssh: what they are to run becomes a process of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

_SBATCH = """
jobs = Path(os.environ["JOBS"])
with open(jobs / "sbatch.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    number = 1 + len(list(jobs.glob("*.sh")))
    script = jobs / f"{number}.sh"
    script.write_bytes(Path(sys.argv[-1]).read_bytes())
script.chmod(0o700)
log = open(jobs / f"{number}.out", "wb")
job = subprocess.Popen([script], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
(jobs / f"{number}.pid").write_text(str(job.pid))
print("Submitted batch job", number)
"""
_SQUEUE = """
for number in sys.argv[sys.argv.index("--jobs") + 1].split(","):
    if is_running(number):
        print(number, "debug", "R")
"""
_SCANCEL = """
for number in sys.argv[1:]:
    if is_running(number):
        os.killpg(pid_of(number), signal.SIGTERM)
"""
_SSH = """
words = sys.argv[sys.argv.index("--") + 1:]
Path(os.environ["JOBS"], "ssh-" + words[0]).write_text(str(os.getpid()) + " " + " ".join(sys.argv))
os.environ.pop("BATCHCOMPUTE_DATA_DIR", None)
os.execvp("/bin/sh", ["/bin/sh", "-c", words[1]])
"""
_COMMON = """
import fcntl, os, signal, subprocess, sys
from pathlib import Path
def pid_of(number):
    return int(Path(os.environ["JOBS"], number + ".pid").read_text())
def is_running(number):
    try:
        return Path(f"/proc/{pid_of(number)}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
"""


def write_stand_ins(folder: Path) -> str:
    """Write them, and return a value of PATH with them. They keep their notes in the folder $JOBS."""
    folder.mkdir()
    for name, text in (("sbatch", _SBATCH), ("squeue", _SQUEUE), ("scancel", _SCANCEL), ("ssh", _SSH)):
        (folder / name).write_text(f"#!{sys.executable} -I\n{_COMMON}{text}")
        (folder / name).chmod(0o700)
    return f"{folder}:/usr/bin:/bin"


def pids(jobs: Path) -> dict[str, int]:
    """The processes of jobs by their numbers."""
    return {file.stem: int(file.read_text()) for file in jobs.glob("*.pid")}
