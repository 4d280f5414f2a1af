"""XML of requests and answers. A document with a DTD is refused: entities could make it grow without limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from batchcompute_local.oss.errors import OssError

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_SUBSTITUTE = "\ufffd"
_DEEPEST = 10


@dataclass
class Node:
    """An element: its name without namespace, its children and its text."""

    name: str
    children: list[Node] = field(default_factory=list)
    text: str = ""

    def find(self, name: str) -> Node | None:
        """Return the first child of this name; None if absent."""
        return next(self.all(name), None)

    def all(self, name: str) -> Iterator[Node]:
        """Yield the children of this name."""
        return (child for child in self.children if child.name == name)

    def value(self, name: str) -> str:
        """Return the text of the first child of this name. Raises OssError if absent."""
        found = self.find(name)
        if found is None:
            raise malformed(f"<{self.name}> has no <{name}>")
        return found.text


def parse(body: bytes, root: str) -> Node:
    """Parse a document whose root has the name `root`. Raises OssError MalformedXML."""
    top = Node("")
    stack = [top]

    def start(name: str, _: object) -> None:
        if len(stack) > _DEEPEST:
            raise malformed(f"it is more than {_DEEPEST} elements deep")
        node = Node(name.rpartition("}")[2])
        stack[-1].children.append(node)
        stack.append(node)

    def end(_: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        stack[-1].text += data

    def refuse(*_: object) -> None:
        raise malformed("a DTD is not allowed")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise malformed(f"line {error.lineno}: {expat.ErrorString(error.code)}") from None
    except (ValueError, LookupError) as error:  # its encoding
        raise malformed(str(error)) from None
    found = top.find(root)
    if found is None:
        raise malformed(f"its root is not <{root}>")
    return found


def malformed(why: str) -> OssError:
    """Make a MalformedXML."""
    return OssError("MalformedXML", f"The XML of the request cannot be used: {why}.")


def is_legal(text: str) -> bool:
    """Return whether XML can hold the text."""
    return _ILLEGAL.search(text) is None


def element(name: str, content: str | int | bool | Iterable[str]) -> str:
    """Return an element with a text, a number, or the elements `content`."""
    if isinstance(content, bool):
        content = str(content).lower()
    inner = escape(_ILLEGAL.sub(_SUBSTITUTE, str(content))) if isinstance(content, (str, int)) else "".join(content)
    return f"<{name}>{inner}</{name}>"


def document(name: str, content: str | Iterable[str]) -> bytes:
    """Return a whole document."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{element(name, content)}'.encode()
