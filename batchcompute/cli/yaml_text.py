"""Read YAML so that nothing is turned into something else: plain scalars stay as written, and no key stands twice."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..values.texts import DoubledNameError, Scalar


def parse_yaml(text: str) -> Any:
    """Read a YAML text. Its plain scalars are Scalars, whose type the property decides.

    Raises ImportError without PyYAML; DoubledNameError, and ValueError for what is not YAML, with the place; RecursionError.
    """
    yaml: Any = import_module("yaml")
    loader = _loader_class(yaml)(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_doubled(yaml, root)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ValueError(f"{getattr(error, 'problem', None) or error}{place}") from None
    finally:
        loader.dispose()


def _loader_class(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library is optional
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if isinstance(node, yaml.ScalarNode) and node.style is None and node.tag in _PLAIN:
                return Scalar(node.value)
            return super().construct_object(node, deep=deep)

    return Loader


_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "timestamp", "str", "value")}


def _refuse_doubled(yaml: Any, root: Any) -> None:
    """Raises DoubledNameError for a mapping that has a key twice. Before merge keys are resolved: they may be overridden."""
    todo: list[tuple[Any, list[str]]] = [(root, [])]
    seen = set()
    while todo:
        node, path = todo.pop()
        if id(node) in seen:  # by another alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, path) for item in reversed(node.value)]
        elif isinstance(node, yaml.MappingNode):
            keys: dict[str, Any] = {}
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode):
                    first = keys.setdefault(key.value, key)
                    if first is not key:
                        raise DoubledNameError(path, key.value, _place(first), _place(key))
            todo += [
                (item, [*path, key.value] if isinstance(key, yaml.ScalarNode) else path)
                for key, item in reversed(node.value)
            ]


def _place(node: Any) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
