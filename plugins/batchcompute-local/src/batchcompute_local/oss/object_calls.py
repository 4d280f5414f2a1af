"""Operations on objects: read, write, delete, copy, append, symlinks, tags."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote, unquote

from batchcompute_local.objects.buckets import find_bucket
from batchcompute_local.objects.changes import NotAppendableError, PositionError, append, copy, plain_record
from batchcompute_local.objects.names import check_key
from batchcompute_local.objects.parts import Part
from batchcompute_local.objects.records import NORMAL, SYMLINK, Object, Record
from batchcompute_local.objects.store import TakenError, now
from batchcompute_local.oss.calls import Answer, Call, iso_date, read_number
from batchcompute_local.oss.conditions import check_conditions, read_range
from batchcompute_local.oss.errors import OssError, invalid
from batchcompute_local.oss.metadata import (
    full_headers,
    override,
    parse_tags,
    read_headers,
    read_tags,
    short_headers,
)
from batchcompute_local.oss.sums import find_with_sum
from batchcompute_local.oss.xml import document, element, parse

_CHECKSUM = "x-oss-checksum-mode"
_FORBID = "x-oss-forbid-overwrite"
_WHOLE = 200
_PARTIAL = 206


async def put_object(call: Call) -> Answer:
    """PutObject."""
    headers, tags = read_headers(call.headers), read_tags(call.headers)
    forbid = call.flag(_FORBID)
    call.store.check_put(call.key, headers, tags, forbid)
    if forbid and await call.run(call.store.find, call.bucket, call.key) is not None:
        raise taken()
    part = await call.run(call.store.new_part, call.bucket)
    try:
        await call.body.write_to(part, call.threads)
        record = Record(part.etag, part.crc, now(), NORMAL, headers, tags)
        made = await call.run(_put, call, part, record, forbid)
    finally:
        await call.discard(part)
    return Answer(headers=written_headers(made))


def _put(call: Call, part: Part, record: Record, forbid: bool) -> Object:
    with call.store.locked(call.bucket, call.key):
        try:
            return call.store.put(call.bucket, call.key, part, record, forbid)
        except TakenError:
            raise taken() from None


def taken() -> OssError:
    """Make the error for an object that must not be replaced."""
    return OssError("FileAlreadyExists", "The object you specified already exists and can not be overwritten.")


def written_headers(made: Object) -> dict[str, str]:
    """Return the headers of an answer to a change of an object's content."""
    headers = {name: value for name, value in full_headers(made, made.kind).items() if name == "Content-MD5"}
    return {**headers, **{name: value for name, value in short_headers(made).items() if name != "Last-Modified"}}


async def get_object(call: Call) -> Answer:
    """GetObject."""
    link, found = await _find(call)
    if link is None or found is None:
        raise no_key(call.key)
    check_conditions(call.headers, found)
    opened = await call.run(call.store.find_open, call.bucket, call.key)
    if opened is None:
        raise no_key(call.key)
    found, content = opened
    try:
        check_conditions(call.headers, found)  # again: another object may have taken its place
        headers = {**full_headers(found, link.kind), **override(call.parameters)}
        standard = call.headers.get("x-oss-range-behavior", "").lower() == "standard"
        chosen = read_range(call.headers.get("range", ""), found.size, standard)
        offset, size = chosen or (0, found.size)
        if chosen:
            headers["Content-Range"] = f"bytes {offset}-{offset + size - 1}/{found.size}"
    except BaseException:
        content.close()
        raise
    headers["Content-Length"] = str(size)
    return Answer(_PARTIAL if chosen else _WHOLE, headers, content=content, offset=offset, size=size)


async def head_object(call: Call) -> Answer:
    """HeadObject."""
    link, found = await _find(call)
    if link is None or found is None:
        raise no_key(call.key)
    check_conditions(call.headers, found)
    mode = call.headers.get(_CHECKSUM)
    if mode not in (None, "ENABLED"):
        raise invalid(_CHECKSUM, mode, "ENABLED")
    if mode and found.crc is None:
        found = await find_with_sum(call)
        if found is None:
            raise no_key(call.key)
    return Answer(headers={**full_headers(found, link.kind), "Content-Length": str(found.size)})


async def get_object_meta(call: Call) -> Answer:
    """GetObjectMeta."""
    _, found = await _find(call)
    if found is None:
        raise no_key(call.key)
    return Answer(headers={**short_headers(found), "Content-Length": str(found.size)})


