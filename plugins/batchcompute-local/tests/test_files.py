"""What a program controls is never opened blindly: a FIFO, a link, a device in place of a log or an object."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from batchcompute_local import plugin
from batchcompute_local.files import NotRegularError, create_log, open_regular
from batchcompute_local.process.packages import PackageError, Packages
from batchcompute_local.process.sources import FileSource
from batchcompute_local.records import ExitRecord
from batchcompute_local.runner.exit_message import write_exit_message
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore, UriError

from batchcompute.errors import BatchComputeError
from tests.support.service import Cloud
from tests.support.unprivileged import as_ordinary_user
from tests.support.waits import wait_for


def _at_once(function: Callable[[], Any]) -> Any:
    """What the function returns or raises; it must not wait."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(function())
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert outcome, "it waits"
    return outcome[0]


def _put(kind: str, path: Path) -> None:
    """Put something in the way; `path`.other is a file outside."""
    other = Path(f"{path}.other")
    other.write_text("kept")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.getcwd()
            os.chdir(path.parent)  # the path of a socket is short
            try:
                sock.bind(path.name)
            finally:
                os.chdir(here)
    elif kind == "link":
        path.symlink_to(other)
    elif kind == "dangling":
        path.symlink_to(f"{path}.none")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "hard link":
        path.hardlink_to(other)


KINDS = ["fifo", "socket", "link", "dangling", "device"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_RDWR])
def test_only_a_regular_file_is_opened(tmp_path: Path, kind: str, flags: int) -> None:
    _put(kind, tmp_path / "x")
    error = _at_once(lambda: open_regular(tmp_path / "x", flags))
    assert isinstance(error, NotRegularError)
    assert "regular file" in str(error)
    assert str(tmp_path / "x") in str(error)


def test_a_folder_and_a_regular_file(tmp_path: Path) -> None:
    assert isinstance(_at_once(lambda: open_regular(tmp_path, os.O_RDONLY)), IsADirectoryError)
    assert isinstance(_at_once(lambda: open_regular(tmp_path, os.O_RDWR)), IsADirectoryError)
    handle = open_regular(tmp_path / "x", os.O_WRONLY | os.O_CREAT)
    assert os.get_blocking(handle)
    assert not os.get_inheritable(handle)
    os.close(handle)


