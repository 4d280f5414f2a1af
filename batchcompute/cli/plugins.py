"""`batchcompute plugin list`: the plugins in use, and those left out."""

from __future__ import annotations

import warnings
from dataclasses import replace

from . import output
from .session import Session, command


@command("list", examples=["batchcompute plugin list", "batchcompute plugin list --format json"])
def show(session: Session) -> None:
    """List the plugins with distribution, version and hooks, in the order of their hook calls. Then the skipped ones, with
    reasons.

    JSON: {plugins: [{name, distribution, version, hooks}], skipped: [{name, distribution, version, why}]}.
    """
    from .. import __version__
    from ..builtins import BUILTINS
    from ..configuration import load
    from ..hooks import loading
    from ..hooks.manager import Hooks

    config = load().config
    config = replace(config, plugins=replace(config.plugins, strict=False))  # list broken plugins too
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hooks = Hooks(config, BUILTINS)
    origins = dict.fromkeys(BUILTINS, ("batchcompute", __version__))
    for name, point in loading.installed_plugins():
        origins[name] = (point.dist.name, point.dist.version) if point.dist else ("", "")
    used = [{"name": name, **_origin(origins, name), "hooks": names} for name, names in hooks.plugins()]
    skipped = [{"name": name, **_origin(origins, name), "why": why} for name, why in hooks.skipped.items()]
    for warning in caught:
        text = str(warning.message)
        if not any(name in text for name in hooks.skipped):  # listed below
            output.say(f"Warning: {text}")
    if session.json:
        output.emit_json({"plugins": used, "skipped": skipped})
        return
    for item in used:
        output.put(f"{item['name']}  ({item['distribution']} {item['version']})")
        output.put(f"    {', '.join(item['hooks'])}")
    if skipped:
        output.put("skipped:")
    for left_out in skipped:
        output.put(f"    {left_out['name']}  ({left_out['distribution']} {left_out['version']}): {left_out['why']}")


def _origin(origins: dict[str, tuple[str, str]], name: str) -> dict[str, str]:
    distribution, version = origins.get(name, ("", ""))
    return {"distribution": distribution, "version": version}