async def _find(call: Call) -> tuple[Object | None, Object | None]:
    """Return the object, and what it names if it is a symlink. Raises OssError if nothing is there."""
    found = await call.run(call.store.find, call.bucket, call.key)
    behind = await call.run(call.store.follow, found)
    if found is not None and behind is None:
        raise OssError(
            "SymlinkTargetNotExist", "The symlink object you are getting points to an object that is not there."
        )
    return found, behind


def no_key(key: str) -> OssError:
    """Make a NoSuchKey."""
    return OssError("NoSuchKey", "The specified key does not exist.", {"Key": key})


async def delete_object(call: Call) -> Answer:
    """DeleteObject."""
    await call.run(call.store.delete, call.bucket, [call.key])
    return Answer(204)


async def append_object(call: Call) -> Answer:
    """AppendObject."""
    position = call.number("position", -1, 0, 1 << 62)
    headers, tags = read_headers(call.headers), read_tags(call.headers)
    call.store.check_append()
    part = await call.run(call.store.new_part, call.bucket)

    def add() -> Object:
        with call.store.locked(call.bucket, call.key):
            return append(call.store, call.bucket, call.key, position, part, headers, tags)

    try:
        await call.body.write_to(part, call.threads)
        made = await call.run(add)
    except PositionError as error:
        raise OssError(
            "PositionNotEqualToLength",
            "Position is not equal to file length",
            {},
            {"x-oss-next-append-position": str(error.length)},
        ) from None
    except NotAppendableError:
        raise OssError("ObjectNotAppendable", "The object is not appendable.") from None
    finally:
        await call.discard(part)
    return Answer(headers={**written_headers(made), "x-oss-next-append-position": str(made.size)})


async def copy_object(call: Call) -> Answer:
    """CopyObject; of an object to itself it changes the metadata."""
    bucket, key = read_source(call)
    check_source_owner(call, bucket)
    forbid = call.flag(_FORBID)
    replaced = _directive(call, "x-oss-metadata-directive")
    new_tags = _directive(call, "x-oss-tagging-directive")
    headers, tags = read_headers(call.headers), read_tags(call.headers)

    def change(record: Record) -> Record:
        kept = {name: value for name, value in record.headers.items() if not replaced}
        return replace(
            plain_record(record),
            kind=NORMAL,
            headers={**kept, **headers} if replaced else record.headers,
            tags=tags if new_tags else record.tags,
        )

    if (bucket, key) != (call.bucket, call.key):
        call.store.check_put(call.key, headers if replaced else {}, tags if new_tags else {}, forbid)

    def run() -> Object:
        if (bucket, key) == (call.bucket, call.key) and not forbid:
            with call.store.locked(bucket, key):
                return _change_own(call, change)
        opened = call.store.of(bucket).find_open(bucket, key)
        if opened is None:
            raise no_key(key)
        source, content = opened
        try:
            check_conditions(call.headers, source, "x-oss-copy-source-")
            part = call.store.new_part(call.bucket)
            try:
                record = change(copy(source, content, part))
                return _put(call, part, record, forbid)
            finally:
                part.discard()
        finally:
            content.close()

    made = await call.run_copy(bucket, run)
    return Answer(headers=short_headers(made), body=_copied("CopyObjectResult", made.etag, made.modified))


def _change_own(call: Call, change: Callable[[Record], Record]) -> Object:
    """Change the metadata of an object that is copied to itself."""
    found = call.store.find(call.bucket, call.key)
    if found is None:
        raise no_key(call.key)
    check_conditions(call.headers, found, "x-oss-copy-source-")
    if found.kind == SYMLINK:
        raise OssError("InvalidTargetType", "A symlink cannot be copied to itself.")
    changed = change(found)
    record = replace(changed, kind=found.kind, modified=now())
    call.store.update(found, record)
    return replace(found, **vars(record))


def _copied(name: str, etag: str, modified: int) -> bytes:
    return document(name, [element("LastModified", iso_date(modified)), element("ETag", f'"{etag}"')])


def _directive(call: Call, name: str) -> bool:
    value = call.headers.get(name, "COPY").upper()
    if value not in ("COPY", "REPLACE"):
        raise invalid(name, value, "COPY or REPLACE")
    return value == "REPLACE"