@pytest.mark.parametrize("kind", [*KINDS, "hard link", "earlier", "none"])
def test_the_log_of_a_new_attempt(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    _put(kind, path)
    if kind == "earlier":
        path.write_text("the earlier attempt's")
    handle = _at_once(lambda: create_log(path))
    os.write(handle, b"new")
    os.close(handle)
    assert path.read_text() == "new"
    assert not path.is_symlink()
    assert path.stat().st_nlink == 1
    assert Path(f"{path}.other").read_text() == "kept"
    assert not Path(f"{path}.none").exists()


@as_ordinary_user
def test_the_log_of_an_attempt_that_closed_it(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    (tmp_path / "log").chmod(0)
    os.close(create_log(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == ""


def test_a_folder_in_the_way_of_a_log(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        create_log(tmp_path)
    with pytest.raises(FileNotFoundError):
        create_log(tmp_path / "none" / "log")


@pytest.mark.parametrize("kind", KINDS)
def test_an_exit_message_is_left_out(tmp_path: Path, kind: str) -> None:
    _put(kind, tmp_path / "log")
    record = ExitRecord("job-1.0.0.1", code=1, started=0.0, ended=1.0, host="h", cwd="/")
    assert _at_once(lambda: write_exit_message(str(tmp_path / "log"), record, 9)) is None
    assert (tmp_path / "log.other").read_text() == "kept"


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_an_object_that_is_no_file(tmp_path: Path, kind: str) -> None:
    store = ObjectStore(tmp_path / "oss")
    store.put("oss://b/first", b"1")
    _put(kind, store.root / "b" / "x")
    (store.root / "b" / "x.other").unlink()
    error = _at_once(lambda: store.open("oss://b/x"))
    assert isinstance(error, FileNotFoundError)
    assert "not an object" in str(error)
    packages = Packages(tmp_path / "packages", Settings())
    assert isinstance(_at_once(lambda: packages.get(FileSource(store.path("oss://b/x")), "oss://b/x")), PackageError)
    assert [uri for uri, _ in store.list("oss://b/")] == ["oss://b/first"]
    assert not store.exists("oss://b/x")
    _at_once(lambda: store.put("oss://b/x", b"2"))
    with store.open("oss://b/x") as file:
        assert file.read() == b"2"


def test_links_in_the_store(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "oss")
    store.put("oss://b/x", b"1")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (store.root / "b" / "inside").symlink_to("x")
    (store.root / "b" / "out").symlink_to(tmp_path / "outside")
    (store.root / "b" / "secret").symlink_to(tmp_path / "outside" / "secret")
    (store.root / "b" / "zero").symlink_to("/dev/zero")
    with store.open("oss://b/inside") as file:
        assert file.read() == b"1"
    for uri in ("oss://b/secret", "oss://b/zero", "oss://b/out/secret"):
        with pytest.raises(UriError, match="leads out"):
            store.open(uri)
    assert [uri for uri, _ in store.list("oss://b/")] == ["oss://b/inside", "oss://b/x"]
    with pytest.raises(UriError, match="leads out"):
        list(store.list("oss://b/out/"))


@pytest.mark.parametrize("redirect", ["", "oss://b/logs"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_log_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, redirect: str) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path))
    folder = tmp_path / ("oss/b/logs" if redirect else "work/job-1")
    folder.mkdir(parents=True)
    context: Any = SimpleNamespace(
        attempt=None,
        newest_attempt=None,
        region=SimpleNamespace(transport="local"),
        job_id="job-1", task_name="T", instance_id=0, stream="stderr", redirect_path=redirect,
    )  # fmt: skip
    assert plugin.fetch_log(context) is None
    path = folder / "stderr.job-1.T.0"
    _put(kind, path)
    error = _at_once(lambda: plugin.fetch_log(context))
    assert isinstance(error, OSError)
    assert not isinstance(error, BatchComputeError)
    assert "regular file" in str(error)


REPLACES_ITS_LOG = """
import os, socket, sys
if os.path.exists("../again"):
    print("good", file=sys.stderr)
    sys.exit()
open("../again", "w").close()
path = os.readlink("/proc/self/fd/2")
os.unlink(path)
{replace}
sys.exit(3)
"""


@pytest.mark.parametrize("redirect", ["", "oss://tests/logs"])
@pytest.mark.parametrize(
    "replace",
    ["os.mkfifo(path)", "os.symlink('/dev/zero', path)", "os.symlink(os.path.expanduser('~/kept'), path)"],
)
def test_a_program_that_replaces_its_log(cloud: Cloud, tmp_path: Path, replace: str, redirect: str) -> None:
    (tmp_path / "home" / "kept").write_text("kept")
    cloud.up()
    cloud.program(REPLACES_ITS_LOG.format(replace=replace))
    job = cloud.create({"A": {"StderrRedirectPath": redirect}})
    assert cloud.ended(job)["State"] == "Failed"
    assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
    assert cloud.ended(job)["State"] == "Terminated"
    name = f"stderr.{job}.A.0"
    path = cloud.root / "oss/tests/logs" / name if redirect else cloud.root / "work" / job / name
    assert path.read_text() == "good\n"
    assert (tmp_path / "home" / "kept").read_text() == "kept"


def test_a_folder_in_the_place_of_a_log_fails_the_instance_alone(cloud: Cloud) -> None:
    cloud.up()
    cloud.program(REPLACES_ITS_LOG.format(replace="os.mkdir(path)"))
    job = cloud.create({"A": {}})
    assert cloud.ended(job)["State"] == "Failed"
    assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
    assert cloud.ended(job)["State"] == "Failed"
    cloud.program("print('good')")
    assert cloud.ended(cloud.create({"A": {}}))["State"] == "Terminated"


def test_a_reason_is_not_written_to_a_fifo(cloud: Cloud) -> None:
    """The service itself explains why an instance cannot begin."""
    cloud.up()
    cloud.program(REPLACES_ITS_LOG.format(replace="os.mkfifo(path)"))
    job = cloud.create({"A": {}})
    assert cloud.ended(job)["State"] == "Failed"
    cloud.oss.delete("oss://tests/worker.tar.gz")
    assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
    assert cloud.ended(job)["State"] == "Failed"
    assert "cannot be read" in cloud.log(job, "A", stream="stderr")


READ_ONLY = """
import os, sys, time
os.makedirs("mod/inner")
open("mod/inner/f", "w").close()
os.chmod("mod/inner", 0o555)
os.chmod("mod", 0o555)
if not os.path.exists("../again"):
    open("../again", "w").close()
    while os.path.exists("../wait"):
        time.sleep(0.005)
    sys.exit(3)
"""


@as_ordinary_user
def test_a_read_only_folder_is_replaced_and_removed(cloud: Cloud, tmp_path: Path) -> None:
    cloud.up()
    cloud.program(READ_ONLY)
    job = cloud.create({"A": {}})
    assert cloud.ended(job)["State"] == "Failed"
    assert cloud.call("PUT", f"/jobs/{job}?Action=Start")[0] == 200
    assert cloud.ended(job)["State"] == "Terminated"
    work = cloud.root / "work"
    wait_for(lambda: not list((work / job).glob("A@*")), "nothing left of the success")
    wait_for(lambda: not os.listdir(work / ".trash"), "an empty trash")
    failed = cloud.create({"A": {}})
    assert cloud.ended(failed)["State"] == "Failed"
    assert (work / failed / "A@0" / "mod").exists()
    for each in (job, failed):
        assert cloud.call("DELETE", f"/jobs/{each}")[0] == 200
    wait_for(lambda: {path.name for path in work.iterdir()} <= {".trash", ".pool"}, "nothing left of the jobs")
    wait_for(lambda: not os.listdir(work / ".trash"), "an empty trash")


@as_ordinary_user
def test_a_read_only_folder_and_a_crash(cloud: Cloud, tmp_path: Path) -> None:
    pid = cloud.up()
    cloud.program(
        READ_ONLY.replace("while os", "open('../begun', 'w').close()\n    while os").replace("../wait", "mod")
    )
    job = cloud.create({"A": {}})
    wait_for((cloud.root / "work" / job / "begun").exists, "the program")
    runner = cloud.runner_pid()
    assert runner is not None
    os.kill(pid, signal.SIGKILL)
    os.kill(runner, signal.SIGKILL)
    wait_for(lambda: not Path("/proc", str(pid)).exists() or _is_zombie(pid), "the daemon's end")
    cloud.up()
    assert cloud.ended(job)["State"] == "Terminated"


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path("/proc", str(pid), "stat").read_text()
    except OSError:
        return True
