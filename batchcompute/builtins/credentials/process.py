"""Credentials that a program of the user prints (protocol 4.2, external process)."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from ...credentials import Credentials, found
from ...errors import CredentialsError

TIMEOUT = 60.0
"""Seconds that the program may take."""


def run(command: str, source: str) -> Credentials:
    """Return what `command`, run without a shell, prints as JSON. Raises CredentialsError, which shows none of its output.

    The command line is the user's own: nothing is added to it, and only the program's name appears in errors.
    """
    try:
        arguments = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise CredentialsError(f"{source}: not a command line: {error}") from None
    source = f"{source} {arguments[0]!r}"
    output = _output(arguments, source)
    try:
        answer = json.loads(output)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise CredentialsError(f"{source}: it did not print a JSON object")
    if str(answer.get("mode")).lower() == "ststoken" and not answer.get("sts_token"):
        raise CredentialsError(f"{source}: sts_token is missing, which mode StsToken has")
    parts = {name: answer.get(name) for name in ("access_key_id", "access_key_secret", "sts_token")}
    return found(source, parts, _expires(answer.get("expiration"), source))


def _output(arguments: list[str], source: str) -> bytes:
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own configuration names it
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its children end with it, and cannot keep the pipe open
        )
    except OSError as error:
        raise CredentialsError(f"{source}: it cannot be run: {error.strerror}") from None
    with process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT)
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise CredentialsError(f"{source}: it did not end within {TIMEOUT:g} seconds") from None
            raise
    if process.returncode:
        raise CredentialsError(f"{source}: it failed with exit code {process.returncode}")
    return output


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended meanwhile
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _expires(text: Any, source: str) -> float | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise CredentialsError(f"{source}: expiration is no time such as 2030-01-31T12:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
