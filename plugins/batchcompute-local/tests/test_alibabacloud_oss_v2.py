"""The endpoint, driven by alibabacloud-oss-v2, the second of the official clients, with both signatures."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pytest
import requests

from tests.support.oss import ANN, OssService

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves sockets open

BUCKET = "bucket-two"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OssService]:
    made = OssService(tmp_path_factory.mktemp("data") / "oss")
    yield made
    made.close()
    gc.collect()


@pytest.fixture(scope="module", params=["v1", "v4"])
def client(service: OssService, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client, and an empty bucket."""
    made = service.client(version=request.param)
    made.put_bucket(oss.PutBucketRequest(bucket=BUCKET))
    yield made
    keys = [
        each.key
        for page in made.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=BUCKET))
        for each in page.contents or []
    ]
    for key in keys:
        made.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key=key))
    made.delete_bucket(oss.DeleteBucketRequest(bucket=BUCKET))


def code_of(call: Any) -> tuple[int, str]:
    """Status and Code of the error of a call."""
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call()
    error = caught.value.unwrap()
    return error.status_code, error.code


def test_buckets(client: Any) -> None:
    listed = client.list_buckets(oss.ListBucketsRequest())
    assert [each.name for each in listed.buckets] == [BUCKET]
    assert client.get_bucket_info(oss.GetBucketInfoRequest(bucket=BUCKET)).bucket_info.name == BUCKET
    assert client.get_bucket_location(oss.GetBucketLocationRequest(bucket=BUCKET)).location == "oss-local"
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket=BUCKET)).acl == "private"
    assert client.get_bucket_stat(oss.GetBucketStatRequest(bucket=BUCKET)).object_count is not None
    assert client.is_bucket_exist(BUCKET)
    assert not client.is_bucket_exist("not-there")


@pytest.mark.parametrize("key", ["plain", "a b/é+%2F.txt", "a//b", "end/", "x" * 300])
def test_put_get_head_delete(client: Any, key: str) -> None:
    put = client.put_object(
        oss.PutObjectRequest(bucket=BUCKET, key=key, body=b"hello", content_type="text/x", metadata={"who": "me"})
    )
    assert put.hash_crc64 == "11177612005948864433"
    got = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key))
    assert (got.body.content, got.content_type, got.metadata["who"]) == (b"hello", "text/x", "me")
    part = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key, range_header="bytes=1-2"))
    assert (part.body.content, part.content_range) == (b"el", "bytes 1-2/5")
    head = client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key=key))
    assert (head.etag, head.content_length, head.object_type) == (put.etag, 5, "Normal")
    assert client.get_object_meta(oss.GetObjectMetaRequest(bucket=BUCKET, key=key)).content_length == 5
    assert client.is_object_exist(BUCKET, key)
    client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key=key))
    assert not client.is_object_exist(BUCKET, key)
    assert code_of(lambda: client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key=key))) == (404, "NoSuchKey")


def test_overwriting_is_forbidden(client: Any) -> None:
    request = oss.PutObjectRequest(bucket=BUCKET, key="once", body=b"1", forbid_overwrite=True)
    client.put_object(request)
    assert code_of(lambda: client.put_object(request)) == (409, "FileAlreadyExists")


def test_append_copy_symlink_tags(client: Any) -> None:
    first = client.append_object(oss.AppendObjectRequest(bucket=BUCKET, key="log", position=0, body=b"one"))
    client.append_object(oss.AppendObjectRequest(bucket=BUCKET, key="log", position=first.next_position, body=b"two"))
    client.copy_object(oss.CopyObjectRequest(bucket=BUCKET, key="copy", source_key="log"))
    assert client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="copy")).body.content == b"onetwo"
    client.put_symlink(oss.PutSymlinkRequest(bucket=BUCKET, key="link", symlink_target="copy"))
    assert client.get_symlink(oss.GetSymlinkRequest(bucket=BUCKET, key="link")).target == "copy"
    assert client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="link")).body.content == b"onetwo"
    tags = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="k", value="v")]))
    client.put_object_tagging(oss.PutObjectTaggingRequest(bucket=BUCKET, key="log", tagging=tags))
    found = client.get_object_tagging(oss.GetObjectTaggingRequest(bucket=BUCKET, key="log"))
    assert [(tag.key, tag.value) for tag in found.tag_set.tags] == [("k", "v")]
    client.delete_object_tagging(oss.DeleteObjectTaggingRequest(bucket=BUCKET, key="log"))
    assert client.get_object_acl(oss.GetObjectAclRequest(bucket=BUCKET, key="log")).acl == "default"
    late = oss.AppendObjectRequest(bucket=BUCKET, key="log", position=1, body=b"x")
    assert code_of(lambda: client.append_object(late)) == (409, "PositionNotEqualToLength")


