"""The operations of the endpoint as a table; a test compares it with docs/objects.md."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchcompute_local.oss import bucket_calls, multipart_calls, object_calls
from batchcompute_local.oss.calls import Answer, Call
from batchcompute_local.oss.errors import OssError, not_implemented
from batchcompute_local.oss.signatures import SUBRESOURCES, Signed

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


@dataclass(frozen=True)
class Operation:
    """An operation: on what, by which method, with which parameters and header. The first that fits counts."""

    name: str
    on: str
    method: str
    run: Callable[[Call], Awaitable[Answer]]
    parameters: tuple[str, ...] = ()
    header: str = ""


OPERATIONS = (
    Operation("ListBuckets", SERVICE, "GET", bucket_calls.list_all),
    Operation("GetBucketAcl", BUCKET, "GET", bucket_calls.get_acl, ("acl",)),
    Operation("GetBucketInfo", BUCKET, "GET", bucket_calls.get_info, ("bucketInfo",)),
    Operation("GetBucketLocation", BUCKET, "GET", bucket_calls.get_location, ("location",)),
    Operation("GetBucketStat", BUCKET, "GET", bucket_calls.get_stat, ("stat",)),
    Operation("ListMultipartUploads", BUCKET, "GET", multipart_calls.list_uploads, ("uploads",)),
    Operation("ListObjects, ListObjectsV2", BUCKET, "GET", bucket_calls.list_objects),
    Operation("PutBucketAcl", BUCKET, "PUT", bucket_calls.put_acl, ("acl",)),
    Operation("PutBucket", BUCKET, "PUT", bucket_calls.put_bucket),
    Operation("DeleteBucket", BUCKET, "DELETE", bucket_calls.remove_bucket),
    Operation("DeleteMultipleObjects", BUCKET, "POST", bucket_calls.delete_objects, ("delete",)),
    Operation("GetObjectAcl", OBJECT, "GET", bucket_calls.get_acl, ("acl",)),
    Operation("GetObjectTagging", OBJECT, "GET", object_calls.get_tagging, ("tagging",)),
    Operation("GetSymlink", OBJECT, "GET", object_calls.get_symlink, ("symlink",)),
    Operation("ListParts", OBJECT, "GET", multipart_calls.list_parts, ("uploadId",)),
    Operation("GetObjectMeta", OBJECT, "GET", object_calls.get_object_meta, ("objectMeta",)),
    Operation("GetObject", OBJECT, "GET", object_calls.get_object),
    Operation("GetObjectMeta", OBJECT, "HEAD", object_calls.get_object_meta, ("objectMeta",)),
    Operation("HeadObject", OBJECT, "HEAD", object_calls.head_object),
    Operation(
        "UploadPartCopy", OBJECT, "PUT", multipart_calls.copy_part, ("uploadId", "partNumber"), "x-oss-copy-source"
    ),
    Operation("UploadPart", OBJECT, "PUT", multipart_calls.upload_part, ("uploadId", "partNumber")),
    Operation("PutObjectAcl", OBJECT, "PUT", bucket_calls.put_acl, ("acl",)),
    Operation("PutObjectTagging", OBJECT, "PUT", object_calls.put_tagging, ("tagging",)),
    Operation("PutSymlink", OBJECT, "PUT", object_calls.put_symlink, ("symlink",)),
    Operation("CopyObject", OBJECT, "PUT", object_calls.copy_object, (), "x-oss-copy-source"),
    Operation("PutObject", OBJECT, "PUT", object_calls.put_object),
    Operation("AppendObject", OBJECT, "POST", object_calls.append_object, ("append", "position")),
    Operation("InitiateMultipartUpload", OBJECT, "POST", multipart_calls.start_upload, ("uploads",)),
    Operation("CompleteMultipartUpload", OBJECT, "POST", multipart_calls.complete_upload, ("uploadId",)),
    Operation("AbortMultipartUpload", OBJECT, "DELETE", multipart_calls.abort_upload, ("uploadId",)),
    Operation("DeleteObjectTagging", OBJECT, "DELETE", object_calls.delete_tagging, ("tagging",)),
    Operation("DeleteObject", OBJECT, "DELETE", object_calls.delete_object),
)

_ANYWHERE = frozenset(
    {name for name in SUBRESOURCES if name.startswith("response-")}
    | {"x-oss-traffic-limit", "x-oss-request-payer", "continuation-token", "sequential", "security-token"}
)
"""Signed parameters that choose no operation."""


def find_operation(signed: Signed) -> Operation:
    """Return the operation of a request. Raises OssError for one that there is not: it must not be taken for another."""
    on = OBJECT if signed.key else BUCKET if signed.bucket else SERVICE
    named = (signed.parameters.keys() & SUBRESOURCES) - _ANYWHERE
    if signed.parameters.get("versionId") == "null":
        named -= {"versionId"}
    methods = set()
    for each in OPERATIONS:
        if each.on != on:
            continue
        methods.add(each.method)
        if each.method != signed.method or (each.header and each.header not in signed.headers):
            continue
        if named == set(each.parameters):
            return each
    if signed.method not in methods:
        text = f"The method {signed.method[:20]} is not allowed here."
        raise OssError("MethodNotAllowed", text, {"Method": signed.method[:20]})
    what = f" with {', '.join(sorted(named))}" if named else ""
    raise not_implemented(f"{signed.method} of a {on}{what}")
