"""Values as texts have them: JSON in which no name stands twice, and scalars that keep their spelling. No I/O."""

from __future__ import annotations

import json
import re
from typing import Any

from ..plain_errors import JsonError

_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|[{}\[\]]', re.DOTALL)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Scalar(str):
    """A scalar whose type the text does not say, as a plain one of YAML. It stays as written until a property reads it."""

    __slots__ = ()

    @property
    def is_null(self) -> bool:
        """True for what stands for no value: `~` and `null`."""
        return self in ("~", "null", "Null", "NULL")

    @property
    def typed(self) -> object:
        """The int, float or bool that this is, else itself, as `010`, `0x10`, `1_000` and `12:30`: readers differ on them."""
        if _INT.fullmatch(self):
            return int(self)
        return float(self) if _FLOAT.fullmatch(self) else _TRUTH.get(self.lower(), self)


class SpelledFloat(float):
    """A float that `str` shows as it was written: `1e3`, `1.10`."""

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> SpelledFloat:
        self = super().__new__(cls, text)
        self._text = text
        return self

    def __str__(self) -> str:
        return self._text

    def __reduce__(self) -> tuple[Any, ...]:
        return SpelledFloat, (self._text,)


class DoubledNameError(ValueError):
    """A name stands twice in one object. The message has it with its path, and both places."""

    def __init__(self, path: list[str], name: str, first: tuple[int, int], second: tuple[int, int]) -> None:
        places = " and ".join(f"line {line} column {column}" for line, column in (first, second))
        super().__init__(f"{'.'.join([*path, name])} is given twice, at {places}; keep one")


class _DoubledError(Exception):
    pass


def parse_json(text: str | bytes) -> Any:
    """Read a JSON text; floats keep their spelling. Raises DoubledNameError, and ValueError for what is not JSON."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        return json.loads(text, object_pairs_hook=_join, parse_float=SpelledFloat)
    except _DoubledError:
        raise _find_doubled(text) from None


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in a text. Raises JsonError."""
    try:
        data = parse_json(text)
    except DoubledNameError as error:
        raise JsonError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not a JSON text: {error}") from None
    if not isinstance(data, dict):
        raise JsonError(f"expected the JSON text of an object, got {type(data).__name__}")
    return data


def _join(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    joined = dict(pairs)
    if len(joined) < len(pairs):
        raise _DoubledError
    return joined


def _find_doubled(text: str) -> DoubledNameError:
    """Return the error for the first doubled name. The text is JSON at least that far."""
    around: list[dict[str, int] | None] = []  # the names of the objects around, with their places; None for a list
    path: list[str] = []  # the name that stands before each of them
    name = ""
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            around.append({} if token[0] == "{" else None)
            path.append(name)
            name = ""
        elif token[0] in "}]":
            around.pop()
            path.pop()
            name = ""
        elif token[2] is not None and around and (names := around[-1]) is not None:
            name = json.loads(token[1], strict=False)
            if name in names:
                places = _place(text, names[name]), _place(text, token.start())
                return DoubledNameError([part for part in path if part], name, *places)
            names[name] = token.start()
    raise AssertionError("no name is doubled")


def _place(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
