"""`batchcompute config show`: print the merged settings, each with its source."""

from __future__ import annotations

import json

from . import output
from .session import Session, command


@command("show", examples=["batchcompute config show", "batchcompute --profile work config show --format json"])
def show(session: Session) -> None:
    """Print every setting with its source: file and line, or variable. Secrets are hidden.

    JSON: a list of {name, value, source}.
    """
    from ..configuration import load

    ambient = load()
    ambient.hooks()  # plugins declare settings
    settings = ambient.settings()
    if session.json:
        output.emit_json([{"name": item.name, "value": item.shown, "source": item.source} for item in settings])
        return
    lines = [(f"{item.name} = {json.dumps(item.shown, ensure_ascii=False)}", item.source) for item in settings]
    width = min(60, max(len(line) for line, _ in lines))
    for line, source in lines:
        output.put(f"{line:<{width}}  # {source}")
