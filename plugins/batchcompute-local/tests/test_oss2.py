"""The endpoint, driven by oss2, the first of the official clients, with both signatures."""

from __future__ import annotations

import gc
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import oss2
import pytest
import requests
from batchcompute_local.objects.content import Content

from tests.support.oss import OWN, REGION, OssService
from tests.support.waits import wait_for

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves sockets open

KEYS = ("plain", "folder/inner", "a b/é+%2F.txt", "a//b", "end/", "../../up", "x" * 300, ".part-mine", "tab\there")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssService]:
    made = OssService(tmp_path_factory.mktemp("data") / "oss")
    yield made
    made.close()
    gc.collect()


@pytest.fixture(params=[1, 4], ids=["V1", "V4"])
def bucket(service: OssService, request: pytest.FixtureRequest) -> Iterator[oss2.Bucket]:
    """An empty bucket."""
    made = service.bucket(f"bucket-{request.param}", version=request.param)
    made.create_bucket()
    yield made
    for each in oss2.MultipartUploadIterator(made):
        made.abort_multipart_upload(each.key, each.upload_id)
    keys = [each.key for each in oss2.ObjectIterator(made)]
    if keys:
        made.batch_delete_objects(keys)
    made.delete_bucket()


def test_buckets(service: OssService, bucket: oss2.Bucket) -> None:
    listed = oss2.Service(bucket.auth, service.url, region=REGION, session=service.session).list_buckets(
        prefix="bucket-"
    )
    assert [each.name for each in listed.buckets] == [bucket.bucket_name]
    info = bucket.get_bucket_info()
    assert (info.name, info.owner.id, info.acl.grant) == (bucket.bucket_name, str(OWN.owner), "private")
    assert bucket.get_bucket_location().location == "oss-local"
    assert bucket.get_bucket_acl().acl == "private"
    bucket.put_object("one", b"12345")
    found = bucket.get_bucket_stat()
    assert (found.object_count, found.storage_size_in_bytes) == (1, 5)
    with pytest.raises(oss2.exceptions.BucketNotEmpty):
        bucket.delete_bucket()
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        service.bucket("not-there").get_object("x")


@pytest.mark.parametrize("key", KEYS)
def test_put_get_head_delete(service: OssService, bucket: oss2.Bucket, key: str) -> None:
    put = bucket.put_object(key, b"hello", headers={"Content-Type": "text/x", "x-oss-meta-who": "me"})
    assert (put.etag, put.crc) == ("5D41402ABC4B2A76B9719D911017C592", 11177612005948864433)
    got = bucket.get_object(key)
    assert got.read() == b"hello"
    assert (got.content_type, got.headers["x-oss-meta-who"], got.object_type) == ("text/x", "me", "Normal")
    head = bucket.head_object(key)
    assert (head.etag, head.content_length, head.server_crc) == (put.etag, 5, put.crc)
    assert bucket.get_object_meta(key).content_length == 5
    assert [each.key for each in oss2.ObjectIterator(bucket)] == [key]
    assert [each.key for each in oss2.ObjectIteratorV2(bucket)] == [key]
    assert service.bucket(bucket.bucket_name).object_exists(key)
    bucket.delete_object(key)
    bucket.delete_object(key)  # no error
    assert not bucket.object_exists(key)
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object(key)


def test_ranges_and_conditions(bucket: oss2.Bucket) -> None:
    etag = bucket.put_object("digits", b"0123456789").etag
    assert bucket.get_object("digits", byte_range=(2, 4)).read() == b"234"
    assert bucket.get_object("digits", byte_range=(7, None)).read() == b"789"
    assert bucket.get_object("digits", byte_range=(None, 3)).read() == b"789"
    assert bucket.get_object("digits", byte_range=(5, 99)).read() == b"0123456789"  # as OSS does
    standard = {"x-oss-range-behavior": "standard"}
    assert bucket.get_object("digits", byte_range=(5, 99), headers=standard).read() == b"56789"
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidRange"):
        bucket.get_object("digits", byte_range=(10, 11), headers=standard)
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("digits", headers={"If-None-Match": f'"{etag}"'})
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.get_object("digits", headers={"If-Match": '"other"'})
    later = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("digits", headers=later)
    earlier = {"If-Unmodified-Since": "Fri, 01 Jan 2010 00:00:00 GMT"}
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.get_object("digits", headers=earlier)
    assert bucket.get_object("digits", headers={"If-Match": f'"{etag}"'}).read() == b"0123456789"
    shown = bucket.get_object("digits", params={"response-content-type": "text/shown"})
    assert (shown.content_type, shown.read()) == ("text/shown", b"0123456789")


