"""The default plugins, by name, and the parts of them that other plugins may wrap (docs/hooks.md, "The built-in parts").

Each plugin is an ordinary one that can be replaced, or blocked by its name. The parts are plain functions and classes: a
module that imports them does not become a plugin by that.
"""

from __future__ import annotations

from . import clock, credentials, decoding, endpoints, logs, retry, signing, timestamps, tracing, transport, validation
from .decoding import default_object
from .retry import default_retry_policy
from .signing import default_signature
from .transport import Urllib3Factory, Urllib3Transport

__all__ = [
    "BUILTINS",
    "Urllib3Factory",
    "Urllib3Transport",
    "default_object",
    "default_retry_policy",
    "default_signature",
]

BUILTINS: dict[str, object] = {
    "endpoints": endpoints,
    "credentials": credentials,
    "signing": signing,
    "retry": retry,
    "tracing": tracing,
    "transport": transport,
    "decoding": decoding,
    "timestamps": timestamps,
    "validation": validation,
    "clock": clock,
    "logs": logs,
}
