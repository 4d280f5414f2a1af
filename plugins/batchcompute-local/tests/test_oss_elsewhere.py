"""The endpoint before a bucket elsewhere, driven by the official clients; and which bucket is whose."""

from __future__ import annotations

import gc
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import alibabacloud_oss_v2 as v2
import oss2
import pytest
from batchcompute_local.objects.buckets import find_owner, give_bucket, list_buckets

from tests.support.elsewhere import Elsewhere
from tests.support.oss import ANN, OWN, REGION, OssService

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # oss2 leaves sockets open


@pytest.fixture
def service(far: Elsewhere, tmp_path: Path) -> Iterator[OssService]:
    made = OssService(tmp_path / "data/oss", buckets={"far": far.bucket})
    yield made
    made.close()
    gc.collect()


@pytest.fixture
def bucket(service: OssService) -> oss2.Bucket:
    return service.bucket("far")


def test_put_get_head_and_delete(bucket: oss2.Bucket, far: Elsewhere) -> None:
    put = bucket.put_object("folder/result", b"0123456789")
    assert far.read("folder/result") == b"0123456789"
    assert bucket.get_object("folder/result").read() == b"0123456789"
    assert bucket.get_object("folder/result", byte_range=(2, 4)).read() == b"234"
    head = bucket.head_object("folder/result")
    assert (head.content_length, head.etag) == (10, put.etag)
    assert bucket.object_exists("folder/result")
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("folder/result", headers={"If-None-Match": head.etag})
    far.write("by-another", b"program")
    assert bucket.get_object("by-another").read() == b"program"
    bucket.delete_object("folder/result")
    bucket.batch_delete_objects(["by-another", "absent"])
    assert far.stored() == []
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("folder/result")


def test_a_sum_is_computed_and_not_kept(bucket: oss2.Bucket, far: Elsewhere) -> None:
    far.write("by-another", b"hello")
    for _ in range(2):
        assert bucket.head_object("by-another").server_crc is None
        asked = bucket.head_object("by-another", headers={"x-oss-checksum-mode": "ENABLED"})
        assert (asked.server_crc, asked.content_length) == (11177612005948864433, 5)


def test_a_large_object(bucket: oss2.Bucket, far: Elsewhere, service: OssService) -> None:
    content = os.urandom(1 << 20) * 12 + b"end"
    bucket.put_object("large", content)
    assert far.read("large") == content
    assert hashlib.md5(bucket.get_object("large").read()).digest() == hashlib.md5(content).digest()
    assert bucket.get_object("large", byte_range=(8 << 20, (8 << 20) + 5)).read() == content[8 << 20 : (8 << 20) + 6]
    assert os.listdir(service.store.own / "parts") == [], "nothing stays on this machine"


def test_listings(bucket: oss2.Bucket, far: Elsewhere) -> None:
    keys = ["a", "a-", "b/1", "b/2", "b/c/3", "d"]
    for key in keys:
        far.write(key, b"x")
    assert [each.key for each in oss2.ObjectIterator(bucket, max_keys=2)] == keys
    assert [each.key for each in oss2.ObjectIteratorV2(bucket, prefix="b/", max_keys=1)] == ["b/1", "b/2", "b/c/3"]
    page = bucket.list_objects(delimiter="/")
    assert ([each.key for each in page.object_list], page.prefix_list) == (["a", "a-", "d"], ["b/"])
    assert bucket.get_bucket_stat().object_count == len(keys)


def test_multipart_and_copies(bucket: oss2.Bucket, service: OssService, far: Elsewhere) -> None:
    near = service.bucket("near")
    near.create_bucket()
    content = os.urandom(300 << 10)
    upload = bucket.init_multipart_upload("parts").upload_id
    parts = []
    for number, begin in enumerate(range(0, len(content), 100 << 10), 1):
        made = bucket.upload_part("parts", upload, number, content[begin : begin + (100 << 10)])
        parts.append(oss2.models.PartInfo(number, made.etag))
    assert far.stored() == []
    bucket.complete_multipart_upload("parts", upload, parts)
    assert far.read("parts") == content
    near.copy_object("far", "parts", "copy")
    assert near.get_object("copy").read() == content
    bucket.copy_object("near", "copy", "back")
    assert far.read("back") == content
    bucket.copy_object("far", "back", "again")
    assert far.read("again") == content
    upload = near.init_multipart_upload("of-parts").upload_id
    one = near.upload_part_copy("far", "parts", (0, (100 << 10) - 1), "of-parts", upload, 1)
    near.complete_multipart_upload("of-parts", upload, [oss2.models.PartInfo(1, one.etag)])
    assert near.get_object("of-parts").read() == content[: 100 << 10]