def test_streams(bucket: oss2.Bucket, tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    bucket.put_object("stream", iter([content[:1000], content[1000:]]))  # chunked
    assert bucket.get_object("stream").read() == content
    (tmp_path / "file").write_bytes(content)
    bucket.put_object_from_file("file", str(tmp_path / "file"))
    bucket.get_object_to_file("file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == content
    bucket.put_object("empty", b"")
    assert bucket.get_object("empty").read() == b""


def test_overwriting_is_forbidden(bucket: oss2.Bucket) -> None:
    forbid = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("once", b"1", headers=forbid)
    calls: tuple[Callable[[], object], ...] = (
        lambda: bucket.put_object("once", b"2", headers=forbid),
        lambda: bucket.copy_object(bucket.bucket_name, "once", "once", headers=forbid),
        lambda: bucket.put_symlink("x", "once", headers=forbid),
    )
    for call in calls:
        with pytest.raises(oss2.exceptions.ServerError, match="FileAlreadyExists") as caught:
            call()
        assert caught.value.status == 409
    assert bucket.get_object("once").read() == b"1"


def test_append(bucket: oss2.Bucket) -> None:
    first = bucket.append_object("log", 0, b"one", headers={"x-oss-meta-a": "b"}, init_crc=0)
    second = bucket.append_object("log", first.next_position, b"two!", init_crc=first.crc)
    assert second.next_position == 7
    assert bucket.get_object("log").read() == b"onetwo!"
    head = bucket.head_object("log")
    assert (head.object_type, head.headers["x-oss-next-append-position"]) == ("Appendable", "7")
    assert head.headers["x-oss-meta-a"] == "b"
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength) as caught:
        bucket.append_object("log", 3, b"x")
    assert caught.value.next_position == 7
    bucket.put_object("normal", b"x")
    with pytest.raises(oss2.exceptions.ObjectNotAppendable):
        bucket.append_object("normal", 1, b"x")


def test_copy_and_metadata(bucket: oss2.Bucket) -> None:
    bucket.put_object("from é", b"copied", headers={"Content-Type": "text/a", "x-oss-meta-a": "1"})
    made = bucket.copy_object(bucket.bucket_name, "from é", "to/é")
    got = bucket.get_object("to/é")
    assert (got.read(), got.content_type, got.headers["x-oss-meta-a"]) == (b"copied", "text/a", "1")
    assert made.etag == got.etag
    bucket.update_object_meta("to/é", {"x-oss-meta-b": "2", "Content-Type": "text/b"})
    head = bucket.head_object("to/é")
    assert (head.content_type, head.headers.get("x-oss-meta-a"), head.headers["x-oss-meta-b"]) == ("text/b", None, "2")
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.copy_object(bucket.bucket_name, "to/é", "z", headers={"x-oss-copy-source-if-match": "other"})
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object(bucket.bucket_name, "nothing", "z")


def test_lists(bucket: oss2.Bucket) -> None:
    keys = sorted(["a", "a/b", "a/c/d", "a/c/e", "b//x", "é/1", "é/2", "zz"])
    for key in keys:
        bucket.put_object(key, b"")
    assert [each.key for each in oss2.ObjectIterator(bucket, max_keys=2)] == keys
    assert [each.key for each in oss2.ObjectIteratorV2(bucket, max_keys=2)] == keys
    for iterator in (oss2.ObjectIterator, oss2.ObjectIteratorV2):
        found = [(each.key, each.is_prefix()) for each in iterator(bucket, delimiter="/", max_keys=1)]
        assert sorted(found) == [("a", False), ("a/", True), ("b/", True), ("zz", False), ("é/", True)]
    below = bucket.list_objects(prefix="a/", delimiter="/")
    assert ([each.key for each in below.object_list], below.prefix_list) == (["a/b"], ["a/c/"])
    assert [each.key for each in bucket.list_objects(marker="a/c/d").object_list] == keys[3:]
    assert [each.key for each in bucket.list_objects_v2(start_after="b").object_list] == keys[4:]
    assert [each.owner.id for each in bucket.list_objects_v2(fetch_owner=True, max_keys=1).object_list] == ["1000"]
    assert bucket.list_objects(delimiter="/c/").prefix_list == ["a/c/"]
    deleted = bucket.batch_delete_objects([*keys, "absent"]).deleted_keys
    assert deleted == [*keys, "absent"]
    assert bucket.list_objects().object_list == []


def test_multipart(bucket: oss2.Bucket) -> None:
    content = os.urandom(250 << 10)
    upload = bucket.init_multipart_upload("mp/é", headers={"Content-Type": "text/m"}).upload_id
    parts = []
    for number in (1, 2, 3):
        piece = content[(number - 1) * 100 << 10 : number * 100 << 10]
        done = bucket.upload_part("mp/é", upload, number, io.BytesIO(piece))
        parts.append(oss2.models.PartInfo(number, done.etag, size=len(piece), part_crc=done.crc))
    listed = bucket.list_parts("mp/é", upload, max_parts=2)
    assert ([each.part_number for each in listed.parts], listed.is_truncated) == ([1, 2], True)
    assert [each.upload_id for each in oss2.MultipartUploadIterator(bucket)] == [upload]
    assert not bucket.object_exists("mp/é")
    made = bucket.complete_multipart_upload("mp/é", upload, parts)
    assert made.etag.endswith("-3")
    got = bucket.get_object("mp/é")  # it compares the CRC
    assert (got.read(), got.content_type, got.object_type) == (content, "text/m", "Multipart")
    assert list(oss2.MultipartUploadIterator(bucket)) == []
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.complete_multipart_upload("mp/é", upload, parts)


def test_part_copy_and_abort(bucket: oss2.Bucket) -> None:
    content = os.urandom(200 << 10)
    bucket.put_object("source é", content)
    upload = bucket.init_multipart_upload("copy").upload_id
    half = 100 << 10
    etags = [
        bucket.upload_part_copy(
            bucket.bucket_name, "source é", (n * half, (n + 1) * half - 1), "copy", upload, n + 1
        ).etag
        for n in (0, 1)
    ]
    infos = [oss2.models.PartInfo(number, etag) for number, etag in enumerate(etags, start=1)]
    bucket.complete_multipart_upload("copy", upload, infos)
    assert bucket.get_object("copy").read() == content
    gone = bucket.init_multipart_upload("gone").upload_id
    bucket.upload_part("gone", gone, 1, b"x")
    bucket.abort_multipart_upload("gone", gone)
    with pytest.raises(oss2.exceptions.NoSuchUpload):
        bucket.upload_part("gone", gone, 2, b"x")


def test_resumable(bucket: oss2.Bucket, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    (tmp_path / "file").write_bytes(content)
    store = oss2.ResumableStore(root=str(tmp_path))
    name, options = str(tmp_path / "file"), {"store": store, "multipart_threshold": 1000, "part_size": 300 << 10}
    oss2.resumable_upload(bucket, "resumed", name, num_threads=2, **options)
    down = oss2.ResumableDownloadStore(root=str(tmp_path))
    oss2.resumable_download(
        bucket, "resumed", str(tmp_path / "got"), store=down, multiget_threshold=1000, num_threads=2
    )
    assert (tmp_path / "got").read_bytes() == content


@pytest.mark.parametrize(("link", "target"), [("link", "dir/target"), ("in/link", "odd//é"), ("x//y", "dir/target")])
def test_symlinks(bucket: oss2.Bucket, link: str, target: str) -> None:
    bucket.put_object(target, b"behind", headers={"Content-Type": "text/t"})
    bucket.put_symlink(target, link, headers={"x-oss-meta-of": "link"})
    assert bucket.get_symlink(link).target_key == target
    got = bucket.get_object(link)
    assert (got.read(), got.headers["x-oss-object-type"], got.content_type) == (b"behind", "Symlink", "text/t")
    bucket.delete_object(target)
    with pytest.raises(oss2.exceptions.ServerError, match="SymlinkTargetNotExist"):
        bucket.get_object(link)
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidTargetType"):
        bucket.put_symlink(link, "second")


def test_tags(bucket: oss2.Bucket) -> None:
    bucket.put_object("tagged", b"", headers={"x-oss-tagging": "a=1&b=%C3%A9"})
    assert bucket.get_object_tagging("tagged").tag_set.tagging_rule == {"a": "1", "b": "é"}
    rule = oss2.models.TaggingRule()
    rule.add("c", "3")
    bucket.put_object_tagging("tagged", oss2.models.Tagging(rule))
    assert bucket.get_object_tagging("tagged").tag_set.tagging_rule == {"c": "3"}
    assert bucket.head_object("tagged").headers["x-oss-tagging-count"] == "1"
    bucket.delete_object_tagging("tagged")
    assert bucket.get_object_tagging("tagged").tag_set.tagging_rule == {}


def test_urls(bucket: oss2.Bucket) -> None:
    url = bucket.sign_url("PUT", "by url/é", 60, slash_safe=True)
    assert requests.put(url, data=b"sent", timeout=20).status_code == 200
    url = bucket.sign_url("GET", "by url/é", 60, slash_safe=False)
    assert requests.get(url, timeout=20).content == b"sent"
    assert requests.get(url, timeout=20).status_code == 200  # again, within its time
    assert requests.delete(url, timeout=20).status_code == 403


def test_what_is_refused(bucket: oss2.Bucket) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: bucket.put_bucket_acl("public-read"),
        lambda: bucket.put_object("x", b"", headers={"x-oss-object-acl": "public-read"}),
        lambda: bucket.put_object("x", b"", headers={"x-oss-server-side-encryption": "AES256"}),
        lambda: bucket.get_bucket_lifecycle(),
        lambda: bucket.get_object("x", process="image/resize,w_10"),
        lambda: bucket.restore_object("x"),
        lambda: bucket.list_object_versions(),
        lambda: bucket.put_bucket_versioning(oss2.models.BucketVersioningConfig("Enabled")),
    )
    for call in calls:
        with pytest.raises(oss2.exceptions.NotImplemented):
            call()
    assert bucket.list_objects().object_list == []


def test_the_sum_of_a_file_that_a_program_wrote(service: OssService, bucket: oss2.Bucket) -> None:
    content = os.urandom((3 << 20) + 7)
    expected = oss2.utils.Crc64()
    expected.update(content)
    path = service.store.root / bucket.bucket_name / "file"
    for age in (0, 60):  # of a new file the sum is answered and not kept
        path.write_bytes(content)
        os.utime(path, (path.stat().st_mtime - age,) * 2)
        assert bucket.head_object("file").server_crc is None
        asked = bucket.head_object("file", headers={"x-oss-checksum-mode": "ENABLED"})
        assert (asked.server_crc, asked.content_length) == (expected.crc, len(content))
        assert bucket.head_object("file").server_crc == (expected.crc if age else None)
    got = bucket.get_object("file")
    assert (got.read(), got.server_crc) == (content, expected.crc)
    path.write_bytes(b"other")
    assert bucket.head_object("file").server_crc is None
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.head_object("file", headers={"x-oss-checksum-mode": "maybe"})
    assert caught.value.status == 400
    with pytest.raises(oss2.exceptions.NotFound):
        bucket.head_object("nothing", headers={"x-oss-checksum-mode": "ENABLED"})


def test_a_service_that_sums_up_is_not_idle(
    service: OssService, bucket: oss2.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    (service.store.root / bucket.bucket_name / "file").write_bytes(b"hello")
    reads, goes_on, read = threading.Event(), threading.Event(), Content.read

    def slow(content: Content, size: int, offset: int) -> bytes:
        reads.set()
        goes_on.wait(60)
        return read(content, size, offset)

    monkeypatch.setattr(Content, "read", slow)
    found: list[int] = []
    headers = {"x-oss-checksum-mode": "ENABLED"}
    asks = threading.Thread(target=lambda: found.append(bucket.head_object("file", headers=headers).server_crc))
    asks.start()
    try:
        assert reads.wait(20)
        before = service.front.last_request
        wait_for(lambda: service.front.last_request > before, "the endpoint to be busy")
    finally:
        goes_on.set()
        asks.join(20)
    assert found == [11177612005948864433]
