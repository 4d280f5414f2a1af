"""Operations on uploads in parts."""

from __future__ import annotations

from itertools import pairwise

from batchcompute_local.objects.multipart import (
    MOST_PARTS,
    SMALLEST_PART,
    InvalidPartError,
    NoUploadError,
    TooSmallError,
    Upload,
)
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.store import TakenError
from batchcompute_local.oss.bodies import LARGEST
from batchcompute_local.oss.bucket_calls import Names
from batchcompute_local.oss.calls import Answer, Call, iso_date, read_number
from batchcompute_local.oss.conditions import check_conditions
from batchcompute_local.oss.errors import OssError
from batchcompute_local.oss.metadata import read_headers, read_tags
from batchcompute_local.oss.object_calls import (
    check_owner,
    no_key,
    read_range_header,
    read_source,
    taken,
    written_headers,
)
from batchcompute_local.oss.xml import document, element, malformed, parse

_MOST_LISTED = 1000


async def start_upload(call: Call) -> Answer:
    """InitiateMultipartUpload."""
    headers, tags = read_headers(call.headers), read_tags(call.headers)
    call.store.check_put(call.key, headers, tags, forbid=False)
    upload = await call.run(call.uploads.start, call.bucket, call.key, headers, tags)
    names = Names(call, [call.key])
    parts = [*names.note, element("Bucket", call.bucket), names("Key", call.key), element("UploadId", upload)]
    return Answer(body=document("InitiateMultipartUploadResult", parts))


async def upload_part(call: Call) -> Answer:
    """UploadPart."""
    number = call.number("partNumber", 0, 1, MOST_PARTS)
    upload = await _find(call)
    part = await call.run(call.uploads.new_part)
    kept = False
    try:
        await call.body.write_to(part, call.threads)
        await call.run(_put, call, upload, number, part)
        kept = True
    finally:
        if not kept:
            await call.discard(part)
    crc = {"x-oss-hash-crc64ecma": str(part.crc)} if part.crc is not None else {}
    return Answer(headers={"ETag": f'"{part.etag}"', **crc})


async def copy_part(call: Call) -> Answer:
    """UploadPartCopy."""
    number = call.number("partNumber", 0, 1, MOST_PARTS)
    upload = await _find(call)
    bucket, key = read_source(call)
    await call.run(check_owner, call, bucket)

    def run() -> tuple[str, int | None, int]:
        opened = call.store.of(bucket).find_open(bucket, key)
        if opened is None:
            raise no_key(key)
        source, content = opened
        try:
            check_conditions(call.headers, source, "x-oss-copy-source-")
            first, size = read_range_header(call, source.size)
            if size > LARGEST:
                raise OssError("EntityTooLarge", f"At most {LARGEST} bytes are allowed in one part.")
            part = call.uploads.new_part()
            try:
                part.read_from(content, first, size)
                _put(call, upload, number, part)
            except BaseException:
                part.discard()
                raise
        finally:
            content.close()
        return part.etag, part.crc, source.modified

    etag, crc, modified = await call.run_copy(bucket, run)
    sums = {"x-oss-hash-crc64ecma": str(crc)} if crc is not None else {}
    body = document("CopyPartResult", [element("LastModified", iso_date(modified)), element("ETag", f'"{etag}"')])
    return Answer(headers={"ETag": f'"{etag}"', **sums}, body=body)


def _put(call: Call, upload: Upload, number: int, part: Part) -> None:
    try:
        call.uploads.put(upload, number, part)
    except NoUploadError:
        raise _no_upload() from None


async def complete_upload(call: Call) -> Answer:
    """CompleteMultipartUpload."""
    upload = await _find(call)
    forbid = call.flag("x-oss-forbid-overwrite")
    call.store.check_put(call.key, upload.headers, upload.tags, forbid)
    body = await call.body.read_small()
    wanted = None
    if call.headers.get("x-oss-complete-all", "").lower() != "yes":
        wanted = _wanted(body)
    elif body.strip():
        raise malformed("with x-oss-complete-all there must be no list of parts")
    try:
        made = await call.run(call.uploads.complete, upload, wanted, forbid)
    except NoUploadError:
        raise _no_upload() from None
    except InvalidPartError:
        text = "One or more of the specified parts could not be found, or have another ETag."
        raise OssError("InvalidPart", text) from None
    except TooSmallError:
        text = f"A part other than the last one is smaller than {SMALLEST_PART} bytes."
        raise OssError("EntityTooSmall", text) from None
    except TakenError:
        raise taken() from None
    names = Names(call, [call.key])
    parts = [
        *names.note,
        element("Location", f"http://{call.host}/{call.bucket}"),
        element("Bucket", call.bucket),
        names("Key", call.key),
        element("ETag", f'"{made.etag}"'),
    ]
    return Answer(headers=written_headers(made), body=document("CompleteMultipartUploadResult", parts))


