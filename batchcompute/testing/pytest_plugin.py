"""The pytest plugin of batchcompute: recorded sessions for tests (docs/replay.md).

pytest imports this in every run wherever batchcompute is installed, so it imports nothing else of the package until a test asks
for the marker or the fixture.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .replay import Player, Recorder

MARKER = "batchcompute_cassette"
_failed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("batchcompute")
    group.addoption(
        "--batchcompute-record",
        nargs="?",
        const="record",
        default="replay",
        choices=("record", "once", "replay"),
        help="record the sessions of marked tests anew; =once: only those that have no cassette. Default: replay.",
    )
    parser.addini(
        "batchcompute_cassettes", "folder of the cassettes, from the root of the project", default="cassettes"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(path=None, scrub=()): replay every batchcompute.Client of the test from a cassette; `scrub` are values "
        "that must not reach the file.",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker(MARKER) is not None:
            item.fixturenames.insert(0, MARKER)  # the fixture has the marker's name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture
def batchcompute_cassette(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorder | Player]:
    """The plugin that records or replays the test's session: `Client(..., plugins=[batchcompute_cassette])`.

    In a test with the marker every Client has it already.
    """
    from ..hooks import loading
    from .replay import use_cassette

    marker = request.node.get_closest_marker(MARKER)
    path, scrub = _arguments(*marker.args, **marker.kwargs) if marker else (None, ())
    folder = request.config.rootpath / request.config.getini("batchcompute_cassettes")
    mode = request.config.getoption("--batchcompute-record")
    file = folder / (path or cassette_name(request.node))
    if not file.resolve().is_relative_to(folder.resolve()):
        raise pytest.UsageError(f"the cassette {path!r} is outside of {folder}")
    with suppress(_TestFailedError), use_cassette(file, mode, scrub) as plugin:
        if marker:
            found = (*loading.installed_plugins(), ("batchcompute:cassette", _EntryPoint(copy.copy(plugin))))
            monkeypatch.setattr(loading, "installed_plugins", lambda: found)
        yield plugin
        unrecorded = getattr(plugin, "unrecorded", ())
        if unrecorded and not request.node.stash.get(_failed, False):
            # the program under test may have caught it, as it catches any error of the SDK
            pytest.fail(f"the test passed, but asked what was never recorded: {unrecorded[0]}", pytrace=False)
        if request.node.stash.get(_failed, False):
            raise _TestFailedError  # half a session is none: the cassette stays as it was


def cassette_name(item: pytest.Item) -> str:
    """`<test_module>/<test>.yaml`; characters that file names cannot have are replaced, and a digest makes names unique."""
    cls = getattr(item, "cls", None)
    name = f"{cls.__name__}.{item.name}" if cls is not None else item.name
    plain = re.sub(r"[^\w.,=\[\]-]", "-", name)[:150]
    if plain != name:
        plain += f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"{item.path.stem}/{plain}.yaml"


def _arguments(path: str | None = None, scrub: Iterable[str] = ()) -> tuple[str | None, Iterable[str]]:
    return path, scrub


class _TestFailedError(Exception):
    pass


class _EntryPoint:
    def __init__(self, plugin: object) -> None:
        self._plugin = plugin

    def load(self) -> object:
        return self._plugin
