"""The API for plugins: the marker `hookimpl`, the hooks' contexts and the protocols of their answers."""

from ..config import Section
from ..findings import Finding
from .contexts import (
    AttemptContext,
    CallContext,
    CallResult,
    Clock,
    DiagnosisContext,
    LogContext,
    RegistrationContext,
    ResponseContext,
    TimestampContext,
    ValidationContext,
)
from .specs import (
    CredentialProvider,
    ObjectStore,
    RetryPolicy,
    Transport,
    TransportFactory,
    hookimpl,
)

__all__ = [
    "AttemptContext",
    "CallContext",
    "CallResult",
    "Clock",
    "CredentialProvider",
    "DiagnosisContext",
    "Finding",
    "LogContext",
    "ObjectStore",
    "RegistrationContext",
    "ResponseContext",
    "RetryPolicy",
    "Section",
    "TimestampContext",
    "Transport",
    "TransportFactory",
    "ValidationContext",
    "hookimpl",
]