def read_source(call: Call) -> tuple[str, str]:
    """Return bucket and key of the source of a copy. Raises OssError."""
    text = call.headers["x-oss-copy-source"]
    path, _, version = text.partition("?")
    if version and version != "versionId=null":
        raise invalid("x-oss-copy-source", text, "/bucket/key: there are no versions")
    with suppress(UnicodeDecodeError):
        bucket, _, key = unquote(path, errors="strict").removeprefix("/").partition("/")
        if not check_key(key):
            return bucket, key
    raise invalid("x-oss-copy-source", text, "/bucket/key, with escapes as in a URL")


def check_source_owner(call: Call, bucket: str) -> None:
    """Raise OssError if the bucket of a source is not there, or is another account's."""
    check_owner(call, bucket)


def check_owner(call: Call, bucket: str) -> None:
    """Raise OssError NoSuchBucket or AccessDenied."""
    found = find_bucket(call.store, bucket)
    if found is None:
        raise OssError("NoSuchBucket", "The specified bucket does not exist.", {"BucketName": bucket})
    if found.owner != call.account.owner:
        raise OssError("AccessDenied", "The bucket you access does not belong to you.", {"BucketName": bucket})


async def put_symlink(call: Call) -> Answer:
    """PutSymlink."""
    headers, tags = read_headers(call.headers), read_tags(call.headers)
    text = call.headers.get("x-oss-symlink-target", "")
    forbid = call.flag(_FORBID)
    try:
        target = unquote(text, errors="strict")
    except UnicodeDecodeError:
        target = ""
    if wrong := check_key(target):
        raise invalid("x-oss-symlink-target", text, f"a key, with escapes as in a URL: {wrong}")

    def run() -> Object:
        record = Record("", None, now(), SYMLINK, headers, tags)
        with call.store.locked(call.bucket, call.key):
            there = call.store.find(call.bucket, target)
            if target == call.key or (there is not None and there.kind == SYMLINK):
                raise OssError("InvalidTargetType", "A symlink cannot name a symlink.")
            try:
                return call.store.put_symlink(call.bucket, call.key, target, record, forbid)
            except TakenError:
                raise taken() from None

    await call.run(run)
    return Answer()


async def get_symlink(call: Call) -> Answer:
    """GetSymlink."""
    found = await call.run(call.store.find, call.bucket, call.key)
    if found is None:
        raise no_key(call.key)
    if found.kind != SYMLINK:
        raise OssError("InvalidTargetType", "The object is not a symlink.")
    return Answer(headers={**full_headers(found, SYMLINK), "x-oss-symlink-target": quote(found.target)})


async def put_tagging(call: Call) -> Answer:
    """PutObjectTagging."""
    tags = parse_tags(parse(await call.body.read_small(), "Tagging"))
    await _set_tags(call, tags)
    return Answer()


async def delete_tagging(call: Call) -> Answer:
    """DeleteObjectTagging."""
    await _set_tags(call, {})
    return Answer(204)


async def _set_tags(call: Call, tags: dict[str, str]) -> None:
    def run() -> None:
        with call.store.locked(call.bucket, call.key):
            found = call.store.find(call.bucket, call.key)
            if found is None:
                raise no_key(call.key)
            call.store.update(found, replace(plain_record(found), tags=tags))

    await call.run(run)


async def get_tagging(call: Call) -> Answer:
    """GetObjectTagging."""
    found = await call.run(call.store.find, call.bucket, call.key)
    if found is None:
        raise no_key(call.key)
    tags = [element("Tag", [element("Key", name), element("Value", value)]) for name, value in found.tags.items()]
    return Answer(body=document("Tagging", [element("TagSet", tags)]))


def read_range_header(call: Call, size: int) -> tuple[int, int]:
    """Return first byte and number of bytes of x-oss-copy-source-range. Raises OssError."""
    text = call.headers.get("x-oss-copy-source-range")
    if text is None:
        return 0, size
    first, dash, last = text.removeprefix("bytes=").partition("-")
    if not dash or not text.startswith("bytes="):
        raise invalid("x-oss-copy-source-range", text, "bytes=<first>-<last>")
    begin = read_number("x-oss-copy-source-range", first, 0, size)
    end = read_number("x-oss-copy-source-range", last or str(size - 1), begin, max(size - 1, 0))
    return begin, end - begin + 1
