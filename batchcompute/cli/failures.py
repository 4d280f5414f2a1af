"""Errors of commands: one sentence on stderr, and an exit code.

0    done; with --wait and `job wait`: the job Finished
1    any other error, such as a file that cannot be read, or "no" as the answer to a question
2    usage: the command line, a description or a setting is wrong; nothing was sent
3    the job Failed
4    the job was Stopped
5    timeout: the job has not ended in time; it continues
6    connection: no answer arrived
7    the service answered with an error
130  interrupted by ctrl-C
141  the reader of the output has ended (as in `| head`)
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from .cures import find_cure
from .output import plain, say

ERROR, USAGE, FAILED, STOPPED, TIMEOUT, CONNECTION, SERVICE, INTERRUPTED, PIPE = 1, 2, 3, 4, 5, 6, 7, 130, 141

_HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""The error for a noun without a verb; click before 8.2 shows the help instead."""


class Refused(click.ClickException):
    """The command line or the input is wrong; nothing was changed."""

    exit_code = USAGE


def guarded(cli: click.Command, args: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    for stream in (sys.stdout, sys.stderr):  # a locale without our characters must not cause an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")
    session: Any = None
    stdout = sys.stdout
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(f"Warning: {message}")
        try:
            from .session import Session

            session = Session()
            code = cli.main(args, prog_name="batchcompute", standalone_mode=False, obj=session)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except BrokenPipeError:
            return _pipe()
        except SystemExit:
            if sys.stdout is not stdout:  # click replaces stdout on a broken pipe, before it exits with 1
                return _pipe()
            raise
        except (Exception, KeyboardInterrupt) as error:
            try:
                return report(error, session)
            except BrokenPipeError:
                return _pipe()


def report(error: BaseException, session: Any, about: str = "") -> int:
    """Print the error, and return the exit code. about: the beginning of the sentence."""
    if session is not None and session.verbose and not isinstance(error, (click.ClickException, click.Abort)):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    code = code_of(error)
    if code == INTERRUPTED or isinstance(error, click.Abort):
        say("Interrupted." if code == INTERRUPTED else "Nothing was done.")
        return code
    if isinstance(error, _HELP):
        say(error.format_message())
        return code
    parts = details(error)
    if session is not None and session.json:
        say(json.dumps({**parts, "exit_code": code}))
        return code
    text = f"Error: {about}{parts['error']}"
    if parts["cure"]:
        text += ("\n" if "\n" in text else "; ") + parts["cure"]
    say("\n".join(map(plain, text.splitlines())))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        say(f"Try '{error.ctx.command_path} --help'.")
    return code


def details(error: BaseException) -> dict[str, Any]:
    """Return {error, kind, cure, fields, request_id}, empty if absent; with exit_code it is the error's form in JSON."""
    from ..errors import BatchComputeError, ValidationError

    kind = type(error).__name__
    problems = error.problems if isinstance(error, ValidationError) else ()
    parts = {
        "error": str(error),
        "kind": kind,
        "cure": find_cure(error),
        "fields": [problem.path for problem in problems],
        "request_id": getattr(error, "request_id", ""),
    }
    if isinstance(error, click.ClickException):
        parts["error"] = error.format_message()
    elif isinstance(error, OSError) and not isinstance(error, BatchComputeError):
        where = f"{error.filename}: " if error.filename else ""
        parts["error"] = f"{where}{error.strerror or error}"
    elif not isinstance(error, (BatchComputeError, ValueError, LookupError)):
        parts["error"] = f"unexpected {kind}: {error}"
        parts["cure"] = "--verbose shows where"
    elif isinstance(error, KeyError) and not isinstance(error, BatchComputeError):
        parts["error"] = str(error.args[0]) if error.args else kind
    return parts


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    from .. import errors

    codes: tuple[tuple[type[BaseException], int], ...] = (
        (errors.JobFailedError, FAILED),
        (errors.JobStoppedError, STOPPED),
        (errors.WaitTimeoutError, TIMEOUT),
        (errors.TransportError, CONNECTION),
        (errors.DecodeError, SERVICE),
        (errors.ClientError, SERVICE),
        (errors.BatchComputeError, USAGE),
        (KeyboardInterrupt, INTERRUPTED),
    )
    if isinstance(error, click.Abort):
        interrupted = isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        return INTERRUPTED if interrupted else ERROR
    if isinstance(error, click.ClickException):
        return error.exit_code
    return next((code for kind, code in codes if isinstance(error, kind)), ERROR)


def _pipe() -> int:
    """Send stdout to /dev/null, so that Python's last flush does not fail after a broken pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return PIPE
