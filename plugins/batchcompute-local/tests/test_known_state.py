"""Daemon, runner and programs begin from a known state, whatever started the service."""

from __future__ import annotations

import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from batchcompute_local import known_state
from batchcompute_local.client import control

from tests.support.service import Cloud
from tests.support.unprivileged import as_ordinary_user
from tests.support.waits import wait_for

ODD = """
import os, resource, signal, sys
from pathlib import Path
how, data_dir, folder = sys.argv[1:]
os.mkdir(folder)
os.chdir(folder)
os.rmdir(folder)
os.umask(0o777)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for name, soft in (("NOFILE", 64), ("CORE", 1 << 20), ("STACK", 4 << 20), ("FSIZE", 1 << 30), ("AS", 1 << 40)):
    number = getattr(resource, "RLIMIT_" + name)
    resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))
os.nice(5)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
Path("/proc/self/oom_score_adj").write_text("700")
for number in (7, 50):
    os.dup2(os.open("/dev/null", os.O_RDONLY), number)
os.environ.update(LC_ALL="tr_TR.UTF-8", TZ="Asia/Tokyo", PATH="/odd", TMPDIR="/odd", LD_LIBRARY_PATH="/odd", PYTHONOPTIMIZE="2")
os.environ.update(HOME="/odd", USER="odd", SECRET="hush", XDG_RUNTIME_DIR="/odd")
if how == "client":
    from batchcompute_local.client import control
    control.ensure_running(Path(data_dir))
else:
    if not os.fork():
        os.setsid()
        command = [sys.executable, "-m", "batchcompute_local.daemon", "--data-dir", data_dir]
        os.execv(sys.executable, command)
"""
LOOK = """
import json, os, resource, sys
def status(name):
    with open("/proc/self/status") as file:
        return next(line.split()[1] for line in file if line.startswith(name + ":"))
umask = os.umask(0)
print(json.dumps({
    "environment": dict(os.environ), "umask": umask, "ignored": int(status("SigIgn"), 16), "blocked": int(status("SigBlk"), 16),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")},
    "nice": os.nice(0), "processors": sorted(os.sched_getaffinity(0)), "policy": os.sched_getscheduler(0),
    "oom": int(open("/proc/self/oom_score_adj").read()), "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "session": os.getsid(0) == os.getpid(), "tty": open("/proc/self/stat").read().rpartition(")")[2].split()[4],
}))
"""


@pytest.mark.parametrize("how", ["client", "by hand"])
@as_ordinary_user
def test_an_odd_caller_leaves_no_trace(cloud: Cloud, tmp_path: Path, how: str) -> None:
    subprocess.run([sys.executable, "-c", ODD, how, str(cloud.root), str(tmp_path / "cwd")], check=True, timeout=60)
    wait_for(lambda: control.status(cloud.root), "the service")
    cloud.program(LOOK)
    job = cloud.create({"A": {}})
    assert cloud.ended(job)["State"] == "Terminated", cloud.log(job, "A", stream="stderr")
    seen = json.loads(cloud.log(job, "A"))
    _check_environment(seen.pop("environment"))
    _check_limits(seen.pop("limits"))
    valid = sum(1 << number - 1 for number in signal.valid_signals())
    seen["ignored"] &= valid  # the C library has signals of its own
    python_ignores = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    may = os.getuid() == 0  # others cannot undo what nice and choom did
    assert seen == {
        "umask": 0o022, "ignored": python_ignores, "blocked": 0, "nice": 0 if may else 5, "oom": 0 if may else seen["oom"],
        "processors": sorted(_all_processors()), "policy": os.SCHED_OTHER, "files": [0, 1, 2], "session": True, "tty": "0",
    }  # fmt: skip
    pids = [control.status(cloud.root)["pid"], cloud.runner_pid()]  # type: ignore[index]  # the service is there
    for pid in pids:
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert not {"7", "50"} & set(os.listdir(f"/proc/{pid}/fd")) or _has_its_own(pid, ("7", "50"))
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert (status["Umask"], int(status["SigBlk"], 16)) == ("0022", 0)
        # in the foreground it keeps what nohup or a shell ignores
        kept = sum(1 << number - 1 for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))
        assert int(status["SigIgn"], 16) & valid & ~(python_ignores | kept) == 0
    for path in (cloud.root, *cloud.root.iterdir()):
        assert path.stat().st_mode & 0o600 == 0o600, path


def _check_environment(found: dict[str, str]) -> None:
    user = pwd.getpwuid(os.getuid())
    own = {
        "PATH": known_state.PATH,
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "LANG": "C.UTF-8",
    }
    assert {name: found.pop(name, None) for name in own} == own
    found.pop("LC_CTYPE", None)  # Python sets it for itself in some locales
    rest = {name for name in found if not name.startswith(("ALI_DIKU_", "BATCH_COMPUTE_", "BATCHCOMPUTE_"))}
    assert rest == {"INSTANCE_COUNT", "PYTHONUNBUFFERED"}


def _check_limits(found: dict[str, list[int]]) -> None:
    for name, (soft, hard) in found.items():
        number = getattr(resource, name)
        assert hard == resource.getrlimit(number)[1], name
        if name != "RLIMIT_MSGQUEUE":  # the mark
            wanted = known_state.LIMITS.get(number, hard)
            assert soft == (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)), name


def _all_processors() -> set[int]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
    try:
        return os.sched_getaffinity(0)
    finally:
        os.sched_setaffinity(0, before)


def _has_its_own(pid: int, numbers: tuple[str, ...]) -> bool:
    """Those are files of its own: the odd caller's are /dev/null."""
    links = [
        os.readlink(f"/proc/{pid}/fd/{number}") for number in numbers if os.path.exists(f"/proc/{pid}/fd/{number}")
    ]
    return "/dev/null" not in links


@pytest.mark.skipif(not shutil.which("setpriv") or os.getuid() != 0, reason="needs to be root to become another user")
def test_a_user_without_an_entry() -> None:
    code = f"import sys; sys.path.insert(0, {str(Path(known_state.__file__).parents[1])!r})\n"
    code += "from batchcompute_local.known_state import environment; print(environment())"
    command = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "/usr/bin/python3", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        pytest.skip(f"another user cannot read the sources: {done.stderr}")
    assert "'HOME': '/', 'USER': '54321', 'LOGNAME': '54321'" in done.stdout
