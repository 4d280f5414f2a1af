"""`batchcompute config show`: the merged settings, each with its source."""

from __future__ import annotations

import json

import click

from ..configuration import load


def show(style: str) -> None:
    """Print as `text` or `json`. Raises ConfigError and PluginError."""
    ambient = load()
    ambient.hooks()  # plugins declare settings
    settings = ambient.settings()
    if style == "json":
        click.echo(
            json.dumps([{"name": item.name, "value": item.shown, "source": item.source} for item in settings], indent=2)
        )
        return
    lines = [(f"{item.name} = {json.dumps(item.shown, ensure_ascii=False)}", item.source) for item in settings]
    width = min(60, max(len(line) for line, _ in lines))
    for line, source in lines:
        click.echo(f"{line:<{width}}  # {source}")
