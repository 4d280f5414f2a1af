"""What mypy knows about plugins that use the base class. Checked by test_typing.py, never run.

An `ignore` stands where mypy must find a mistake: one that is not needed is an error too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from batchcompute import Credentials, Region
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    CallResult,
    CredentialProvider,
    Plugin,
    RegistrationContext,
    hookimpl,
    override,
)


class Right(Plugin):
    """Each is as the hook wants it; an answer may be narrower."""

    name = "right"
    enabled_by_default = False

    @override
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("lab", "lab.example")]

    @override
    def register_credential_providers(self, ctx: RegistrationContext) -> Iterable[CredentialProvider]:
        return [self]

    def get(self) -> Credentials:
        return Credentials("id", "secret")

    @override
    @hookimpl(tryfirst=True)
    def sign_request(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        return super().sign_request(ctx)

    @hookimpl
    @override
    def after_call(self, ctx: CallResult) -> None:
        print(ctx.attempts)


class Wrong(Plugin):
    """Each has one mistake."""

    @override
    def resolve_credential(self, ctx: CallContext) -> Credentials | None:  # type: ignore[misc]  # a checker has to refuse it
        return None

    @hookimpl
    @override
    def befor_attempt(self, ctx: AttemptContext) -> None:  # type: ignore[misc]  # a checker has to refuse it
        pass

    @override
    def resolve_endpoint(self, ctx: CallContext) -> str:  # type: ignore[override]  # a checker has to refuse it
        return "http://lab.example"

    def sign_request(self, ctx: CallContext) -> Mapping[str, str]:  # type: ignore[override]  # a checker has to refuse it
        return {}

    def request_headers(self, ctx: AttemptContext, more: int) -> Mapping[str, str]:  # type: ignore[override]  # a checker has to refuse it
        return {}

    async def clock(self, ctx: RegistrationContext) -> None:  # type: ignore[override]  # a checker has to refuse it
        pass