def _wanted(body: bytes) -> list[tuple[int, str]]:
    parts = list(parse(body, "CompleteMultipartUpload").all("Part"))
    if not 0 < len(parts) <= MOST_PARTS:
        raise malformed(f"it has {len(parts)} <Part>; 1 to {MOST_PARTS} are allowed")
    wanted = [
        (read_number("PartNumber", each.value("PartNumber"), 1, MOST_PARTS), each.value("ETag")) for each in parts
    ]
    numbers = [number for number, _ in wanted]
    if any(second <= first for first, second in pairwise(numbers)):
        raise OssError("InvalidPartOrder", "The list of parts was not in ascending order.")
    return wanted


async def abort_upload(call: Call) -> Answer:
    """AbortMultipartUpload."""
    await call.run(call.uploads.abort, await _find(call))
    return Answer(204)


async def list_parts(call: Call) -> Answer:
    """ListParts."""
    upload = await _find(call)
    limit = call.number("max-parts", _MOST_LISTED, 1, _MOST_LISTED)
    marker = call.number("part-number-marker", 0, 0, MOST_PARTS)
    found = await call.run(call.uploads.parts, upload.id, marker, limit + 1)
    shown, names = found[:limit], Names(call, [call.key])
    parts = [
        *names.note,
        element("Bucket", call.bucket),
        names("Key", call.key),
        element("UploadId", upload.id),
        element("StorageClass", "Standard"),
        element("PartNumberMarker", marker),
        element("NextPartNumberMarker", shown[-1].number if shown else marker),
        element("MaxParts", limit),
        element("IsTruncated", len(found) > limit),
    ]
    for each in shown:
        crc = [element("HashCrc64ecma", each.crc)] if each.crc is not None else []
        content = [
            element("PartNumber", each.number),
            element("LastModified", iso_date(each.modified)),
            element("ETag", f'"{each.etag}"'),
            *crc,
            element("Size", each.size),
        ]
        parts.append(element("Part", content))
    return Answer(body=document("ListPartsResult", parts))


async def list_uploads(call: Call) -> Answer:
    """ListMultipartUploads."""
    limit = call.number("max-uploads", _MOST_LISTED, 1, _MOST_LISTED)
    prefix, delimiter = call.parameters.get("prefix", ""), call.parameters.get("delimiter", "")
    key_marker, id_marker = call.parameters.get("key-marker", ""), call.parameters.get("upload-id-marker", "")
    after = (key_marker, id_marker or "\U0010ffff") if key_marker else ("", "")
    uploads: list[Upload] = []
    prefixes: list[str] = []
    last, more = after, False
    while True:
        page, _ = await call.run(call.uploads.page, call.bucket, prefix, after, 1)
        if not page:
            break
        if len(uploads) + len(prefixes) == limit:
            more = True
            break
        found = page[0]
        cut = found.key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            uploads.append(found)
            after = last = (found.key, found.id)
        else:
            prefixes.append(found.key[: cut + len(delimiter)])
            after = last = (prefixes[-1] + "\U0010ffff", "")
    names = Names(call, [prefix, delimiter, key_marker, last[0], *(each.key for each in uploads), *prefixes])
    parts = [
        *names.note,
        element("Bucket", call.bucket),
        names("KeyMarker", key_marker),
        element("UploadIdMarker", id_marker),
        names("NextKeyMarker", last[0] if more else ""),
        element("NextUploadIdMarker", last[1] if more else ""),
        names("Delimiter", delimiter),
        names("Prefix", prefix),
        element("MaxUploads", limit),
        element("IsTruncated", more),
    ]
    for each in uploads:
        content = [
            names("Key", each.key),
            element("UploadId", each.id),
            element("StorageClass", "Standard"),
            element("Initiated", iso_date(each.initiated)),
        ]
        parts.append(element("Upload", content))
    parts += [element("CommonPrefixes", [names("Prefix", each)]) for each in prefixes]
    return Answer(body=document("ListMultipartUploadsResult", parts))


async def _find(call: Call) -> Upload:
    try:
        return await call.run(call.uploads.find, call.bucket, call.key, call.parameters["uploadId"])
    except NoUploadError:
        raise _no_upload() from None


def _no_upload() -> OssError:
    return OssError("NoSuchUpload", "The specified upload does not exist: it is completed, aborted or another key's.")
