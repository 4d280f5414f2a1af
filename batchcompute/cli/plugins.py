"""`batchcompute plugin list`: what extends the SDK, and what was left out."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import click

from .. import __version__
from ..builtins import BUILTINS
from ..configuration import load
from ..hooks import loading
from ..hooks.manager import Hooks


def show(style: str) -> None:
    """Print as `text` or `json`. A broken plugin is listed, also where `plugins.strict` makes it an error."""
    config = load().config
    config = replace(config, plugins=replace(config.plugins, strict=False))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        hooks = Hooks(config, BUILTINS)
    origins = dict.fromkeys(BUILTINS, ("batchcompute", __version__))
    for name, point in loading.installed_plugins():
        origins[name] = (point.dist.name, point.dist.version) if point.dist else ("", "")
    used = [{"name": name, **_origin(origins, name), "hooks": names} for name, names in hooks.plugins()]
    skipped = [{"name": name, **_origin(origins, name), "why": why} for name, why in hooks.skipped.items()]
    for warning in told:
        text = str(warning.message)
        if not any(name in text for name in hooks.skipped):  # those are listed
            click.echo(f"Warning: {text}", err=True)
    if style == "json":
        click.echo(json.dumps({"plugins": used, "skipped": skipped}, indent=2))
        return
    for item in used:
        click.echo(f"{item['name']}  ({item['distribution']} {item['version']})")
        click.echo(f"    {', '.join(item['hooks'])}")
    if skipped:
        click.echo("skipped:")
    for left_out in skipped:
        click.echo(f"    {left_out['name']}  ({left_out['distribution']} {left_out['version']}): {left_out['why']}")


def _origin(origins: dict[str, tuple[str, str]], name: str) -> dict[str, str]:
    distribution, version = origins.get(name, ("", ""))
    return {"distribution": distribution, "version": version}
