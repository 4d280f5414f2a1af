"""How to install a part that is missing, from where this installation came from.

The index gives the name `batchcompute` to another project, the original SDK. So a command names a folder, a file or a
repository for our own distributions, and there is none if that is not known.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME = "batchcompute"
EXTRAS = {
    "local": ("batchcompute-local",),
    "alibabacloud": ("batchcompute-alibabacloud",),
    "oss": ("batchcompute-oss",),
    "dask": ("batchcompute-dask",),
    "jobqueue": ("dask-jobqueue>=0.9",),
    "buckets": ("fsspec>=2024.6", "s3fs>=2024.6"),
    "testing": ("pytest>=8.2", "vcrpy>=7"),
    "yaml": ("pyyaml>=6",),
}
"""What each extra of pyproject.toml brings; for our own distributions only the name."""


def advise(extra: str) -> str:
    """Say how to install what an extra brings: `install it with: COMMAND`, or what to install if no command is certain."""
    ours = [name for name in EXTRAS[extra] if name.startswith(f"{_NAME}-")]
    if not ours:
        return _with_pip(*EXTRAS[extra])
    name = ours[0]
    version, origin = _find_origin()
    source = _source(name, version, origin)
    if source:
        return _with_pip(source)
    where = f" ({origin['url']})" if origin.get("url") else ""
    return f"install the distribution {name} {version}".rstrip() + f" from where {_NAME} came from{where}"


def _with_pip(*what: str) -> str:
    import shlex  # for an error only

    return f"install it with: {shlex.join([sys.executable, '-m', 'pip', 'install', *what])}"


def _find_origin() -> tuple[str, dict[str, Any]]:
    """Return the version of this distribution, and its direct_url.json (PEP 610); "" and {} if there is none."""
    from importlib import metadata  # only when something is missing: it costs a start-up

    try:
        found = metadata.distribution(_NAME)
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError, OSError):
        return "", {}
    return found.version, origin if isinstance(origin, dict) else {}


def _source(name: str, version: str, origin: dict[str, Any]) -> str:
    """Return what pip is to install for a distribution of ours; "" if it is not certain."""
    url = str(origin.get("url", ""))
    plugin = f"plugins/{name}"
    vcs = origin.get("vcs_info")
    if isinstance(vcs, dict):
        return f"{name} @ {vcs.get('vcs')}+{url}@{vcs.get('commit_id')}#subdirectory={plugin}"
    parts = urlsplit(url)
    if parts.scheme != "file":
        return ""
    path = Path(unquote(parts.path))
    if "dir_info" in origin:
        return str(path / plugin) if (path / plugin / "pyproject.toml").is_file() else ""
    found = sorted(path.parent.glob(f"{name.replace('-', '_')}-{version}-*.whl"))
    return str(found[-1]) if found else ""
