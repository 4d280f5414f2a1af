"""Record a session with any endpoint, and replay it offline (docs/replay.md).

with replay.use_cassette("cassettes/session.yaml") as plugin, Client("local", plugins=[plugin]) as client:
    client.list_jobs()

It is a plugin around whatever transport the region has; nothing is patched. Secrets never reach the file (see `scrubbing`).
A cassette is one session with one endpoint; for two endpoints use two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from ..errors import ConfigError
from ..installing import advise
from ..messages import did_you_mean

try:
    import vcr as _needed  # noqa: F401  # the format of the cassettes is vcrpy's
except ModuleNotFoundError:
    raise ModuleNotFoundError(f"recorded sessions need vcrpy; {advise('testing')}", name="vcr") from None

from .cassette import Exchange, read_cassette, write_cassette
from .errors import UnrecordedRequestError
from .playing import Player
from .recording import Recorder
from .scrubbing import Scrubber
from .tape import Tape

Mode = Literal["once", "record", "replay"]

__all__ = ["Mode", "Player", "Recorder", "UnrecordedRequestError", "use_cassette"]


@contextmanager
def use_cassette(
    path: str | PathLike[str], mode: Mode = "once", scrub: Iterable[str] = ()
) -> Iterator[Recorder | Player]:
    """A plugin for the Clients of one session: `Client(..., plugins=[plugin])`.

    path: the file; its folder is made. mode: `record` asks the endpoint and writes the file anew when the block ends, `replay`
    never does, `once` records where there is no file yet. scrub: further values that must not reach the file; those that
    Clients send as credentials never do. Recording a block that raises leaves the file as it was.

    In replay no credentials are needed, nothing is sent and nobody waits. A request that was not recorded raises
    UnrecordedRequestError. Raises ConfigError for an unknown mode or a file that is no cassette.
    """
    if mode not in get_args(Mode):
        raise ConfigError(
            f"mode {mode!r} is not one of {', '.join(get_args(Mode))}{did_you_mean(mode, get_args(Mode))}"
        )
    if isinstance(scrub, str):
        raise ConfigError("scrub takes a list of values, not one str")
    file = Path(path)
    scrubber = Scrubber(scrub)
    if mode == "record" or (mode == "once" and not file.exists()):
        recorder = Recorder(scrubber)
        yield recorder
        exchanges = recorder.finish()
        if exchanges:
            write_cassette(file, exchanges)
    else:
        yield Player(lambda: Tape(_recorded(file), scrubber, file), scrubber)


def _recorded(path: Path) -> list[Exchange]:
    try:
        return read_cassette(path)
    except FileNotFoundError:
        raise UnrecordedRequestError(f"there is no cassette {path}: record the session first") from None
