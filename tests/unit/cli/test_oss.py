"""`oss ls`, `cp`, `cat`, `hash` and `rm`, and `image list`."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from importlib import util
from pathlib import Path
from typing import BinaryIO

import pytest
from batchcompute_local.objects import crc64
from batchcompute_local.storage import ObjectStore as Folder

from batchcompute import Client
from batchcompute.cli.session import advise_objects
from batchcompute.hooks import BucketLister, ObjectHasher, ObjectStore
from batchcompute.testing.objects import record_objects
from tests.support.command_line import Run
from tests.support.server import Server


def test_there_and_back(bc: Run, client: Client, tmp_path: Path) -> None:
    source, target = tmp_path / "a.bin", tmp_path / "deep/b.bin"
    source.write_bytes(bytes(range(256)) * 10_000)
    done = bc("oss", "cp", source, "oss://mine/a.bin", "--format", "json")
    assert done.json == [{"from": str(source), "to": "oss://mine/a.bin", "size": 2_560_000}]
    assert bc("oss", "cp", "oss://mine/a.bin", target).code == 0
    assert target.read_bytes() == source.read_bytes()
    assert bc("oss", "cp", "oss://mine/a.bin", "oss://mine/copy/").code == 0
    assert bc("oss", "ls", "oss://mine", "--format", "json").json == [
        {"uri": "oss://mine/a.bin", "size": 2_560_000},
        {"uri": "oss://mine/copy/a.bin", "size": 2_560_000},
    ]
    assert bc("oss", "ls", "oss://mine/c").out == "   SIZE  OBJECT\n2560000  oss://mine/copy/a.bin\n"
    assert [path.name for path in target.parent.iterdir()] == ["b.bin"], "no part is left"


def test_standard_streams(bc: Run, client: Client, typed: Callable[[bytes], None]) -> None:
    typed(b"hello\n")
    assert bc("oss", "cp", "-", "oss://mine/hello").code == 0
    assert bc("oss", "cp", "oss://mine/hello", "-").out == "hello\n"
    assert bc("oss", "cat", "oss://mine/hello", "oss://mine/hello").out == "hello\nhello\n"
    done = bc("oss", "cp", "-", "oss://mine/folder/")
    assert done.code == 2
    assert "give the name of the copy too" in done.err


def test_a_file_that_is_replaced_keeps_its_rights(bc: Run, client: Client, tmp_path: Path) -> None:
    client.objects.put("oss://mine/a", b"new")
    target = tmp_path / "a"
    target.write_text("old")
    target.chmod(0o640)
    assert bc("oss", "cp", "oss://mine/a", tmp_path).code == 0, "a folder keeps the name"
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("new", 0o640)


def test_folders(bc: Run, client: Client, tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/one").write_text("1")
    (tmp_path / "in/sub/two").write_text("2")
    assert bc("oss", "cp", "-r", tmp_path / "in", "oss://mine/in/").code == 0
    assert [uri for uri, _ in client.objects.list("oss://mine/")] == ["oss://mine/in/one", "oss://mine/in/sub/two"]
    client.objects.put("oss://mine/inner", b"not of that folder")
    assert bc("oss", "cp", "-r", "oss://mine/in", tmp_path / "out").code == 0
    assert sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "out/one",
        "out/sub/two",
    ]
    assert bc("oss", "rm", "-r", "oss://mine/in/").code == 2, "nobody can be asked"
    done = bc("oss", "rm", "-r", "oss://mine/in", "--yes", "--format", "json")
    assert done.json == [{"uri": "oss://mine/in/one"}, {"uri": "oss://mine/in/sub/two"}]
    assert bc("oss", "rm", "oss://mine/inner").out == "oss://mine/inner removed\n"
    assert bc("oss", "ls", "oss://mine").err == "There is nothing in oss://mine.\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("cat", "oss://mine/nothing"), "there is no object oss://mine/nothing; `batchcompute oss ls`"),
        (("cp", "oss://mine/nothing", "x"), "there is no object"),
        (("rm", "oss://mine/nothing"), "there is no object"),
        (("ls", "mine"), "does not begin with oss://"),
        (("ls", "oss://../x"), "no usable bucket name"),
        (("cat", "oss://mine/../../x"), "'..'"),
        (("cp", "a", "b"), "must begin with oss://"),
        (("cp", "-r", "-", "oss://mine/a"), "needs a folder"),
        (("cp", "-r", "nowhere", "oss://mine/a"), "is not a folder"),
    ],
)
def test_mistakes(bc: Run, data_dir: Path, words: tuple[str, ...], expected: str) -> None:
    done = bc("oss", *words)
    assert done.code == 2
    assert expected in done.err


def test_a_region_without_objects(bc: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.reply = lambda handler: handler.say(status=404)  # it does not know what its OSS is
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")
    done = bc("-e", f"http://127.0.0.1:{server.server_port}", "oss", "ls", "oss://mine")
    assert done.code == 2
    assert "no plugin offers an object store for region custom; name the region's OSS as oss.endpoint in" in done.err


def test_of_a_blocked_plugin_the_advice_is_not_to_block_it(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_PLUGINS_BLOCK", "oss")
    done = bc("-e", "http://127.0.0.1:9", "oss", "ls", "oss://mine")
    assert done.code == 2
    assert "batchcompute-oss:oss was left out, which is for objects over OSS: blocked by config" in done.err
    assert "remove it from plugins.block to use it" in done.err
    for wrong in ("oss.endpoint", "install"):
        assert wrong not in done.err


def test_without_the_plugin_the_advice_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert advise_objects().startswith("objects over OSS need the plugin batchcompute-oss; install ")


def test_images(bc: Run, data_dir: Path) -> None:
    shown = bc("image", "list", "--format", "json").json
    assert [(one["image_id"], one["platform"]) for one in shown] == [("img-local", "Linux")]
    assert set(shown[0]) == {"image_id", "name", "platform", "description", "owner"}
    assert bc("image", "list").out.splitlines()[1].startswith("img-local")


def test_buckets(bc: Run, client: Client) -> None:
    assert isinstance(client.objects, BucketLister)
    done = bc("oss", "ls")
    assert (done.code, done.out) == (0, "")
    assert done.err == "There are no buckets. `batchcompute oss cp` makes one.\n"
    for uri in ("oss://theirs/a", "oss://mine/a", "oss://mine/b/c"):
        client.objects.put(uri, b"12345")
    assert bc("oss", "ls", "oss://").out == bc("oss", "ls").out == "BUCKET\noss://mine/\noss://theirs/\n"
    assert bc("oss", "list", "oss://", "-o", "json").json == [
        {"uri": "oss://mine/", "size": None},
        {"uri": "oss://theirs/", "size": None},
    ]


def test_the_list_of_buckets_looks_into_none(bc: Run, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bucket that cannot be read, or has a million objects, the name is known as well."""
    client.objects.put("oss://mine/a", b"12345")

    def refuse(store: Folder, prefix: str) -> None:
        raise PermissionError(prefix)

    monkeypatch.setattr(Folder, "list", refuse)
    assert bc("oss", "ls").out == "BUCKET\noss://mine/\n"


