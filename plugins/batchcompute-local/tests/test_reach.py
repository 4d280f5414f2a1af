"""What a description may name, and who may reach the data folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from batchcompute_local.errors import ServiceError

from tests.support.descriptions import describe
from tests.support.engine import World
from tests.support.service import Cloud


@pytest.mark.parametrize("field", ["PackageUri", "StdoutRedirectPath", "StderrRedirectPath"])
@pytest.mark.parametrize(
    "uri", ["oss://b/../../etc/passwd", "oss://../x/y", "oss://b/a/./c", "file:///etc/passwd", "oss://b//k"]
)
def test_keys_that_lead_out(world: World, field: str, uri: str) -> None:
    with pytest.raises(ServiceError, match="InvalidParameter"):
        world.create(describe({"A": {field: uri}}))


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".", "a\0", "a\n", "_prepare", "x" * 65, "\N{SNOWMAN}"])
def test_names_that_lead_out(world: World, name: str) -> None:
    with pytest.raises(ServiceError, match="InvalidParameter"):
        world.create(describe({name: {}}))


@pytest.mark.parametrize("field", ["JobName", "JobTag", "Description", "ImageId", "ProgramName", "ProgramType"])
def test_long_names(world: World, field: str) -> None:
    value = "img-" + "x" * 100_000
    body = (
        describe({"A": {field: value}})
        if field in ("ImageId", "ProgramName", "ProgramType")
        else describe({"A": {}}, None, **{field: value})
    )
    with pytest.raises(ServiceError, match="InvalidParameter"):
        world.create(body)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be somebody else")
def test_another_uid_at_the_socket(cloud: Cloud) -> None:
    folder = Path(tempfile.mkdtemp())
    cloud.root = folder / "data"
    try:
        cloud.up()
        code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for mode in (0o700, 0o755):  # the socket is closed to others even in an open folder
            folder.chmod(0o755)
            cloud.root.chmod(mode)
            for name in ("daemon.sock", "runner.sock"):
                command = [*other, "/usr/bin/env", "python3", "-I", "-c", code, str(cloud.root / name)]
                done = subprocess.run(command, capture_output=True, text=True)
                assert "PermissionError" in done.stderr, (oct(mode), name, done.stderr)
            for words in (
                ("cat", "credentials.json"),
                ("cat", "state.sqlite3"),
                ("cat", "daemon.log"),
                ("ls", "nonces"),
                ("ls", "oss"),
            ):
                done = subprocess.run([*other, words[0], str(cloud.root / words[1])], capture_output=True, text=True)
                assert done.returncode != 0, words
        cloud.root.chmod(0o700)
    finally:
        cloud.down()
        shutil.rmtree(folder, ignore_errors=True)
