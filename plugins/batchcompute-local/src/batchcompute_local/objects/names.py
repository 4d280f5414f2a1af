"""Names of buckets and keys, and which keys a file name can hold. No I/O."""

from __future__ import annotations

import re

from batchcompute.writing import PART

OWN_FOLDER = ".batchcompute"
"""Beside the buckets: the metadata, the objects under odd keys and the parts of uploads. No bucket can have this name."""
OWN_PART = f"{PART}oss-"
"""The beginning of the names of our unfinished files, which are in a bucket's own folder."""
LONGEST_KEY = 1023
_LONGEST_NAME = 255
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NEW_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")


def is_bucket(name: str) -> bool:
    """Return whether a folder of this name is a bucket."""
    return _BUCKET.fullmatch(name) is not None


def is_new_bucket(name: str) -> bool:
    """Return whether OSS allows a bucket of this name: 3 to 63 lower case letters, digits and hyphens."""
    return _NEW_BUCKET.fullmatch(name) is not None


def check_key(key: str) -> str:
    """Return what is wrong with a key; an empty text if it can be the key of an object."""
    if not key:
        return "it is empty"
    if key[0] in "/\\":
        return "it begins with '/' or a backslash"
    if not key.isascii() and any("\ud800" <= each <= "\udfff" for each in key):
        return "it is not UTF-8"
    if len(key.encode()) > LONGEST_KEY:
        return f"it is longer than {LONGEST_KEY} bytes"
    return ""


def has_file(key: str) -> bool:
    """Return whether a file can have the key as its path. The others are odd keys."""
    if "\0" in key:
        return False
    return all(
        name not in ("", ".", "..") and not name.startswith(PART) and len(name.encode()) <= _LONGEST_NAME
        for name in key.split("/")
    )
