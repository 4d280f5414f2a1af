"""The known state of daemon and runner, and so of programs: what a process inherits is set anew, whatever started it.

docs/service-programs.md has the table. Standard library only: the runner imports it.
"""

from __future__ import annotations

import os
import pwd
import resource
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UMASK = 0o022
LIMITS = {resource.RLIMIT_CORE: 0, resource.RLIMIT_STACK: 8 << 20, resource.RLIMIT_NOFILE: 65536}
"""Soft limits. Others are as high as the hard ones; so is each of these where the hard one is lower."""
_ALL_LIMITS = {getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
_ALL_LIMITS.discard(resource.RLIMIT_MSGQUEUE)  # the mark of an attempt: `mark`
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
_OF_A_TERMINAL = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What nohup, or a shell, ignores for a process in the background."""


def environment() -> dict[str, str]:
    """Return the environment of daemon and runner; nothing in it is the caller's."""
    try:
        user = pwd.getpwuid(os.getuid())
        name, home = user.pw_name, user.pw_dir
    except KeyError:  # a container may run as a user without an entry
        name, home = str(os.getuid()), "/"
    return {"PATH": PATH, "HOME": home, "USER": name, "LOGNAME": name, "LANG": "C.UTF-8"}


def enter(keep: Collection[int] = (), foreground: bool = False) -> None:
    """Put this process into the known state. Call it first, while it has one thread and no open files of its own.

    keep: open descriptors that stay, besides 0, 1 and 2. foreground: ignored signals of a terminal stay ignored.
    """
    os.environ.clear()
    os.environ.update(environment())
    time.tzset()
    os.umask(UMASK)
    os.chdir("/")
    _close_files(keep)
    _reset_signals(foreground)
    _reset_limits()
    _reset_scheduling()


def _close_files(keep: Collection[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number not in keep:
            with suppress(OSError):  # that of the list itself
                os.close(number)


def _reset_signals(foreground: bool) -> None:
    kept = (*_PYTHON_IGNORES, *(_OF_A_TERMINAL if foreground else ()))
    for number in signal.valid_signals():
        if number not in kept and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _reset_limits() -> None:
    for number in _ALL_LIMITS:
        hard = resource.getrlimit(number)[1]
        soft = LIMITS.get(number, hard)
        if hard != resource.RLIM_INFINITY:
            soft = min(soft, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(number, (soft, hard))


def _reset_scheduling() -> None:
    """Undo what nice, chrt, taskset and choom set, as far as this user may."""
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError):
        os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0")
