"""Who is asked for credentials, in which order, and what is said when nobody has any."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from batchcompute import Client, Config, ConfigError, Credentials, CredentialsConfig, CredentialsError, PluginConfig
from batchcompute.builtins.signing import signature, string_to_sign
from batchcompute.credentials import explicit, found
from batchcompute.errors import PluginError
from batchcompute.hooks import CallContext, RegistrationContext, hookimpl
from batchcompute.regions import Region
from tests.support.stub import Stub

SECRET = "zq9-canary-secret"
TOKEN = "zq9-canary-token"
AMBIENT = Config(ambient=True)


class Provider:
    """A provider, and the plugin that brings it; `answer` is credentials, an error, or an id."""

    def __init__(self, name: str, answer: Any) -> None:
        self.name = name
        self.answer = answer
        self.asked = 0

    @hookimpl
    def register_credential_providers(self, ctx: RegistrationContext) -> list[Provider]:
        return [self]

    def get(self) -> Credentials:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer if isinstance(self.answer, Credentials) else Credentials(self.answer, SECRET, source="here")


class OwnRegion:
    """A region with a provider of its own."""

    @hookimpl
    def register_regions(self, ctx: RegistrationContext) -> list[Region]:
        return [Region("private", "private.example", credential_provider="own")]


@pytest.fixture
def who(stub: Stub) -> Any:
    """The access key id, or the error, of a call."""

    def who(config: Config, *plugins: object, region: str = "cn-qingdao", **arguments: str) -> str:
        stub.answer({"Items": []})
        with Client(region, config=config, plugins=[stub, *plugins], **arguments) as client:  # type: ignore[arg-type]  # arguments of each case
            client.list_jobs()
        return str(stub.requests[-1].headers["x-acs-access-key-id"])

    return who


def chain(*names: str, **more: Any) -> Config:
    return Config(credentials=CredentialsConfig(chain=names), **more)


def test_the_order(who: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "from-env")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    plugins = [
        OwnRegion(),
        Provider("own", "from-region"),
        Provider("named", "from-named"),
        Provider("more", "from-more"),
    ]
    named = Config(ambient=True, credentials=CredentialsConfig(provider="named"))
    given = {"access_key_id": "from-args", "access_key_secret": SECRET}
    assert who(named, *plugins, region="private", **given) == "from-args"
    assert who(named, *plugins, region="private") == "from-named"
    assert who(AMBIENT, *plugins, region="private") == "from-region"
    assert who(AMBIENT, *plugins) == "from-env"
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_ID")
    monkeypatch.delenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET")
    assert who(Config(ambient=True, access_key_id="from-profile", access_key_secret=SECRET), *plugins) == "from-profile"
    assert who(AMBIENT, *plugins) == "from-more"  # the last one given is the first asked


def test_what_belongs_to_a_region_is_not_asked_for_another(who: Any) -> None:
    own = Provider("own", "from-region")
    with pytest.raises(CredentialsError):
        who(AMBIENT, OwnRegion(), own)
    assert not own.asked


def test_a_config_made_by_hand_uses_nothing_it_does_not_name(who: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "from-env")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    more = Provider("more", "from-more")
    with pytest.raises(CredentialsError, match="environment: not asked") as caught:
        who(Config(), more)
    assert not more.asked
    assert "profile: profile 'default' has no access_key_id" in str(caught.value)
    assert who(Config(access_key_id="mine", access_key_secret=SECRET), more) == "mine"
    assert who(Config(credentials=CredentialsConfig(provider="environment"))) == "from-env"
    assert who(chain("profile", "environment")) == "from-env"
    assert who(chain("more"), more) == "from-more"


def test_an_exhausted_chain_tells_what_everyone_said(who: Any, caplog: pytest.LogCaptureFixture) -> None:
    no = Provider("no", CredentialsError("the moon is wrong"))
    broken = Provider("broken", RuntimeError(f"stack full of {SECRET}"))
    with caplog.at_level(logging.DEBUG), pytest.raises(CredentialsError) as caught:
        who(
            chain("environment", "profile", "no", "broken", "alibabacloud-file", "aliyun-cli", ambient=True), no, broken
        )
    text = str(caught.value)
    lines = [line.strip().partition(": ")[::2] for line in text.splitlines()[1:]]
    assert [name for name, _ in lines] == ["environment", "profile", "no", "broken", "alibabacloud-file", "aliyun-cli"]
    assert dict(lines)["no"] == "the moon is wrong"
    assert dict(lines)["broken"] == "it failed with RuntimeError"
    assert "region cn-qingdao" in text
    assert "pass access_key_id" in text
    assert SECRET not in text + caplog.text


def test_names_that_do_not_exist(who: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"no credential provider 'enviroment'; did you mean 'environment'\?; there are: "
    ):
        who(chain("profile", "enviroment"))
    with pytest.raises(ConfigError, match=r"'alibabacloud'; install .*batchcompute-alibabacloud"):
        who(Config(credentials=CredentialsConfig(provider="alibabacloud")))
    blocked = Config(ambient=True, plugins=PluginConfig(block=frozenset({"credentials"})))
    with pytest.raises(CredentialsError, match="environment: it is not there: is the plugin blocked"):
        who(blocked)


def test_a_client_never_becomes_somebody_else(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Provider("first", CredentialsError("not yet")), Provider("second", "two")
    client = Client("cn-qingdao", config=chain("first", "second"), plugins=[stub, first, second])
    for _ in range(2):
        stub.answer({"Items": []})
        client.list_jobs()
        first.answer = "one"
    assert [request.headers["x-acs-access-key-id"] for request in stub.requests] == ["two", "two"]
    assert first.asked == 1
    second.answer = CredentialsError("gone")
    with pytest.raises(
        CredentialsError, match="credential provider 'second' has no credentials for region cn-qingdao: gone"
    ):
        client.list_jobs()


def test_a_rotated_key_is_used_by_the_next_call(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client("cn-qingdao", config=AMBIENT, plugins=[stub])
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)
    for key in ("first", "second"):
        monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", key)
        stub.answer({"Items": []})
        client.list_jobs()
    assert [request.headers["x-acs-access-key-id"] for request in stub.requests] == ["first", "second"]


def test_a_security_token_is_sent_and_signed(stub: Stub) -> None:
    stub.answer({"Items": []})
    answer = Credentials("key", SECRET, TOKEN, source="here")
    Client("cn-qingdao", config=chain("sts"), plugins=[stub, Provider("sts", answer)]).list_jobs()
    request = stub.requests[0]
    assert request.headers["x-acs-security-token"] == TOKEN
    text = string_to_sign(request.method, request.target, request.headers)
    assert f"x-acs-security-token:{TOKEN}" in text.splitlines()
    assert request.headers["authorization"] == f"acs key:{signature(SECRET, text)}"


def test_a_signature_may_do_without_credentials(stub: Stub) -> None:
    class Bearer:
        @hookimpl
        def sign_request(self, ctx: Any) -> dict[str, str]:
            assert ctx.credentials is None
            return {"authorization": "Bearer mine"}

    stub.answer({"Items": []})
    Client("cn-qingdao", config=Config(), plugins=[stub, Bearer()]).list_jobs()
    assert stub.requests[0].headers["authorization"] == "Bearer mine"


def test_a_plugin_that_resolves_spares_the_chain(stub: Stub) -> None:
    class Resolver:
        @hookimpl
        def resolve_credentials(self, ctx: CallContext) -> Credentials:
            return Credentials("resolved", SECRET)

    stub.answer({"Items": []})
    asked = Provider("asked", "no")
    Client("cn-qingdao", config=chain("asked"), plugins=[stub, asked, Resolver()]).list_jobs()
    assert stub.requests[0].headers["x-acs-access-key-id"] == "resolved"
    assert not asked.asked


def test_what_is_no_credentials_is_the_plugins_fault(who: Any) -> None:
    class Wrong(Provider):
        def get(self) -> Credentials:
            return {"id": "x", "secret": SECRET}  # type: ignore[return-value]  # arguments of each case

    with pytest.raises(PluginError, match="'wrong' answered dict, expected Credentials"):
        who(Config(credentials=CredentialsConfig(provider="wrong")), Wrong("wrong", None))


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (("", SECRET, None), "ID is missing"),
        (("  ", SECRET, None), "ID is missing"),
        (("id", None, TOKEN), "SECRET is missing"),
        (("id", 5, None), "SECRET must be a str, not int"),
        (("id", SECRET + "\n" + SECRET, None), "SECRET must be printable ASCII text"),
        (("id", SECRET, TOKEN + "é"), "TOKEN must be printable ASCII text"),
    ],
)
def test_parts_that_cannot_be_used(parts: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        found("a file", dict(zip(("ID", "SECRET", "TOKEN"), parts, strict=True)))
    assert str(caught.value).startswith(f"a file: {problem}")
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        explicit(*parts)
    assert "canary" not in str(refused.value)


def test_a_repr_shows_no_secret() -> None:
    credentials = found("a file", {"a": " id ", "b": f"{SECRET}\n", "c": TOKEN}, 5.0)
    assert credentials == Credentials("id", SECRET, TOKEN, 5.0, "a file")
    config = Config(access_key_id="id", access_key_secret=SECRET, security_token=TOKEN)
    assert "canary" not in repr(credentials) + repr(config)
