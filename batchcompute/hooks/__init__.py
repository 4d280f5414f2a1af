"""The API for plugins: the base class `Plugin`, the mark `hookimpl`, the hooks' contexts and the protocols of their answers."""

from ..config import Section
from ..findings import Finding
from .contexts import (
    AttemptContext,
    CallContext,
    CallResult,
    ClientState,
    Clock,
    DiagnosisContext,
    LogContext,
    RegistrationContext,
    ResponseContext,
    TimestampContext,
    ValidationContext,
)
from .plugin import Plugin, override
from .specs import (
    BucketLister,
    CredentialProvider,
    ObjectHasher,
    ObjectStore,
    RenewableProvider,
    RetryPolicy,
    Transport,
    TransportFactory,
    hookimpl,
)

__all__ = [
    "AttemptContext",
    "BucketLister",
    "CallContext",
    "CallResult",
    "ClientState",
    "Clock",
    "CredentialProvider",
    "DiagnosisContext",
    "Finding",
    "LogContext",
    "ObjectHasher",
    "ObjectStore",
    "Plugin",
    "RegistrationContext",
    "RenewableProvider",
    "ResponseContext",
    "RetryPolicy",
    "Section",
    "TimestampContext",
    "Transport",
    "TransportFactory",
    "ValidationContext",
    "hookimpl",
    "override",
]