def test_lists_and_batch_delete(client: Any) -> None:
    keys = sorted(["l/a", "l/b//x", "l/é/1", "l/é/2"])
    for key in keys:
        client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=key, body=b""))
    first = client.list_objects_paginator(limit=1).iter_page(oss.ListObjectsRequest(bucket=BUCKET, prefix="l/"))
    assert [each.key for page in first for each in page.contents or []] == keys
    second = client.list_objects_v2_paginator(limit=1).iter_page(
        oss.ListObjectsV2Request(bucket=BUCKET, prefix="l/", delimiter="/")
    )
    pages = list(second)
    assert [each.key for page in pages for each in page.contents or []] == ["l/a"]
    assert [each.prefix for page in pages for each in page.common_prefixes or []] == ["l/b/", "l/é/"]
    named = [oss.DeleteObject(key=key) for key in keys]
    done = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=BUCKET, objects=named))
    assert [each.key for each in done.deleted_objects] == keys


def test_multipart(client: Any) -> None:
    content = os.urandom(250 << 10)
    upload = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=BUCKET, key="mp/é")).upload_id
    for number in (1, 2):
        piece = content[(number - 1) * 102400 : number * 102400]
        client.upload_part(
            oss.UploadPartRequest(bucket=BUCKET, key="mp/é", upload_id=upload, part_number=number, body=piece)
        )
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="source", body=content))
    client.upload_part_copy(
        oss.UploadPartCopyRequest(
            bucket=BUCKET,
            key="mp/é",
            upload_id=upload,
            part_number=3,
            source_key="source",
            source_range=f"bytes=204800-{len(content) - 1}",
        )
    )
    parts = client.list_parts(oss.ListPartsRequest(bucket=BUCKET, key="mp/é", upload_id=upload))
    assert [each.part_number for each in parts.parts] == [1, 2, 3]
    uploads = client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket=BUCKET))
    assert [(each.key, each.upload_id) for each in uploads.uploads] == [("mp/é", upload)]
    client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(bucket=BUCKET, key="mp/é", upload_id=upload, complete_all="yes")
    )
    assert client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="mp/é")).body.content == content
    gone = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=BUCKET, key="gone")).upload_id
    abort = oss.AbortMultipartUploadRequest(bucket=BUCKET, key="gone", upload_id=gone)
    client.abort_multipart_upload(abort)
    assert code_of(lambda: client.abort_multipart_upload(abort)) == (404, "NoSuchUpload")


def test_its_uploader_and_downloader(client: Any, tmp_path: Path) -> None:
    content = os.urandom(1 << 20)
    uploader = client.uploader(part_size=300 << 10, parallel_num=2)
    uploader.upload_from(oss.PutObjectRequest(bucket=BUCKET, key="large"), reader=io.BytesIO(content))
    downloader = client.downloader(part_size=300 << 10, parallel_num=2)
    downloader.download_file(oss.GetObjectRequest(bucket=BUCKET, key="large"), filepath=str(tmp_path / "large"))
    assert (tmp_path / "large").read_bytes() == content


def test_urls(client: Any) -> None:
    put = client.presign(oss.PutObjectRequest(bucket=BUCKET, key="by url"), expires=timedelta(seconds=60))
    assert requests.put(put.url, data=b"sent", headers=put.signed_headers, timeout=20).status_code == 200
    got = client.presign(oss.GetObjectRequest(bucket=BUCKET, key="by url"), expires=timedelta(seconds=60))
    assert requests.get(got.url, headers=got.signed_headers, timeout=20).content == b"sent"


def test_the_bucket_of_another_account(service: OssService, client: Any) -> None:
    ann = service.client(ANN)
    assert code_of(lambda: ann.put_object(oss.PutObjectRequest(bucket=BUCKET, key="x", body=b""))) == (
        403,
        "AccessDenied",
    )
    assert code_of(lambda: ann.put_bucket(oss.PutBucketRequest(bucket=BUCKET))) == (409, "BucketAlreadyExists")
    assert ann.list_buckets(oss.ListBucketsRequest()).buckets is None


def test_what_is_refused(client: Any) -> None:
    request = oss.PutObjectRequest(bucket=BUCKET, key="x", body=b"", server_side_encryption="AES256")
    assert code_of(lambda: client.put_object(request)) == (400, "NotImplemented")
    assert code_of(lambda: client.get_bucket_lifecycle(oss.GetBucketLifecycleRequest(bucket=BUCKET))) == (
        400,
        "NotImplemented",
    )


def test_the_sum_of_a_file_that_a_program_wrote(service: OssService, client: Any) -> None:
    path = service.store.root / BUCKET / "file"
    path.write_bytes(b"hello")
    request = oss.HeadObjectRequest(bucket=BUCKET, key="file", headers={"x-oss-checksum-mode": "ENABLED"})
    assert client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key="file")).hash_crc64 is None
    assert client.head_object(request).hash_crc64 == "11177612005948864433"