def test_the_other_client(service: OssService, far: Elsewhere) -> None:
    client = service.client()
    client.put_object(v2.PutObjectRequest(bucket="far", key="k", body=b"by v2"))
    assert far.read("k") == b"by v2"
    with client.get_object(v2.GetObjectRequest(bucket="far", key="k")).body as body:
        assert body.content == b"by v2"
    uploader = client.uploader(part_size=1 << 20, parallel_num=1)
    uploader.upload_from(v2.PutObjectRequest(bucket="far", key="up"), io.BytesIO(b"y" * (3 << 20)))
    assert far.read("up") == b"y" * (3 << 20)
    pages = client.list_objects_v2_paginator().iter_page(v2.ListObjectsV2Request(bucket="far"))
    assert [one.key for page in pages for one in page.contents] == ["k", "up"]


def test_what_is_refused_is_said_and_changes_nothing(bucket: oss2.Bucket, far: Elsewhere) -> None:
    far.write("k", b"old")
    tagging = oss2.models.Tagging(oss2.models.TaggingRule())
    tagging.tag_set.add("a", "b")
    refused = {
        "an append": lambda: bucket.append_object("new", 0, b"x"),
        "a symlink": lambda: bucket.put_symlink("k", "link"),
        "x-oss-forbid-overwrite": lambda: bucket.put_object("k", b"x", headers={"x-oss-forbid-overwrite": "true"}),
        "the header x-oss-meta-one": lambda: bucket.put_object("k", b"x", headers={"x-oss-meta-one": "1"}),
        "the header cache-control": lambda: bucket.init_multipart_upload("k", headers={"Cache-Control": "no-store"}),
        "tags": lambda: bucket.put_object("k", b"x", headers={"x-oss-tagging": "a=b"}),
        "a change of metadata or tags": lambda: bucket.put_object_tagging("k", tagging),
        "a key with an empty part": lambda: bucket.put_object("a//b", b"x"),
        "the deletion of the bucket": bucket.delete_bucket,
    }
    for what, call in refused.items():
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            call()
        assert (caught.value.status, caught.value.code) == (400, "NotImplemented"), what
        assert what in caught.value.message
    with pytest.raises(oss2.exceptions.ServerError, match="a change of metadata"):
        bucket.update_object_meta("k", {"x-oss-meta-one": "1"})
    assert (far.stored(), far.read("k")) == (["k"], b"old")


def test_it_belongs_to_the_own_account_until_it_is_given(service: OssService, bucket: oss2.Bucket) -> None:
    other = service.bucket("far", ANN)
    for call in (lambda: other.put_object("k", b"x"), lambda: list(oss2.ObjectIterator(other))):
        with pytest.raises(oss2.exceptions.AccessDenied):
            call()
    with pytest.raises(oss2.exceptions.ServerError, match="BucketAlreadyExists"):
        other.create_bucket()
    near = service.bucket("near", ANN)
    near.create_bucket()
    with pytest.raises(oss2.exceptions.AccessDenied):
        near.copy_object("far", "k", "stolen")
    assert find_owner(service.store, "far", ANN.owner) == OWN.owner
    listed = oss2.Service(bucket.auth, service.url, region=REGION, session=service.session).list_buckets()
    assert [each.name for each in listed.buckets] == ["far"]
    give_bucket(service.store, "far", ANN.owner)
    other.put_object("k", b"mine")
    with pytest.raises(oss2.exceptions.AccessDenied):
        bucket.get_object("k")
    assert {each.name: each.owner for each in list_buckets(service.store)} == {"far": ANN.owner, "near": ANN.owner}


def test_a_store_that_is_away_is_no_missing_object(tmp_path: Path) -> None:
    from batchcompute_local.objects.elsewhere import BucketElsewhere

    folder = tmp_path / "not-mounted"
    service = OssService(tmp_path / "data/oss", buckets={"far": BucketElsewhere("far", f"file://{folder}")})
    try:
        with pytest.raises(oss2.exceptions.ServerError, match="is it mounted") as caught:
            service.bucket("far").put_object("k", b"x")
        assert (caught.value.status, caught.value.code) == (503, "ServiceUnavailable")
        assert not folder.exists()
    finally:
        service.close()
        gc.collect()
