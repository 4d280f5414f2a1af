"""A large object in parts, so that a part that failed is all that is sent again."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, BinaryIO

import alibabacloud_oss_v2 as oss
from alibabacloud_oss_v2.crc import Crc64

from batchcompute.errors import BatchComputeError, NotFoundError
from batchcompute_oss.calls import Calls
from batchcompute_oss.library import damaged

_PART = 16 << 20
_MOST_PARTS = 10_000


def put_parts(client: Any, calls: Calls, uri: str, where: tuple[str, str], file: BinaryIO, size: int) -> None:
    """Put `size` bytes of `file` from its begin on; `where`: bucket and key. One part is in memory. Raises as `Calls.do` does."""
    bucket, key = where
    begun = oss.InitiateMultipartUploadRequest(bucket=bucket, key=key)
    upload = calls.do("initiate_multipart_upload", uri, lambda: client.initiate_multipart_upload(begun)).upload_id
    named = {"bucket": bucket, "key": key, "upload_id": upload}
    try:
        whole = Crc64(0)
        parts = []
        file.seek(0)
        length = max(_PART, -(-size // _MOST_PARTS))
        for number, begin in enumerate(range(0, size, length), start=1):
            data = file.read(min(length, size - begin))
            whole.update(data)
            part = oss.UploadPartRequest(part_number=number, body=data, **named)
            done = calls.do("upload_part", uri, lambda part=part: client.upload_part(part), len(data))  # type: ignore[misc]  # a default binds it
            parts.append(oss.UploadPart(part_number=number, etag=done.etag))
        _complete(client, calls, uri, named, parts, str(whole.sum64()))
    except BaseException:
        with suppress(BatchComputeError, FileNotFoundError):
            abort = oss.AbortMultipartUploadRequest(**named)
            calls.do("abort_multipart_upload", uri, lambda: client.abort_multipart_upload(abort))
        raise


def _complete(client: Any, calls: Calls, uri: str, named: dict[str, str], parts: list[Any], crc64: str) -> None:
    """Make the object of its parts. An upload that is gone was completed if the object is there: the answer was lost."""
    body = oss.CompleteMultipartUpload(parts=parts)
    request = oss.CompleteMultipartUploadRequest(complete_multipart_upload=body, **named)
    try:
        found = calls.do("complete_multipart_upload", uri, lambda: client.complete_multipart_upload(request)).hash_crc64
    except NotFoundError as error:
        if error.attempts < 2:
            raise
        head = oss.HeadObjectRequest(bucket=named["bucket"], key=named["key"])
        found = calls.do("head_object", uri, lambda: client.head_object(head)).hash_crc64
        if found != crc64:
            raise
    if found not in (None, crc64):
        raise damaged(uri)