class Plain:
    """An ObjectStore without what is optional."""

    def put(self, uri: str, data: bytes | BinaryIO) -> None: ...

    def open(self, uri: str) -> BinaryIO:
        raise FileNotFoundError(uri)

    def exists(self, uri: str) -> bool:
        return False

    def list(self, prefix: str) -> Iterable[tuple[str, int]]:
        return ()

    def delete(self, uri: str) -> None: ...


def test_a_store_that_does_not_list_buckets(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store: ObjectStore = Plain()
    monkeypatch.setattr("batchcompute.cli.oss.objects_of", lambda client: store)
    done = bc("oss", "ls")
    assert (done.code, "does not list buckets; name one" in done.err) == (2, True)
    assert not isinstance(store, BucketLister)


def test_sums(bc: Run, client: Client, data_dir: Path) -> None:
    assert isinstance(client.objects, ObjectHasher)
    client.objects.put("oss://mine/a", b"hello")
    (data_dir / "oss/mine/link").symlink_to("a")
    assert bc("oss", "hash", "oss://mine/a", "oss://mine/link").out == (
        "CRC64                 OBJECT\n11177612005948864433  oss://mine/a\n11177612005948864433  oss://mine/link\n"
    )
    for words, expected in (
        (("oss://mine/nothing",), "there is no object oss://mine/nothing"),
        (("mine/a",), "does not begin with oss://"),
        (("oss://mine/",), "names a folder, not an object"),
    ):
        done = bc("oss", "hash", *words)
        assert (done.code, done.out, expected in done.err) == (2, "", True)


def test_an_object_that_changes_while_it_is_read_has_no_sum(
    bc: Run, client: Client, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.objects.put("oss://mine/a", b"hello")
    of_file = crc64.of_file

    def meanwhile(file: BinaryIO) -> int | None:
        found = of_file(file)
        with (data_dir / "oss/mine/a").open("ab") as same:
            same.write(b", world")
        return found

    monkeypatch.setattr(crc64, "of_file", meanwhile)
    done = bc("oss", "hash", "oss://mine/a")
    assert (done.code, "oss://mine/a has no CRC64: it changes" in done.err) == (2, True)


def test_a_store_without_sums(bc: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    store: ObjectStore = Plain()
    monkeypatch.setattr("batchcompute.cli.oss.objects_of", lambda client: store)
    done = bc("oss", "hash", "oss://mine/a")
    assert (done.code, "knows no CRC64" in done.err) == (2, True)
    assert not isinstance(store, ObjectHasher)


@pytest.mark.parametrize("names", [(), ("buckets",), ("crc64",), ("buckets", "crc64")])
def test_a_recorded_store_has_what_the_store_has(names: tuple[str, ...]) -> None:
    kept: list[str] = []
    kind = type("Store", (Plain,), {name: lambda self, *uri: () for name in names})
    store = record_objects(kind(), lambda method, target, answer: kept.append(target))
    assert isinstance(store, BucketLister) == ("buckets" in names)
    assert isinstance(store, ObjectHasher) == ("crc64" in names)
    if isinstance(store, ObjectHasher):
        store.crc64("oss://mine/a")
    assert kept == ["oss://mine/a?crc64"] * ("crc64" in names), "__getattr__ of the recorded store did not answer"
