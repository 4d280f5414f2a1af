"""`client.objects`: the objects of all buckets, here and elsewhere; and what service.toml may say of them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.errors import SettingsError
from batchcompute_local.objects import crc64
from batchcompute_local.objects.notes import is_note, write_notes
from batchcompute_local.routing import AllObjects
from batchcompute_local.settings import read_settings
from batchcompute_local.storage import ObjectStore, UriError

from tests.support.elsewhere import Elsewhere


class Pipe(io.RawIOBase):
    """Bytes that cannot be read twice."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._file.readinto(buffer)


@pytest.fixture
def objects(far: Elsewhere, tmp_path: Path) -> AllObjects:
    return AllObjects(tmp_path / "oss", {"far": far.bucket}, tmp_path / "unsent")


def test_each_bucket_has_its_own_place(objects: AllObjects, far: Elsewhere, tmp_path: Path) -> None:
    objects.put("oss://near/a", b"here")
    objects.put("oss://far/x/a", b"there")
    file = io.BytesIO(b"skipped, and the rest")
    file.seek(9)
    objects.put("oss://far/x/b", file)
    objects.put("oss://far/pipe", io.BufferedReader(Pipe(b"once")))
    objects.put("oss://near/pipe", b"once")
    assert (tmp_path / "oss/near/a").read_bytes() == b"here"
    assert far.stored() == ["pipe", "x/a", "x/b"]
    assert objects.open("oss://far/x/b").read() == b"and the rest"
    assert objects.open("oss://far/pipe").read() == b"once"
    assert list(objects.list("oss://far/x/")) == [("oss://far/x/a", 5), ("oss://far/x/b", 12)]
    assert list(objects.buckets()) == ["far", "near"]
    assert objects.crc64("oss://far/pipe") == objects.crc64("oss://near/pipe") == crc64.update(0, b"once")
    assert objects.exists("oss://far/x/a")
    objects.delete("oss://far/x/a")
    assert not objects.exists("oss://far/x/a")
    with pytest.raises(FileNotFoundError):
        objects.open("oss://far/x/a")
    for bad in ("oss://far/", "oss://far/a//b", "oss://far/../near/a"):
        with pytest.raises(UriError):
            objects.open(bad)


def test_a_note_is_where_the_folder_would_be(objects: AllObjects, far: Elsewhere, tmp_path: Path) -> None:
    root = tmp_path / "oss"
    objects.put("oss://near/a", b"here")
    (root / "own").write_text("a file of somebody")
    assert write_notes(root, {"far": far.bucket}) == []
    assert far.bucket.place in (root / "far").read_text()
    with pytest.raises(NotADirectoryError):
        (root / "far/x").write_text("a program that does not know")
    here = ObjectStore(root)  # as in a container, which cannot read service.toml
    assert list(here.buckets()) == ["near"]
    for use in (lambda: here.open("oss://far/x"), lambda: here.put("oss://far/x", b"")):
        with pytest.raises(UriError, match=r"the bucket is elsewhere, and not in .*reach it over \$ALI_DIKU_OSS_HOST"):
            use()
    assert write_notes(root, {}) == []
    assert sorted(path.name for path in root.iterdir()) == ["near", "own"]
    assert write_notes(root, {"near": far.bucket}) == ["near"], "a folder that is hidden is named, and stays"
    assert (root / "near/a").read_bytes() == b"here"
    assert not is_note(root / "own")


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text(
        '[buckets.far]\nurl = "s3://real/below/"\n'
        '[buckets.far.options]\nkey = "id"\nsecret = "some-secret"\nclient_kwargs = {aws_session_token = "some-token"}\n'
        '[buckets.nfs]\nurl = "file:///mnt/nfs"\n[buckets.ours]\nurl = "s3://ours"\ncredentials = "profile"\n'
    )
    found = read_settings(path)
    assert {name: each.place for name, each in found.buckets.items()} == {
        "far": "s3://real/below",
        "nfs": "file:///mnt/nfs",
        "ours": "s3://ours",
    }
    assert [each.credentials for each in found.buckets.values()] == ["", "", "profile"]
    assert "some-" not in repr(found)
    hidden = found.buckets["far"].hide("the secret some-secret and some-token of id")
    assert hidden == "the secret *** and *** of id"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buckets = 1", "buckets must be tables"),
        ("[buckets.a_b]\n", r"\[buckets.a_b\]: url must be a URL of fsspec"),
        ('[buckets."a/b"]\nurl = "s3://x"', "the name must be that of a bucket"),
        ('[buckets.far]\nurl = "/mnt/nfs"', "url must be a URL of fsspec"),
        ('[buckets.far]\nurl = "file://mnt/nfs"', "must be an absolute path"),
        ('[buckets.far]\nurl = "oss://real"', "a bucket of OSS has the URL s3://bucket"),
        ('[buckets.far]\nurl = "simplecache::s3://real"', "url must be a URL of fsspec"),
        ('[buckets.far]\nurl = "s3://x"\noptions = "secret-text"', "options must be a table"),
        (
            '[buckets.far]\nurl = "s3://x"\noption = {secret = "secret-text"}',
            "unknown key 'option'; did you mean 'options'",
        ),
        ('[buckets.far]\nurl = "s3://x"\nsecret = "secret-text"', r"options of fsspec are in \[buckets.far.options\]"),
        (
            '[buckets.far]\nurl = "s3://x"\ncredential = "profile"',
            "unknown key 'credential'; did you mean 'credentials'",
        ),
        ('[buckets.far]\nurl = "s3://x"\ncredentials = ""', "credentials must be the name of a credential provider"),
        (
            '[buckets.far]\nurl = "s3://x"\ncredentials = {secret = "secret-text"}',
            "must be the name of a credential pro",
        ),
        (
            '[buckets.far]\nurl = "sftp://x/y"\ncredentials = "profile"',
            r"credentials = 'profile' is only for the URLs s3:// and s3a://, not for sftp://, .* in \[buckets.far.options\]",
        ),
        (
            '[buckets.far]\nurl = "s3a://x"\ncredentials = "profile"\noptions = {key = "k", secret = "secret-text"}',
            "credentials = 'profile' and the options key, secret are two sources of credentials; remove one",
        ),
        (
            '[buckets.far]\nurl = "s3://x"\ncredentials = "profile"\n'
            'options = {client_kwargs = {aws_session_token = "secret-text"}}',
            "the options client_kwargs.aws_session_token are two sources",
        ),
    ],
)
def test_wrong_settings_are_named_without_secrets(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=message) as caught:
        read_settings(path)
    assert "secret-text" not in str(caught.value)
    assert f"{path}, line 1" in str(caught.value)


def test_a_url_with_a_password_is_shown_without_it(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text(f"[buckets.far]\nurl = {json.dumps('sftp://me:pass-word@host/folder')}\n")
    bucket = read_settings(path).buckets["far"]
    assert bucket.place == "sftp://host/folder"
    assert "pass-word" not in repr(bucket) + bucket.hide("sftp://me:pass-word@host")
