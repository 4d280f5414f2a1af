"""The contracts of plugins, as tests: subclass one in a test module, name it Test..., and give it what it checks."""

from __future__ import annotations

from .credentials import CredentialProviderContract
from .signers import SignerContract, signature_is_right
from .transports import TransportContract

__all__ = ["CredentialProviderContract", "SignerContract", "TransportContract", "signature_is_right"]
