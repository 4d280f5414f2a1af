"""The headers of an object: which of a request are kept, and those of an answer."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import unquote_plus

from batchcompute_local.objects.records import APPENDABLE, TARGET, Object
from batchcompute_local.oss.calls import http_date
from batchcompute_local.oss.errors import OssError, invalid, not_implemented
from batchcompute_local.oss.xml import Node, malformed

META = "x-oss-meta-"
_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")
_MOST_BYTES = 8 << 10
_MOST_TAGS = 10
_REFUSED = (
    "x-oss-server-side-encryption",
    "x-oss-callback",
    "x-oss-server-side-data-encryption",
    "x-oss-object-worm-mode",
    "x-oss-object-worm-legal-hold",
)
_PRIVATE = ("default", "private")


def read_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that stay with an object. Raises OssError for one that asks for what there is not."""
    for name in _REFUSED:
        if name in headers:
            raise not_implemented(f"what header {name} asks for")
    for name in ("x-oss-object-acl", "x-oss-acl"):
        if headers.get(name, "private") not in _PRIVATE:
            raise not_implemented(f"the ACL {headers[name][:40]!r}: all is private")
    kept = {name: value for name, value in headers.items() if name in _KEPT or name.startswith(META)}
    if sum(len(name) + len(value) for name, value in kept.items()) > _MOST_BYTES:
        raise invalid("x-oss-meta-*", "longer", f"at most {_MOST_BYTES} bytes in sum, names and values")
    return kept


def read_tags(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of the header x-oss-tagging. Raises OssError."""
    text = headers.get("x-oss-tagging", "")
    pairs = [each.partition("=")[::2] for each in text.split("&") if each]
    return _checked([(unquote_plus(name), unquote_plus(value)) for name, value in pairs])


def parse_tags(root: Node) -> dict[str, str]:
    """Return the tags of a <Tagging>. Raises OssError."""
    tags = root.find("TagSet")
    if tags is None:
        raise malformed("<Tagging> has no <TagSet>")
    return _checked([(tag.value("Key"), tag.value("Value")) for tag in tags.all("Tag")])


def _checked(pairs: list[tuple[str, str]]) -> dict[str, str]:
    tags = dict(pairs)
    if len(tags) < len(pairs) or len(tags) > _MOST_TAGS:
        raise OssError("InvalidTag", f"At most {_MOST_TAGS} tags are allowed, each key once.")
    for name, value in tags.items():
        if not 0 < len(name) <= 128 or len(value) > 256:
            raise OssError("InvalidTag", "A tag has a key of 1 to 128 characters and a value of up to 256.")
    return tags


def short_headers(found: Object) -> dict[str, str]:
    """Return the headers of every answer that has an object."""
    headers = {"ETag": f'"{found.etag}"', "Last-Modified": http_date(found.modified)}
    if found.crc is not None:
        headers["x-oss-hash-crc64ecma"] = str(found.crc)
    return headers


def full_headers(found: Object, kind: str) -> dict[str, str]:
    """Return the headers of an answer to GET and HEAD. `kind`: Symlink if the object was found by one."""
    headers = {
        "content-type": "application/octet-stream",
        **{name: value for name, value in found.headers.items() if name != TARGET},
        **short_headers(found),
        "Accept-Ranges": "bytes",
        "x-oss-object-type": kind,
        "x-oss-storage-class": "Standard",
    }
    # of a bucket elsewhere, where no path is, it may be anything; a derived one can have 32 characters
    if len(found.etag) == 32 and found.crc is not None and found.path and not found.has_derived_etag:
        headers["Content-MD5"] = base64.b64encode(bytes.fromhex(found.etag)).decode()
    if found.kind == APPENDABLE:
        headers["x-oss-next-append-position"] = str(found.size)
    if found.tags:
        headers["x-oss-tagging-count"] = str(len(found.tags))
    return headers


def override(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that parameters such as response-content-type ask for. Raises OssError."""
    found = {}
    for name in (
        "content-type",
        "content-language",
        "expires",
        "cache-control",
        "content-disposition",
        "content-encoding",
    ):
        value = parameters.get(f"response-{name}")
        if value is not None:
            if not all(" " <= each <= "\xff" and each != "\x7f" for each in value):
                raise invalid(f"response-{name}", value, "a header value")
            found[name] = value
    return found
