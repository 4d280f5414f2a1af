"""Finds the recorded answer of a request, at a cost that does not grow with the cassette.

A request is known by its method, its target and its body. In bodies the order of keys does not count, nor does what is
hidden by place; strings that were scrubbed by value when they were recorded are left out of the comparison as well, so that
nobody has to know a secret to replay a session.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from ..messages import nearest
from .cassette import Answer, Exchange
from .errors import UnrecordedRequestError
from .scrubbing import PLACEHOLDER, Scrubber, is_hidden, parsed

Place = tuple[str | int, ...]
_SAFE = ("GET", "HEAD")


class _Answers:
    """What one request was answered with, in order. The last answer to a reading request stays."""

    __slots__ = ("_answers", "_next", "_stays", "example")

    def __init__(self, exchange: Exchange) -> None:
        self.example = exchange
        self._answers: list[Answer] = []
        self._next = 0
        self._stays = exchange.method in _SAFE

    def add(self, answer: Answer) -> None:
        self._answers.append(answer)

    @property
    def count(self) -> int:
        return len(self._answers)

    def take(self) -> tuple[Answer, bool] | None:
        """Return the next answer, and whether it is a new one; None when a request that changes something has used up its own."""
        new = self._next < len(self._answers)
        if not new and not self._stays:
            return None
        answer = self._answers[min(self._next, len(self._answers) - 1)]
        self._next += 1
        return answer, new


class Tape:
    """Recorded answers of a session. Thread-safe."""

    def __init__(self, exchanges: Iterable[Exchange], scrubber: Scrubber, path: Path) -> None:
        self._path = path
        self._scrubber = scrubber
        self._lock = threading.Lock()
        # method and target -> places left out of the comparison -> what is left of the body -> answers
        self._routes: dict[tuple[str, str], dict[frozenset[Place], dict[Hashable, _Answers]]] = {}
        self._scrubbed_targets: dict[tuple[str, str], re.Pattern[str]] = {}
        for exchange in exchanges:
            body = parsed(exchange.body)
            left_out = frozenset(_scrubbed(body))
            if PLACEHOLDER.search(exchange.target):
                known = ".+?".join(map(re.escape, PLACEHOLDER.split(exchange.target)))
                self._scrubbed_targets[exchange.method, exchange.target] = re.compile(known)
            route = self._routes.setdefault((exchange.method, exchange.target), {}).setdefault(left_out, {})
            key = _comparable(body, left_out)
            if key not in route:
                route[key] = _Answers(exchange)
            route[key].add(exchange.answer)

    def play(self, method: str, target: str, body: bytes = b"") -> tuple[Answer, bool]:
        """Return the next recorded answer, and whether it was not played before. Raises UnrecordedRequestError."""
        target = self._scrubber.target(target)
        route = self._routes.get((method, target)) or self._routes.get(self._like(method, target), {})
        data = self._known_hidden(parsed(body)) if route else None
        used_up = 0
        for left_out, found in route.items():
            answers = found.get(_comparable(data, left_out))
            if answers is not None:
                with self._lock:
                    taken = answers.take()
                if taken is not None:
                    return taken
                used_up += answers.count
        if used_up:
            times = "once" if used_up == 1 else f"{used_up} times"
            raise self._unrecorded(method, target, f"was recorded {times}, and is asked for once more", "")
        raise self._unlike(method, target, data, route)

    def _like(self, method: str, target: str) -> tuple[str, str]:
        """Return the recorded request whose target is this one but for what was scrubbed."""
        for route, pattern in self._scrubbed_targets.items():
            if route[0] == method and pattern.fullmatch(target):
                return route
        return method, target

    def _known_hidden(self, data: Any) -> Any:
        if isinstance(data, bytes):
            return self._scrubber.text(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return data

    def _unlike(
        self, method: str, target: str, data: Any, route: dict[frozenset[Place], Any]
    ) -> UnrecordedRequestError:
        """Return the error that names the nearest recorded request, and for the same target where the body differs."""
        for left_out, found in route.items():
            for answers in found.values():
                place = _difference(parsed(answers.example.body), data, left_out)
                where = f"at {'.'.join(map(str, place))}" if place else "as a whole"
                why = f"was recorded with another body; it differs {where}"
                return self._unrecorded(method, target, why, f"{method} {target}")
        wanted = f"{method} {target}"
        if not self._routes:
            return self._unrecorded(method, target, "was not recorded; the session has no requests at all", "")
        names = [" ".join(route) for route in self._routes]
        same = [name for name in names if name.startswith(f"{method} ")]
        best = nearest(wanted, same) or nearest(wanted, names) or (same or names)[0]
        return self._unrecorded(method, target, f"was not recorded; the nearest that was is {best}", best)

    def _unrecorded(self, method: str, target: str, why: str, best: str) -> UnrecordedRequestError:
        text = f"{method} {target} {why} [{self._path}; record the session again if the program has changed]"
        return UnrecordedRequestError(text, method, target, best)


def _scrubbed(value: Any, place: Place = ()) -> Iterable[Place]:
    """Return the places of a body where something was scrubbed by value."""
    if isinstance(value, dict):
        if any(PLACEHOLDER.search(key) for key in value):
            yield place
            return
        for key, item in value.items():
            if key != "EnvironmentVariables" and not is_hidden(key):
                yield from _scrubbed(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _scrubbed(item, (*place, number))
    elif isinstance(value, (str, int)) and PLACEHOLDER.search(str(value)):
        yield place


def _comparable(body: Any, left_out: frozenset[Place]) -> Hashable:
    """Return what of a body counts, as a key."""
    if isinstance(body, bytes):
        return body
    return json.dumps(_compared(body, left_out, ()), sort_keys=True, separators=(",", ":"))


def _compared(value: Any, left_out: frozenset[Place], place: Place, name: str = "") -> Any:
    if place in left_out:
        return None
    if name == "EnvironmentVariables" and isinstance(value, dict):
        return sorted(value)
    if isinstance(value, dict):
        return {
            key: None if is_hidden(key) else _compared(item, left_out, (*place, key), key)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_compared(item, left_out, (*place, number)) for number, item in enumerate(value)]
    return value


def _difference(recorded: Any, asked: Any, left_out: frozenset[Place]) -> Place:
    """Return the first place where two bodies differ."""
    place: Place = ()
    one, other = recorded, asked
    if not isinstance(recorded, bytes) and not isinstance(asked, bytes):
        one, other = _compared(recorded, left_out, ()), _compared(asked, left_out, ())
    while isinstance(one, dict) and isinstance(other, dict):
        differing = [key for key in {**one, **other} if one.get(key, place) != other.get(key, place)]
        if not differing:
            break
        place = (*place, differing[0])
        one, other = one.get(differing[0]), other.get(differing[0])
    return place
