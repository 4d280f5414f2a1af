"""Operations on buckets, and those that name many objects at once."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from batchcompute_local.objects.buckets import (
    Bucket,
    NotEmptyError,
    create_bucket,
    delete_bucket,
    list_buckets,
)
from batchcompute_local.objects.listing import Page, list_page, measure
from batchcompute_local.objects.names import check_key, is_bucket, is_new_bucket
from batchcompute_local.objects.records import Object
from batchcompute_local.oss.calls import Answer, Call, iso_date
from batchcompute_local.oss.errors import OssError, invalid, not_implemented
from batchcompute_local.oss.xml import document, element, is_legal, malformed, parse

LOCATION = "oss-local"
_MOST_KEYS = 1000
_MOST_BUCKETS = 100


async def list_all(call: Call) -> Answer:
    """ListBuckets: those of the account."""
    prefix, marker = call.parameters.get("prefix", ""), call.parameters.get("marker", "")
    limit = call.number("max-keys", _MOST_BUCKETS, 1, 1000)
    owner = call.account.owner
    own = [
        each
        for each in await call.run(list_buckets, call.store)
        if each.owner == owner and each.name.startswith(prefix) and each.name > marker
    ]
    shown, more = own[:limit], len(own) > limit
    parts = [
        element("Prefix", prefix),
        element("Marker", marker),
        element("MaxKeys", limit),
        element("IsTruncated", more),
        *([element("NextMarker", shown[-1].name)] if more else []),
        _owner(owner),
        element("Buckets", [element("Bucket", _describe(call, each)) for each in shown]),
    ]
    return Answer(body=document("ListAllMyBucketsResult", parts))


def _owner(owner: int) -> str:
    return element("Owner", [element("ID", owner), element("DisplayName", owner)])


def _describe(call: Call, bucket: Bucket) -> list[str]:
    return [
        element("Name", bucket.name),
        element("CreationDate", iso_date(bucket.created)),
        element("Location", LOCATION),
        element("Region", "local"),
        element("ExtranetEndpoint", call.host),
        element("IntranetEndpoint", call.host),
        element("StorageClass", "Standard"),
    ]


async def put_bucket(call: Call) -> Answer:
    """PutBucket. Nothing happens to one that the account has."""
    if call.headers.get("x-oss-acl", "private") != "private":
        raise not_implemented(f"the ACL {call.headers['x-oss-acl'][:40]!r}: all is private")
    await call.body.read_small()  # its storage class makes no difference here
    if not is_new_bucket(call.bucket):
        known = is_bucket(call.bucket) and any(
            each.name == call.bucket for each in await call.run(list_buckets, call.store)
        )
        if not known:
            allowed = "3 to 63 lower case letters, digits and hyphens, first and last no hyphen"
            text = f"{call.bucket[:80]!r} is not a bucket name: {allowed}."
            raise OssError("InvalidBucketName", text, {"BucketName": call.bucket[:80]})
    made = await call.run(create_bucket, call.store, call.bucket, call.account.owner)
    if made.owner != call.account.owner:
        text = "The requested bucket name is not available: another account has it."
        raise OssError("BucketAlreadyExists", text, {"BucketName": call.bucket})
    return Answer(headers={"Location": f"/{call.bucket}"})


async def remove_bucket(call: Call) -> Answer:
    """DeleteBucket."""
    try:
        await call.run(delete_bucket, call.store, call.bucket)
    except NotEmptyError:
        text = "The bucket has objects, or uploads that are not completed, and must be emptied before deletion."
        raise OssError("BucketNotEmpty", text, {"BucketName": call.bucket}) from None
    return Answer(204)


async def get_info(call: Call) -> Answer:
    """GetBucketInfo."""
    found = {each.name: each for each in await call.run(list_buckets, call.store)}.get(call.bucket)
    if found is None:
        raise OssError("NoSuchBucket", "The specified bucket does not exist.", {"BucketName": call.bucket})
    parts = [
        *_describe(call, found),
        element("DataRedundancyType", "LRS"),
        element("AccessMonitor", "Disabled"),
        element("Comment", ""),
        _owner(found.owner),
        element("AccessControlList", [element("Grant", "private")]),
    ]
    return Answer(body=document("BucketInfo", [element("Bucket", parts)]))


async def get_location(call: Call) -> Answer:
    """GetBucketLocation."""
    return Answer(body=document("LocationConstraint", LOCATION))


async def get_acl(call: Call) -> Answer:
    """GetBucketAcl and GetObjectAcl: all is private."""
    grant = "default" if call.key else "private"
    parts = [_owner(call.account.owner), element("AccessControlList", [element("Grant", grant)])]
    return Answer(body=document("AccessControlPolicy", parts))


async def put_acl(call: Call) -> Answer:
    """PutBucketAcl and PutObjectAcl: private stays private."""
    name = "x-oss-object-acl" if call.key else "x-oss-acl"
    if call.headers.get(name, "") not in ("private", "default"):
        raise not_implemented(f"the ACL {call.headers.get(name, '')[:40]!r}: all is private")
    return Answer()


async def get_stat(call: Call) -> Answer:
    """GetBucketStat."""
    count, size = await call.run(measure, call.store, call.bucket)
    uploads, _ = await call.run(call.uploads.page, call.bucket, "", ("", ""), 1000)
    parts = [
        element("Storage", size),
        element("ObjectCount", count),
        element("MultipartUploadCount", len(uploads)),
        element("StandardStorage", size),
        element("StandardObjectCount", count),
    ]
    return Answer(body=document("BucketStat", parts))


class Names:
    """Writes keys into XML: as they are, or escaped as in URLs if the client asks for it or XML cannot hold one."""

    def __init__(self, call: Call, names: Iterable[str]) -> None:
        wanted = call.parameters.get("encoding-type", "")
        if wanted not in ("", "url"):
            raise invalid("encoding-type", wanted, "url")
        self.escaped = wanted == "url" or not all(is_legal(name) for name in names)

    def __call__(self, name: str, key: str) -> str:
        """Return an element with a key."""
        return element(name, quote(key, safe="") if self.escaped else key)

    @property
    def note(self) -> list[str]:
        """The element that says so."""
        return [element("EncodingType", "url")] if self.escaped else []


async def list_objects(call: Call) -> Answer:
    """ListObjects and ListObjectsV2."""
    version = call.parameters.get("list-type", "1")
    if version not in ("1", "2"):
        raise invalid("list-type", version, "2, or absent")
    second = version == "2"
    prefix, delimiter = call.parameters.get("prefix", ""), call.parameters.get("delimiter", "")
    limit = call.number("max-keys", 100, 1, _MOST_KEYS)
    if second:
        after = call.parameters.get("continuation-token") or call.parameters.get("start-after", "")
    else:
        after = call.parameters.get("marker", "")
    page = await call.run(list_page, call.store, call.bucket, prefix, delimiter, after, limit)
    names = Names(call, [*(each.key for each in page.objects), *page.prefixes, prefix, delimiter, after, page.next])
    parts = [
        element("Name", call.bucket),
        names("Prefix", prefix),
        element("MaxKeys", limit),
        names("Delimiter", delimiter),
        *names.note,
        element("IsTruncated", bool(page.next)),
        *(_second(call, names, page) if second else _first(names, page, after)),
    ]
    with_owner = not second or call.parameters.get("fetch-owner", "") == "true"
    owner = _owner(call.account.owner) if with_owner else ""
    parts += [element("Contents", [*_content(names, each), owner]) for each in page.objects]
    parts += [element("CommonPrefixes", [names("Prefix", each)]) for each in page.prefixes]
    return Answer(body=document("ListBucketResult", parts))


def _first(names: Names, page: Page, after: str) -> list[str]:
    return [names("Marker", after), *([names("NextMarker", page.next)] if page.next else [])]


def _second(call: Call, names: Names, page: Page) -> list[str]:
    return [
        names("StartAfter", call.parameters.get("start-after", "")),
        *([names("ContinuationToken", token)] if (token := call.parameters.get("continuation-token")) else []),
        *([names("NextContinuationToken", page.next)] if page.next else []),
        element("KeyCount", len(page.objects) + len(page.prefixes)),
    ]


def _content(names: Names, found: Object) -> list[str]:
    return [
        names("Key", found.key),
        element("LastModified", iso_date(found.modified)),
        element("ETag", f'"{found.etag}"'),
        element("Type", found.kind),
        element("Size", found.size),
        element("StorageClass", "Standard"),
    ]


async def delete_objects(call: Call) -> Answer:
    """DeleteMultipleObjects."""
    if "content-md5" not in call.headers:
        raise OssError("MissingArgument", "Missing Some Required Arguments.", {"ArgumentName": "Content-MD5"})
    root = parse(await call.body.read_small(), "Delete")
    keys = [each.value("Key") for each in root.all("Object")]
    if not 0 < len(keys) <= _MOST_KEYS:
        raise malformed(f"it has {len(keys)} <Object>; 1 to {_MOST_KEYS} are allowed")
    for key in keys:
        if wrong := check_key(key):
            raise OssError("InvalidObjectName", f"{key[:80]!r} is not a key: {wrong}.")
    quiet = root.find("Quiet")
    await call.run(call.store.delete, call.bucket, keys)
    if quiet is not None and quiet.text.strip().lower() == "true":
        return Answer()
    names = Names(call, keys)
    return Answer(
        body=document("DeleteResult", [*names.note, *(element("Deleted", [names("Key", key)]) for key in keys)])
    )
