"""`batchcompute oss ls`, `cp`, `cat`, `hash` and `rm`: read and change the objects of a region."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

import click

from . import output
from .failures import Refused
from .session import Session, command, objects_of

if TYPE_CHECKING:
    from ..hooks import ObjectStore

_SCHEME = "oss://"
_CHUNK = 1 << 20
_COLUMNS: Mapping[str, output.Column] = {"size": "SIZE", "uri": "OBJECT"}
_SUM_COLUMNS: Mapping[str, output.Column] = {"crc64": "CRC64", "uri": "OBJECT"}
_BUCKET_COLUMNS: Mapping[str, output.Column] = {"uri": "BUCKET"}


@command(
    "ls",
    examples=["batchcompute oss ls", "batchcompute oss ls oss://mine/", "batchcompute oss ls oss://mine/logs/stdout."],
)
@click.argument("prefix", default=_SCHEME)
def ls(session: Session, prefix: str) -> None:
    """List the objects whose names begin with PREFIX, such as oss://bucket/ or oss://bucket/logs/. Without PREFIX, or with
    oss://, list the buckets.

    JSON: a list of {uri, size}; size in bytes, null for a bucket.
    """
    with _store(session) as store:
        if prefix.rstrip("/") == _SCHEME.rstrip("/"):
            buckets = [{"uri": uri, "size": None} for uri in _buckets(store)]
            output.emit(
                buckets, _BUCKET_COLUMNS, session.format, "There are no buckets. `batchcompute oss cp` makes one."
            )
            return
        rows = [{"uri": uri, "size": size} for uri, size in store.list(_uri(prefix))]
        output.emit(rows, _COLUMNS, session.format, f"There is nothing in {output.plain(prefix)}.")


@command(
    "cp",
    examples=[
        "batchcompute oss cp data.csv oss://mine/data.csv",
        "batchcompute oss cp oss://mine/data.csv .",
        "batchcompute oss cp -r results/ oss://mine/results/",
        "echo hello | batchcompute oss cp - oss://mine/hello",
    ],
)
@click.argument("source")
@click.argument("target")
@click.option("--recursive", "-r", is_flag=True, help="Copy a folder, or all objects below a prefix.")
def cp(session: Session, source: str, target: str, recursive: bool) -> None:
    """Copy SOURCE to TARGET: a file to an object, an object to a file, or an object to an object. Replaces the TARGET.

    - is the standard input or output. If TARGET is a folder or ends in /, the copy keeps the name.

    JSON: a list of {from, to, size}; size in bytes.
    """
    if not _is_object(source) and not _is_object(target):
        raise Refused(f"one of SOURCE and TARGET must begin with {_SCHEME}")
    if recursive and "-" in (source, target):
        raise Refused("--recursive needs a folder, not -")
    rows = []
    with _store(session) as store:
        for one, other in _pairs(store, source, target) if recursive else [(source, _named(source, target))]:
            size = _copy(store, one, other)
            rows.append({"from": one, "to": other, "size": size})
            if not session.json:
                output.say(f"{output.plain(one)} -> {output.plain(other)}, {size} bytes")
    if session.json and target != "-":  # else the standard output is the object
        output.emit_json(rows)


@command("cat", examples=["batchcompute oss cat oss://mine/hello"])
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
def cat(session: Session, uris: Sequence[str]) -> None:
    """Print objects unchanged.

    JSON: none; the bytes of the objects, in either format.
    """
    with _store(session) as store:
        for uri in uris:
            _copy(store, _uri(uri), "-")


@command("hash", examples=["batchcompute oss hash oss://mine/data.csv"])
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
def hash_(session: Session, uris: Sequence[str]) -> None:
    """Print the CRC64 of objects, as OSS computes it. Of a file that a program wrote it is computed now.

    JSON: a list of {uri, crc64}; crc64 is a text, since it has 64 bits.
    """
    with _store(session) as store:
        rows = [{"uri": uri, "crc64": str(_sum(store, _uri(uri)))} for uri in uris]
    output.emit(rows, _SUM_COLUMNS, session.format, "")


@command("rm", examples=["batchcompute oss rm oss://mine/hello", "batchcompute oss rm -r oss://mine/logs/ --yes"])
@click.argument("uris", metavar="URI...", nargs=-1, required=True)
@click.option("--recursive", "-r", is_flag=True, help="Remove all objects below URI, a folder, after asking.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def rm(session: Session, uris: Sequence[str], recursive: bool, yes: bool) -> None:
    """Remove objects.

    JSON: a list of {uri}, the removed objects.
    """
    with _store(session) as store:
        found = [one for uri in uris for one in _below(store, uri)] if recursive else [_uri(uri) for uri in uris]
        missing = [uri for uri in found if not store.exists(uri)] if not recursive else []
        if missing:
            raise Refused(f"there is no object {missing[0]}; `batchcompute oss ls` lists the objects")
        if recursive and not yes and found:
            if not sys.stdin.isatty():
                raise Refused("there is no terminal to ask on; use --yes")
            click.confirm(f"Remove {len(found)} objects?", abort=True, err=True)
        for uri in found:
            store.delete(uri)
            if not session.json:
                output.put(f"{output.plain(uri)} removed")
    if session.json:
        output.emit_json([{"uri": uri} for uri in found])


@contextmanager
def _store(session: Session) -> Iterator[ObjectStore]:
    """Open the region's object store. A wrong URI and a missing object are usage errors."""
    with session.client() as client:
        try:
            yield objects_of(client)
        except ValueError as error:
            from ..errors import BatchComputeError

            if isinstance(error, BatchComputeError):
                raise
            raise Refused(str(error)) from error


