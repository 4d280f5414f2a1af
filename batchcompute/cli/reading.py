"""Read a job description from JSON, TOML or YAML, and change single properties of it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .failures import Refused

if TYPE_CHECKING:
    from ..values.resources import JobDescription

_FORMATS = {".json": "JSON", ".toml": "TOML", ".yaml": "YAML", ".yml": "YAML"}
_DAG = ("TaskDag", "TaskDescMap")
EVERY = "*"
SURROUNDINGS = "Surroundings"
"""The key of `job describe --format json` that is not of the description."""


def read_description(name: str) -> JobDescription:
    """Read the description in a file, - for the standard input. The format follows from the suffix, else from the content.

    Names that do not exist are left for the check of the description. Raises Refused with the place of the mistake, OSError.
    """
    from ..errors import JsonError, UnknownPropertyWarning
    from ..values.resources import JobDescription
    from ..values.texts import DoubledNameError

    data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    where = "the standard input" if name == "-" else name
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(f"{where} is not UTF-8: byte {error.start}") from None
    kind = _FORMATS.get(Path(name).suffix.lower()) or _guess(text)
    try:
        found = _parse(text, kind, where)
    except DoubledNameError as error:
        raise Refused(f"{where}: {error}") from None
    if not isinstance(found, dict):
        kind = "str" if isinstance(found, str) else type(found).__name__
        raise Refused(f"{where} is not a description: expected properties such as JobName, got a {kind}")
    found.pop(SURROUNDINGS, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnknownPropertyWarning)
            return JobDescription(found)
    except (TypeError, JsonError) as error:
        raise Refused(f"{where}: {error}") from None


def _guess(text: str) -> str:
    """Guess the format: JSON begins with a brace; TOML has `=` or a table in its first line with content, YAML a colon."""
    first = next((line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")), "")
    if first.startswith("{") or not first:
        return "JSON"
    return "TOML" if first.startswith("[") or "=" in first.partition(":")[0] else "YAML"


def _parse(text: str, kind: str, where: str) -> Any:
    from ..values.texts import DoubledNameError, SpelledFloat, parse_json

    if kind == "JSON":
        try:
            return parse_json(text)
        except json.JSONDecodeError as error:
            raise Refused(f"{where} is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
        except RecursionError:
            raise Refused(f"{where} is not a description: it is nested too deeply") from None
    if kind == "TOML":
        import tomllib

        try:
            return tomllib.loads(text, parse_float=SpelledFloat)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise Refused(f"{where} is not TOML: {error}") from None
    from .yaml_text import parse_yaml

    try:
        return parse_yaml(text)
    except ImportError:
        from ..installing import advise

        raise Refused(f"{where}: YAML needs PyYAML, JSON and TOML need nothing; {advise('yaml')}") from None
    except DoubledNameError:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused(f"{where} is not YAML: {error}") from None


def change(description: JobDescription, assignments: Iterable[str]) -> None:
    """Set properties: `Priority=5`, `Find.InstanceCount=8`, `*.ImageId=img-1` (of every task), or by the whole path.

    A value is text, or JSON if the property takes no text. Raises Refused.
    """
    for assignment in assignments:
        path, equals, value = assignment.partition("=")
        if not equals or not path.strip():
            raise Refused(f"--set {assignment!r} is not NAME=VALUE, such as Priority=5 or Find.InstanceCount=8")
        for target, names in _targets(description, path.strip()):
            _assign(target, names, value, path.strip())


def _targets(description: JobDescription, path: str) -> list[tuple[Any, list[str]]]:
    """Return the objects that a path begins at, each with the other names of the path."""
    names = path.split(".")
    if tuple(names[:2]) == _DAG:
        path, names = ".".join(names[2:]), names[2:]
    tasks: Mapping[str, Any] = description.TaskDag.TaskDescMap
    if names[0] == EVERY and len(names) > 1:
        return [(task, names[1:]) for task in tasks.values()]
    for task in sorted(tasks, key=len, reverse=True):  # task names may have dots
        if path.startswith(f"{task}."):
            return [(tasks[task], path.removeprefix(f"{task}.").split("."))]
    if len(names) > 1 and names[0] not in type(description).__dict__:
        from ..messages import did_you_mean

        tasks_there = list(tasks)
        raise Refused(
            f"--set {path}: there is no task {names[0]!r}{did_you_mean(names[0], tasks_there)}; tasks: {', '.join(tasks_there)}"
        )
    return [(description, names)]


def _assign(target: Any, names: list[str], value: str, path: str) -> None:
    from ..errors import UnknownPropertyWarning
    from ..values.texts import parse_json

    try:
        for name in names[:-1]:
            target = target[name]
        with warnings.catch_warnings():
            warnings.simplefilter("error", UnknownPropertyWarning)
            try:
                target[names[-1]] = value
            except TypeError:
                try:
                    typed = parse_json(value)
                except json.JSONDecodeError:
                    typed = value  # keep the first error
                target[names[-1]] = typed
    except (TypeError, ValueError, KeyError, UnknownPropertyWarning) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise Refused(f"--set {path}: {text}".replace(", it was dropped", "")) from None
