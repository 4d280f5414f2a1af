"""The default plugins, by name. Each is an ordinary plugin that can be replaced, or blocked by its name."""

from __future__ import annotations

from . import clock, credentials, decoding, endpoints, retry, signing, timestamps, tracing, transport, validation

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
}
