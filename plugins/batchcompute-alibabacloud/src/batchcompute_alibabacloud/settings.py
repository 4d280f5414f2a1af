"""The table `[alibabacloud]` of the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchcompute.schema import Checked

NAME = "alibabacloud"
TYPES = ("access_key", "sts", "ecs_ram_role", "ram_role_arn", "oidc_role_arn", "rsa_key_pair", "credentials_uri")


@dataclass(frozen=True, slots=True)
class Settings(Checked):
    """The table `[alibabacloud]`. Without a `type` the environment and the files are searched (see `sources`).

    The other keys are those of the type, as the library names them. `access_key`, `sts` and `ram_role_arn` begin with the
    access key of the profile. `role_session_expiration` is seconds, at least 900.
    """

    type: str | None = field(default=None, metadata={"choices": TYPES})
    role_name: str | None = None
    disable_imds_v1: bool | None = None
    role_arn: str | None = None
    role_session_name: str | None = None
    role_session_expiration: int | None = field(default=None, metadata={"min": 900})
    policy: str | None = None
    external_id: str | None = field(default=None, repr=False)
    oidc_provider_arn: str | None = None
    oidc_token_file_path: str | None = None
    public_key_id: str | None = None
    private_key_file: str | None = None
    credentials_uri: str | None = field(default=None, repr=False)
    sts_endpoint: str | None = None