def _is_object(name: str) -> bool:
    return name.startswith(_SCHEME)


def _buckets(store: ObjectStore) -> list[str]:
    """Return the URIs of the buckets. Raises Refused if the store cannot list them."""
    from ..hooks import BucketLister

    if not isinstance(store, BucketLister):
        raise Refused(f"the object store of this region does not list buckets; name one, as in {_SCHEME}bucket/")
    return [f"{_SCHEME}{name}/" for name in store.buckets()]


def _sum(store: ObjectStore, uri: str) -> int:
    """Return the CRC64 of an object. Raises Refused if it has none."""
    from ..hooks import ObjectHasher

    if not isinstance(store, ObjectHasher):
        raise Refused("the object store of this region knows no CRC64")
    try:
        found = store.crc64(uri)
    except (FileNotFoundError, NotADirectoryError):
        raise Refused(f"there is no object {uri}; `batchcompute oss ls` lists the objects") from None
    if found is None:
        raise Refused(f"{uri} has no CRC64: it changes while it is read, or its store computes none")
    return found


def _uri(name: str) -> str:
    if not _is_object(name):
        raise Refused(f"{name!r} does not begin with {_SCHEME}; an object is {_SCHEME}bucket/key")
    return name


def _named(source: str, target: str) -> str:
    """Return the target; if it is a folder, with the name of the source."""
    folder = target.endswith("/") or (not _is_object(target) and target != "-" and os.path.isdir(target))
    if not folder:
        return target
    name = source.rstrip("/").rpartition("/")[2]
    if source == "-" or not name:
        raise Refused(f"{target!r} is a folder; give the name of the copy too")
    return f"{target.rstrip('/')}/{name}"


def _below(store: ObjectStore, folder: str) -> list[str]:
    """List the objects in a folder, without those of folders whose names only begin the same."""
    return [uri for uri, _ in store.list(_uri(_folder(folder)))]


def _folder(uri: str) -> str:
    return uri if uri.endswith("/") else f"{uri}/"


def _pairs(store: ObjectStore, source: str, target: str) -> list[tuple[str, str]]:
    """Return pairs of source and target. No target is outside of the folder `target`."""
    base = target.rstrip("/")
    if not _is_object(source):
        if not os.path.isdir(source):
            raise Refused(f"{source!r} is not a folder; --recursive needs one")
        files = sorted(path for path in Path(source).rglob("*") if path.is_file())
        return [(str(path), f"{base}/{path.relative_to(source).as_posix()}") for path in files]
    found = []
    for uri in _below(store, source):
        inside = uri.removeprefix(_folder(source))
        if ".." in inside.split("/") or inside.startswith("/"):
            raise Refused(f"the name of {uri!r} leads out of {target!r}; copy it alone")
        found.append((uri, f"{base}/{inside}"))
    return found


def _copy(store: ObjectStore, source: str, target: str) -> int:
    """Copy one, and return its size."""
    with _opened(store, source) as file:
        if target == "-":
            sys.stdout.flush()
            size = _pour(file, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return size
        if not _is_object(target):
            return _write(Path(target), file)
        with tempfile.TemporaryFile() as whole:  # a store may need the size
            if not file.seekable():
                _pour(file, whole)
                file = whole
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            store.put(target, file)
            return size


def _pour(source: IO[bytes], target: IO[bytes]) -> int:
    size = 0
    while data := source.read(_CHUNK):
        target.write(data)
        size += len(data)
    return size


@contextmanager
def _opened(store: ObjectStore, source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
    elif not _is_object(source):
        with open(source, "rb") as file:
            yield file
    else:
        try:
            found = store.open(source)
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(f"there is no object {source}; `batchcompute oss ls` lists the objects") from None
        with found:
            yield found


def _write(path: Path, data: BinaryIO) -> int:
    """Write a file, and return its size. The file is replaced in one step, so a partial file is never visible."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():  # a pipe, a device
        with path.open("wb") as device:
            return _pour(data, device)
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".batchcompute-", delete=False) as part:
        try:
            size = _pour(data, part)
            part.flush()
            os.chmod(part.name, mode)
            os.replace(part.name, path)
        except BaseException:
            os.unlink(part.name)
            raise
    return size


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask
