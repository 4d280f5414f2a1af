"""Where credentials come from: the Client's arguments, and the providers that `chain.Chain` puts in order."""

from __future__ import annotations

from collections.abc import Iterable

from ...credentials import Credentials
from ...hooks import CallContext, CredentialProvider, RegistrationContext, hookimpl


@hookimpl(trylast=True)
def resolve_credentials(ctx: CallContext) -> Credentials | None:
    """Return the Client's own credentials; declines when it was given none."""
    return ctx.credentials


@hookimpl(trylast=True)
def register_credential_providers(ctx: RegistrationContext) -> Iterable[CredentialProvider]:
    """`environment`, `profile`, `alibabacloud-file` and `aliyun-cli`."""
    from .alibabacloud_file import AlibabaCloudFile
    from .aliyun_cli import AliyunCli
    from .environment import Environment, Profile

    return (Environment(), Profile(ctx.config), AlibabaCloudFile(), AliyunCli())
