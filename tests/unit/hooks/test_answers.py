"""What hooks answer and raise: every error names the plugin, where it comes from, the hook, what came and what was expected."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from batchcompute import (
    Client,
    Config,
    Credentials,
    CredentialsConfig,
    CredentialsError,
    PluginConfig,
    PluginError,
    Region,
)
from batchcompute.builtins import BUILTINS
from batchcompute.hooks import (
    AttemptContext,
    CallContext,
    DiagnosisContext,
    RegistrationContext,
    hookimpl,
    loading,
)
from batchcompute.hooks.answers import RULES
from batchcompute.hooks.manager import Hooks
from batchcompute.hooks.specs import HOOKS
from tests.support.stub import Stub

CANARY = "canary-of-the-plugin-77"
WHO = rf"^plugin 'mine' \({__name__}\.Plugin, given to the Client\): "


class Plugin:
    """Answers one hook, whichever."""

    def __init__(self, hook: str, answer: object) -> None:
        self.name = "mine"

        def implementation(ctx: object) -> object:
            return answer() if callable(answer) and not isinstance(answer, type) else answer

        setattr(self, hook, hookimpl(implementation))


def call(stub: Stub, *plugins: object, human_readable: bool = False) -> None:
    stub.answer({"job-1": {"State": "Running", "CreateTime": 5}})
    for job in stub.client(human_readable, plugins=plugins).list_jobs():
        assert job.CreateTime


class Key:
    """Lets a call come as far as the signature."""

    @hookimpl
    def resolve_credentials(self, ctx: CallContext) -> Credentials:
        return Credentials("testid", "testsecret-of-answers")


class Nameless:
    def get(self) -> None: ...


class Named(Nameless):
    name = "named"


def text() -> Iterator[str]:
    yield CANARY


ITEMS = r"answered items, of which number 0 is "
WRONG: dict[str, tuple[str, object, str]] = {
    "a region": ("register_regions", [CANARY], ITEMS + "a str, expected an iterable of Region$"),
    "text for regions": ("register_regions", CANARY, "answered a str, expected an iterable of Region$"),
    "one region": ("register_regions", Region("a", "b"), "answered a Region, expected an iterable of Region$"),
    "a generator": ("register_regions", text, ITEMS + "a str, expected an iterable of Region$"),
    "a class of regions": ("register_regions", [Region], ITEMS + "the class Region, not an object of it, expected"),
    "a transport": ("register_transports", [Named()], ITEMS + r"a Named without open\(\), expected an iterable of Tr"),
    "settings": ("register_settings", {"lab": dict}, "answered a dict, expected an iterable of Section$"),
    "a clock": ("clock", SimpleNamespace(sleep=print), r"a SimpleNamespace without monotonic\(\), expected a Clock or"),
    "an endpoint": ("resolve_endpoint", f"http://{CANARY}", "answered a str, expected an Endpoint or None$"),
    "no credentials": ("resolve_credentials", (CANARY, CANARY), "answered a tuple, expected Credentials or None$"),
    "a key": (
        "resolve_credentials",
        Credentials("key\n", CANARY),
        "answered Credentials whose access_key_id is not printable ASCII text, expected Credentials or None$",
    ),
    "a secret": (
        "resolve_credentials",
        Credentials("key", CANARY.encode()),  # type: ignore[arg-type]  # on purpose
        "answered Credentials whose access_key_secret is not a str but bytes, expected",
    ),
    "headers": ("request_headers", [("x-a", CANARY)], "answered a list, expected a mapping of header names to latin-1"),
    "a header of bytes": ("request_headers", {"x-a": b"1"}, "answered the header 'x-a' with a bytes as its value, exp"),
    "a header of none": ("request_headers", {"x-a": None}, "answered the header 'x-a' with None as its value, expect"),
    "a header's name": ("request_headers", {"x a": CANARY}, "answered a header with the name 'x a', expected a mapp"),
    "a line break": ("request_headers", {"x-a": f"{CANARY}\r\nx-b: 1"}, "answered the header 'x-a' with a value that"),
    "a signature": (
        "sign_request",
        {"authorization": f"Bearer {CANARY}\n"},
        "answered the header 'authorization' with a value that has a line break, or is not latin-1 text, expected a map",
    ),
    "another alphabet": (
        "sign_request",
        {"x-a": f"{CANARY}\u4f60"},
        "answered the header 'x-a' with a value that has a",
    ),
    "no signature": ("sign_request", CANARY, "answered a str, expected a mapping of header names to latin-1 text, or"),
    "nothing": ("decode_response", None, ""),
    "a time": ("humanize_timestamp", 5.0, "answered a float, expected a str or None$"),
}


@pytest.mark.parametrize(("hook", "answer", "message"), WRONG.values(), ids=WRONG)
def test_an_answer_that_cannot_be_used(stub: Stub, hook: str, answer: object, message: str) -> None:
    others = () if hook == "resolve_credentials" else (Key(),)
    if not message:
        call(stub, *others, Plugin(hook, answer))  # declines
        return
    with pytest.raises(PluginError, match=WHO + f"{hook} .*{message}") as caught:
        call(stub, *others, Plugin(hook, answer), human_readable=True)
    frames = [
        frame for frame, _ in traceback.walk_tb(caught.value.__traceback__) if "hooks" in frame.f_code.co_filename
    ]
    kept = [
        repr(value) for frame in frames if frame.f_code.co_filename != __file__ for value in frame.f_locals.values()
    ]
    assert not any(CANARY in text for text in (str(caught.value), *kept))  # some tools show the variables of frames


ASKED: dict[str, tuple[Callable[[Any], Any], object, str]] = {
    "register_credential_providers": (
        lambda hooks: hooks.credential_providers(),
        [Nameless()],
        "a Nameless without a n",
    ),
    "register_commands": (lambda hooks: hooks.commands(), [print], "expected an iterable of click.Command with a name"),
    "validate_description": (lambda hooks: hooks.validate_description(None), ["x"], "expected an iterable of Problem"),
    "retry_policy": (lambda hooks: hooks.retry_policy(None), 5, "answered an int, expected a RetryPolicy or None"),
    "fetch_log": (
        lambda hooks: hooks.fetch_log(None),
        b"log",
        "answered a bytes without read..*, expected a file of bytes",
    ),
    "object_store": (
        lambda hooks: hooks.object_store(None),
        Named(),
        r"a Named without put\(\), expected an ObjectSto",
    ),
}


@pytest.mark.parametrize(("hook", "asked"), ASKED.items(), ids=ASKED)
def test_an_answer_of_a_hook_that_is_asked_rarely(hook: str, asked: tuple[Any, object, str]) -> None:
    ask, answer, message = asked
    hooks = Hooks(Config(), BUILTINS, [Plugin(hook, answer)])
    with pytest.raises(PluginError, match=WHO + f"{hook} .*{message}"):
        ask(hooks)


def test_every_hook_whose_answer_counts_has_a_rule_and_a_wrong_answer_here() -> None:
    assert set(HOOKS) - set(RULES) == {"before_attempt", "after_attempt", "after_call"}
    assert {hook for hook, _, _ in WRONG.values()} | set(ASKED) == set(RULES) - {"diagnose"}  # the next but two


def test_an_error_of_a_finding_is_a_finding() -> None:
    """One plugin that fails does not hide what the others report."""

    def asked(answer: object) -> list[str]:
        good = Plugin("diagnose", [])
        good.name = "good"
        hooks = Hooks(Config(), BUILTINS, [good, Plugin("diagnose", answer)])
        return [item.what for item in hooks.diagnose(DiagnosisContext(Region("a", "b"), Config()))]

    place = f"({__name__}.Plugin, given to the Client)"
    assert asked([5]) == [
        f"plugin 'mine' {place} failed to diagnose: PluginError: plugin 'mine' {place}: diagnose answered items, of which "
        "number 0 is an int, expected an iterable of Finding"
    ]


@pytest.mark.parametrize("error", [KeyError("token"), CredentialsError("the vault is closed")])
@pytest.mark.parametrize("hook", ["register_regions", "resolve_endpoint", "request_headers", "sign_request"])
def test_an_error_names_the_plugin_and_stays_what_it_is(stub: Stub, hook: str, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call(stub, Key(), Plugin(hook, fail))
    assert caught.value is error
    expected = f"raised by plugin 'mine' ({__name__}.Plugin, given to the Client) in the hook {hook}"
    assert error.__notes__ == [expected]
    with pytest.raises(type(error)):
        call(stub, Key(), Plugin(hook, fail))
    assert error.__notes__ == [expected]
    del error.__notes__  # one object for all tests of this parameter


def test_an_error_of_the_sdk_names_no_plugin(stub: Stub) -> None:
    with pytest.raises(CredentialsError) as caught:
        Client("cn-qingdao", plugins=[stub]).list_jobs()
    assert not hasattr(caught.value, "__notes__")


def test_an_installed_plugin_is_named_with_its_distribution(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ModuleType("lab")
    vars(plugin)["resolve_endpoint"] = hookimpl(lambda ctx: "nowhere")
    point = SimpleNamespace(load=lambda: plugin, dist=SimpleNamespace(name="corp-lab", version="1.2"))
    monkeypatch.setattr(loading, "installed_plugins", lambda: (("corp-lab:lab", point),))
    with pytest.raises(
        PluginError, match=r"^plugin 'corp-lab:lab' \(distribution corp-lab 1\.2\): resolve_endpoint an"
    ):
        call(stub, Key())


class WrongEndpoint:
    @hookimpl(wrapper=True)
    def resolve_endpoint(self, ctx: CallContext) -> Any:
        yield
        return "nowhere"


class WrongTransports:
    @hookimpl(wrapper=True)
    def register_transports(self, ctx: RegistrationContext) -> Any:
        yield
        return [["carrier"]]


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        (WrongEndpoint(), "resolve_endpoint answered a str"),
        (WrongTransports(), "register_transports answered items, of which number 0 is a str"),
    ],
)
def test_a_wrapper_answers_for_itself(stub: Stub, wrapper: object, message: str) -> None:
    with pytest.raises(PluginError, match=rf"^plugin 'argument \d: .*' \(.*, given to the Client\): {message}"):
        call(stub, Key(), wrapper)


def test_headers_that_two_set_name_both(stub: Stub) -> None:
    one, two = Plugin("request_headers", {"x-a": "1"}), Plugin("request_headers", {"x-a": "2"})
    two.name = "yours"
    message = WHO + "request_headers answered the header 'x-a', which plugin 'yours' .* sets to anot"
    with pytest.raises(PluginError, match=message):
        call(stub, Key(), one, two)  # the one that was given last is asked first
    with pytest.raises(PluginError, match=WHO + "request_headers answered the header 'Date', which the SDK sets"):
        call(stub, Key(), Plugin("request_headers", {"Date": "1"}))


def test_a_policy_that_swallows_the_last_error(stub: Stub) -> None:
    class Silent:
        @hookimpl
        def retry_policy(self, ctx: CallContext) -> Any:
            return lambda fn: None

    stub.answer({"Code": "InternalError", "Message": "no"}, 500)
    message = (
        r"Silent, given to the Client\): the policy of retry_policy returned None, expected the Response .* reraise"
    )
    with pytest.raises(PluginError, match=message):
        stub.client(plugins=(Silent(),)).list_jobs()


@pytest.mark.parametrize(("opened", "what"), [(None, "None"), (Nameless(), "a Nameless"), (Stub, "the class Stub")])
def test_a_factory_that_opens_no_transport(opened: object, what: str) -> None:
    class Factory:
        name = "urllib3"

        @hookimpl
        def register_transports(self, ctx: RegistrationContext) -> list[Any]:
            return [self]

        def open(self, settings: object) -> object:
            return opened

    with pytest.raises(
        PluginError, match=f"transport 'urllib3' opened {what}.*, expected a Transport: `send"
    ) as caught:
        Client("cn-qingdao", "id", "secret", plugins=[Factory()]).list_jobs()
    assert "with" in str(caught.value) or "not an object of it" in str(caught.value)


def test_a_provider_whose_key_no_header_can_have(stub: Stub) -> None:
    class Provider:
        name = "vault"

        @hookimpl
        def register_credential_providers(self, ctx: RegistrationContext) -> list[Any]:
            return [self]

        def get(self) -> Credentials:
            return Credentials("id", "secret-of-the-vault", CANARY + "\n")

    config = Config(credentials=CredentialsConfig(provider="vault"))
    message = "credential provider 'vault' answered Credentials whose security_token is not printable ASCII text"
    with pytest.raises(PluginError, match=message) as caught:
        Client("cn-qingdao", plugins=[stub, Provider()], config=config).list_jobs()
    assert CANARY not in str(caught.value)


def test_the_name_of_a_region_that_no_header_can_have(stub: Stub) -> None:
    places = Plugin("register_regions", [Region("l\u00e4b \u4f60", "lab.example")])
    with pytest.raises(
        PluginError, match="the header 'x-acs-region-id' with a value that has a line break, or is not lat"
    ):
        Client("l\u00e4b \u4f60", "id", "secret", plugins=[places, stub]).list_jobs()


def test_latin_1_text_is_sent(stub: Stub) -> None:
    call(stub, Key(), Plugin("request_headers", {"x-where": "K\u00f6ln"}))
    assert stub.requests[-1].headers["x-where"] == "K\u00f6ln"


def test_an_observer_that_cannot_say_whether_it_looks(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    class Observer:
        name = "broken"
        seen: list[AttemptContext]

        def __init__(self) -> None:
            self.seen = []

        def observing(self, hook: str, config: Config) -> bool:
            raise RuntimeError(CANARY)

        @hookimpl
        def after_attempt(self, ctx: AttemptContext) -> None:
            self.seen.append(ctx)

    observer = Observer()
    stub.answer({})
    stub.client(plugins=(observer,), config=Config(plugins=PluginConfig(frozenset({"tracing"})))).list_jobs()
    assert len(observer.seen) == 1
    assert "plugin broken failed in observing: RuntimeError" in [record.getMessage() for record in caplog.records]
    assert CANARY not in caplog.text
