"""A key of the configuration that is changed while a Client is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from batchcompute import AuthenticationError, Client, Config
from batchcompute.hooks import AttemptContext, hookimpl
from tests.support.place import Place
from tests.support.stub import Stub, response

SECRET = "zq9-canary-secret"
UNKNOWN = response({"Code": "InvalidAccessKeyId.NotFound", "Message": "no such key"}, 404)
OLD, NEW = (f'access_key_id = "{name}"\naccess_key_secret = "{SECRET}"\n' for name in ("old", "new"))


class Keys:
    """Notes the key of each attempt."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @hookimpl
    def before_attempt(self, ctx: AttemptContext) -> None:
        assert ctx.credentials is not None
        self.seen.append(ctx.credentials.access_key_id)


@pytest.fixture
def keys() -> Keys:
    return Keys()


def client_of(stub: Stub, keys: Keys, config: Config | None = None) -> Client:
    return Client("cn-qingdao", plugins=[stub, keys], config=config)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId.NotFound", "SignatureDoesNotMatch"])
def test_a_key_that_is_refused_is_read_again(stub: Stub, keys: Keys, place: Place, code: str) -> None:
    place.user(f"[profiles.default]\n{OLD}")
    with client_of(stub, keys) as client:
        stub.answer({})
        client.list_jobs()
        place.user(f"[profiles.default]\n{NEW}")
        stub.prepare([response({}), response({"Code": code, "Message": "no"}, 403), response({}), response({})])
        for _ in range(3):
            client.list_jobs()
    assert keys.seen == ["old", "old", "old", "new", "new"], "one repeated call, and no more"


def test_variables_are_read_again_too(stub: Stub, keys: Keys, place: Place) -> None:
    place.set(BATCHCOMPUTE_ACCESS_KEY_ID="old", BATCHCOMPUTE_ACCESS_KEY_SECRET=SECRET)
    stub.prepare([UNKNOWN, response({})])
    with client_of(stub, keys) as client:
        place.set(BATCHCOMPUTE_ACCESS_KEY_ID="new")
        client.list_jobs()
    assert keys.seen == ["old", "new"]


def test_the_profile_and_the_project_stay_the_same(stub: Stub, keys: Keys, place: Place, tmp_path: Path) -> None:
    """A Client never becomes somebody else, wherever the program goes."""
    place.user(f'trusted_projects = ["{place.cwd}"]\n{OLD.replace("old", "mine")}')
    place.project(OLD)
    stub.prepare([UNKNOWN, response({}), UNKNOWN])
    with client_of(stub, keys) as client:
        os.chdir(tmp_path)
        place.project(NEW)
        client.list_jobs()
        place.user(f'trusted_projects = ["{place.cwd}"]\nprofile = "other"\n[profiles.other]\n{NEW}')
        with pytest.raises(AuthenticationError) as caught:
            client.list_jobs()
    assert keys.seen == ["old", "new", "new"]
    assert "the profile is now 'other'; this Client has that of 'default'" in caught.value.__notes__[0]


def test_a_file_that_is_broken_meanwhile_is_said(stub: Stub, keys: Keys, place: Place) -> None:
    place.user(OLD)
    with client_of(stub, keys) as client:
        place.user(f"{NEW}\noops")
        stub.prepare([UNKNOWN])
        with pytest.raises(AuthenticationError) as caught:
            client.list_jobs()
        assert "config.toml is not TOML" in caught.value.__notes__[0]
        assert SECRET not in repr(caught.value.__notes__)
        place.user(NEW)
        stub.prepare([response({})])
        client.list_jobs()
    assert keys.seen == ["old", "new"]


def test_a_config_made_by_hand_is_not_read_again(stub: Stub, keys: Keys, place: Place) -> None:
    place.user(NEW)
    stub.prepare([UNKNOWN])
    with (
        client_of(stub, keys, Config(access_key_id="old", access_key_secret=SECRET)) as client,
        pytest.raises(AuthenticationError),
    ):
        client.list_jobs()
    assert keys.seen == ["old"]
