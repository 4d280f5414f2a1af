"""For tests of programs and plugins that use batchcompute. Nothing here is imported by the SDK itself.

    replay                    record a session with any endpoint, replay it offline (needs the extra `testing`)
    StubTransport             answers that a test prepares, and the requests that were sent
    TransportContract, CredentialProviderContract, SignerContract
                              what a plugin must keep to; a plugin's author makes a subclass (needs pytest)

A pytest plugin comes with the package: the marker and the fixture `batchcompute_cassette`, the option `--batchcompute-record`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contracts import CredentialProviderContract, SignerContract, TransportContract
    from .errors import UnrecordedRequestError
    from .stub import StubTransport

__all__ = [
    "CredentialProviderContract",
    "SignerContract",
    "StubTransport",
    "TransportContract",
    "UnrecordedRequestError",
]

_WHERE = {
    "CredentialProviderContract": "contracts",
    "SignerContract": "contracts",
    "StubTransport": "stub",
    "TransportContract": "contracts",
    "UnrecordedRequestError": "errors",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is wanted: pytest and vcrpy are not installed everywhere."""
    if name == "replay":
        return import_module(".replay", __name__)
    if name in _WHERE:
        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
