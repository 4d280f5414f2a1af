"""The region `gateway`: it takes bearer tokens, and each request is logged. Retry and JSON logs are configuration.

The tokens come from the gateway's own `/token`, for a client id and its secret (OAuth 2.0, RFC 6749 section 4.4).
"""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from batchcompute import BatchComputeError, Credentials, CredentialsError, Region, TransportConfig
from batchcompute.builtins import Urllib3Factory, Urllib3Transport
from batchcompute.hooks import (
    AttemptContext,
    CredentialProvider,
    Plugin,
    RegistrationContext,
    Section,
    TransportFactory,
    override,
)
from batchcompute.wire import Request, Response

NAME = "gateway"
_log = logging.getLogger("bearergateway")


@dataclass(frozen=True)
class GatewaySettings:
    """The table `[gateway]`, or the variables BATCHCOMPUTE_GATEWAY_URL and so on."""

    url: str = field(default="https://gateway.example", metadata={"url": True})
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


class Tokens:
    """The provider `gateway-token`. The SDK keeps a token, and asks for another one before it expires or if it is refused."""

    name = "gateway-token"

    def __init__(self, settings: GatewaySettings, connections: TransportConfig) -> None:
        self._settings = settings
        self._connections = connections

    def get(self) -> Credentials:
        """Return a new token. Raises CredentialsError."""
        settings = self._settings
        if not settings.client_id or not settings.client_secret:
            raise CredentialsError("set gateway.client_id and gateway.client_secret")
        source = f"{settings.url}/token, for {settings.client_id}"
        transport = Urllib3Transport(self._connections)  # with the proxy and the certificates of the configuration
        try:
            answer = transport.send(self._request())
            if answer.status != 200:
                raise CredentialsError(f"{source}: no token, HTTP {answer.status}")
            said = json.loads(answer.body)
            return Credentials(
                settings.client_id,
                str(said["access_token"]),  # it is the secret, so it is never shown
                expires=time.time() + float(said["expires_in"]),
                source=source,
            )
        except (ValueError, KeyError, TypeError):
            raise CredentialsError(f"{source}: the answer is not a token with expires_in") from None
        except BatchComputeError as error:
            raise error if isinstance(error, CredentialsError) else CredentialsError(f"{source}: {error}") from None
        finally:
            transport.close()

    def _request(self) -> Request:
        settings = self._settings
        proof = b64encode(f"{settings.client_id}:{settings.client_secret}".encode()).decode()
        headers = {"authorization": f"Basic {proof}", "content-type": "application/x-www-form-urlencoded"}
        return Request("POST", "/token", headers, b"grant_type=client_credentials", region(settings).endpoint)


class LoggedTransport(Urllib3Transport):
    """The default transport. It logs each request by what is in no header and no body."""

    def send(self, request: Request) -> Response:
        """Send once."""
        started, outcome = time.monotonic(), "no answer"
        try:
            response = super().send(request)
            outcome = f"{response.status} {response.request_id}"
            return response
        finally:
            elapsed = (time.monotonic() - started) * 1000
            _log.info("%s %s: %s, %.0f ms", request.method, request.target, outcome, elapsed)


def region(settings: GatewaySettings) -> Region:
    """Return the region, which may know more than the reference: the Client asks it."""
    url = urlsplit(settings.url)
    return Region(
        NAME,
        url.hostname or "",
        scheme=url.scheme,
        port=url.port,
        transport="gateway-http",
        credential_provider=Tokens.name,
        declared=False,
    )


class Gateway(Plugin):
    """The hooks. What belongs to one Client is made for it: settings, provider, transport."""

    @override
    def register_settings(self, ctx: RegistrationContext) -> Iterable[Section]:
        return [Section(NAME, GatewaySettings)]

    @override
    def register_regions(self, ctx: RegistrationContext) -> Iterable[Region]:
        return [region(ctx.config.sections[NAME])]

    @override
    def register_credential_providers(self, ctx: RegistrationContext) -> Iterable[CredentialProvider]:
        return [Tokens(ctx.config.sections[NAME], ctx.config.transport)]

    @override
    def register_transports(self, ctx: RegistrationContext) -> Iterable[TransportFactory]:
        return [Urllib3Factory("gateway-http", LoggedTransport)]

    @override
    def sign_request(self, ctx: AttemptContext) -> Mapping[str, str] | None:
        if ctx.endpoint.region != NAME or ctx.credentials is None:
            return None
        return {"authorization": f"Bearer {ctx.credentials.access_key_secret}"}


plugin = Gateway()
