"""Conditions and ranges of requests that read an object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from batchcompute_local.objects.records import Record
from batchcompute_local.oss.errors import OssError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def check_conditions(headers: Mapping[str, str], found: Record, prefix: str = "") -> None:
    """Raise OssError PreconditionFailed or NotModified. `prefix` is that of the headers, as for the source of a copy."""
    if_match, if_none = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    unmodified = _date(headers.get(f"{prefix}if-unmodified-since"))
    modified = _date(headers.get(f"{prefix}if-modified-since"))
    if if_match is not None and not _has(if_match, found.etag):
        raise _failed("If-Match")
    if unmodified is not None and found.modified > unmodified:
        raise _failed("If-Unmodified-Since")
    if if_none is not None:
        if _has(if_none, found.etag):
            raise OssError("NotModified", "Not Modified", {}, {"ETag": f'"{found.etag}"'})
    elif modified is not None and found.modified <= modified:
        raise OssError("NotModified", "Not Modified", {}, {"ETag": f'"{found.etag}"'})


def read_range(text: str, size: int, standard: bool) -> tuple[int, int] | None:
    """Return the first byte and the number of bytes; None for the whole object.

    As in OSS a range that is not within the object counts for the whole of it. standard: as in HTTP it is cut; one that begins
    behind the object is an InvalidRange.
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        count = min(int(found[2]), size)
        if count == 0:
            _refuse_beyond(size, standard)
            return None
        return size - count, count
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if first >= size:
        _refuse_beyond(size, standard)
        return None
    if last < first or (last >= size and not standard):
        return None
    return first, min(last, size - 1) - first + 1


def _refuse_beyond(size: int, standard: bool) -> None:
    if standard:
        raise OssError(
            "InvalidRange", "The requested range cannot be satisfied.", {}, {"Content-Range": f"bytes */{size}"}
        )


def _failed(condition: str) -> OssError:
    return OssError(
        "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.", {"Condition": condition}
    )


def _has(values: str, etag: str) -> bool:
    return any(each.strip().strip('"').upper() in (etag.upper(), "*") for each in values.split(","))


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
