"""`batchcompute version`."""

from __future__ import annotations

from .. import __version__
from . import output
from .session import Session, command


@command("version", examples=["batchcompute version", "batchcompute version --format json"])
def version(session: Session) -> None:
    """Print the version.

    JSON: {version}.
    """
    output.emit_value({"version": __version__}, f"batchcompute {__version__}", session.format)
