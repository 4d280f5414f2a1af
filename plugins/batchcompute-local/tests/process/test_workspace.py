"""Objects, packages and workspaces: nothing leaves its place."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.executors.base import Launch
from batchcompute_local.paths import Layout, default_data_dir
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process.workspace import PreparationError, Workspaces
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore, UriError, split_uri
from hypothesis import given, strategies as st

from tests.support.descriptions import pack_files
from tests.support.waits import wait_for


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(tmp_path / "oss")


def test_put_open_list_delete(store: ObjectStore) -> None:
    store.put("oss://b/a/x", b"1")
    store.put("oss://b/a/x", io.BytesIO(b"22"))
    store.put("oss://b/ab", b"333")
    with store.open("oss://b/a/x") as file:
        assert file.read() == b"22"
    assert list(store.list("oss://b/a")) == [("oss://b/a/x", 2), ("oss://b/ab", 3)]
    assert list(store.list("oss://b/a/")) == [("oss://b/a/x", 2)]
    assert list(store.list("oss://b")) == list(store.list("oss://b/"))
    assert list(store.list("oss://none/")) == []
    assert store.exists("oss://b/ab")
    assert not store.exists("oss://b/a")
    store.delete("oss://b/a/x")
    store.delete("oss://b/a/x")
    assert not (store.root / "b" / "a").exists()
    for uri in ("oss://b/a/x", "oss://b/a"):
        with pytest.raises(FileNotFoundError):
            store.open(uri)


@pytest.mark.parametrize(
    "uri",
    ["", "b/k", "oss://", "oss:///k", "oss://../k", "oss://b/..", "oss://b/a/../../c", "oss://b//k", "oss://b/./k",
     "oss://b/k\0", "file://b/k", "oss://b/" + "x" * 300, "oss://b/" + "x/" * 600 + "y", "oss://.b/k"],
)  # fmt: skip
def test_bad_uris(store: ObjectStore, uri: str) -> None:
    with pytest.raises(UriError):
        store.path(uri)


@given(st.text(max_size=30))
def test_no_key_leads_out(key: str) -> None:
    try:
        bucket, found = split_uri(f"oss://b/{key}")
    except UriError:
        return
    path = os.path.normpath(f"/store/oss/{bucket}/{found}")
    assert path.startswith("/store/oss/b")


def test_objects_and_folders_of_one_name(store: ObjectStore) -> None:
    store.put("oss://b/a/x", b"1")
    for uri in ("oss://b/a", "oss://b/a/x/y", "oss://b/.part-1", "oss://b/\ud800"):
        with pytest.raises(UriError):
            store.put(uri, b"2")
    for uri in ("oss://b/a", "oss://b/a/x/y", "oss://b/none"):
        store.delete(uri)
        assert not store.exists(uri)
    assert list(store.list("oss://b/")) == [("oss://b/a/x", 1)]
    assert os.listdir(store.root / "b") == ["a"]


def test_links_do_not_lead_out(store: ObjectStore, tmp_path: Path) -> None:
    (store.root / "b").mkdir(parents=True)
    (store.root / "b" / "out").symlink_to(tmp_path)
    for uri in ("oss://b/out/x", "oss://b/out"):
        with pytest.raises(UriError, match="leads out"):
            store.path(uri)


def _ended(workspaces: Any, prepared: Any) -> None:
    """What the executor does with the folder of an instance that succeeded."""
    if not workspaces.keep(prepared.package, str(prepared.cwd)):
        shutil.rmtree(prepared.cwd)


def _launch(**more: Any) -> Launch:
    plain: dict[str, Any] = {
        "name": "T", "instance_count": 2, "package_uri": "oss://b/p", "program_name": "main.py",
        "program_type": "python", "program_arguments": "", "timeout": 9, "image_id": "img-local", "cpu": 1,
        "memory": 1, "stdout": "", "stderr": "", "environment": {},
    }  # fmt: skip
    return Launch("job-1.0.1.1", "job-1", TaskSpec(**plain | more), 1)


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    layout = Layout.at(tmp_path)
    ObjectStore(layout.oss).put("oss://b/p", pack_files({"main.py": "", "sub/tool.php": "", "x.jar": ""}))
    return Workspaces(layout, Settings(programs={"php": "/bin/true", "java": "/bin/true"}))


def test_a_prepared_instance(workspaces: Workspaces, tmp_path: Path) -> None:
    prepared = workspaces.prepare(_launch(program_arguments="""-s 1 'two words' "a\\"b" """, stderr="oss://b/log"))
    cwd = tmp_path / "work/job-1/T@1"
    assert prepared.cwd == cwd
    assert prepared.argv[1:] == [str(cwd / "main.py"), "-s", "1", "two words", 'a"b']
    assert prepared.stderr == tmp_path / "oss/b/log/stderr.job-1.T.1"
    assert prepared.stdout == tmp_path / "work/job-1/stdout.job-1.T.1"
    assert prepared.environment["BATCHCOMPUTE_ATTEMPT"] == "job-1.0.1.1"
    (cwd / "left").touch()
    workspaces.prepare(_launch())
    assert not (cwd / "left").exists()


def test_program_types(workspaces: Workspaces, tmp_path: Path) -> None:
    cwd = str(tmp_path / "work/job-1/T@1")
    for kind, name, argv in (
        ("php", "sub/tool.php", ["/bin/true", f"{cwd}/sub/tool.php"]),
        ("java", "x.jar", ["/bin/true", "-jar", f"{cwd}/x.jar"]),
        ("java", "a/Main.class", ["/bin/true", "-cp", cwd, "a.Main"]),
    ):
        assert workspaces.prepare(_launch(program_type=kind, program_name=name)).argv == argv


@pytest.mark.parametrize(
    "more",
    [
        {"program_name": "../../../oss/b/p"},
        {"program_name": "/etc/passwd"},
        {"program_name": "none.py"},
        {"program_name": "sub"},
        {"program_arguments": "'open"},
        {"package_uri": "oss://b/none"},
        {"stdout": "oss://b/../x"},
    ],
)
def test_what_cannot_be_prepared(workspaces: Workspaces, more: dict[str, str]) -> None:
    with pytest.raises(PreparationError):
        workspaces.prepare(_launch(**more))


def test_a_missing_interpreter(tmp_path: Path, workspaces: Workspaces) -> None:
    poor = Workspaces(Layout.at(tmp_path), Settings(programs={"php": "/none/php"}))
    with pytest.raises(PreparationError, match="no /none/php to run php programs"):
        poor.prepare(_launch(program_type="php"))


def test_tidy_and_forget(workspaces: Workspaces, tmp_path: Path) -> None:
    for job in ("job-1", "job-2", "job-3"):
        (tmp_path / "work" / job).mkdir(parents=True)
    workspaces.tidy(lambda job: job != "job-1")
    workspaces.forget("job-2")
    trash = Layout.at(tmp_path).trash
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"job-3", trash.name}
    wait_for(lambda: not os.listdir(trash), "an empty trash")


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_DATA_DIR", str(tmp_path / "x"))
    assert default_data_dir() == tmp_path / "x"
    monkeypatch.delenv("BATCHCOMPUTE_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / "batchcompute"


@pytest.mark.parametrize("left", ["text", "texx", "changed by the program", ""])
def test_a_clean_folder_is_used_once_more(tmp_path: Path, left: str) -> None:
    layout = Layout.at(tmp_path)
    ObjectStore(layout.oss).put("oss://b/p", pack_files({"main.py": "text"}))
    workspaces = Workspaces(layout, Settings())
    first, second = _launch(), replace(_launch(), number=0)
    ran = workspaces.prepare(first)
    made = ran.cwd.stat().st_ino
    (ran.cwd / "main.py").write_text(left)
    (ran.cwd / "main.py").chmod(0o600)
    _ended(workspaces, ran)
    assert not ran.cwd.exists()
    again = workspaces.prepare(second)
    assert again.cwd.stat().st_ino == made
    assert (again.cwd / "main.py").read_text() == "text"
    assert (again.cwd / "main.py").stat().st_mode & 0o777 == 0o755
    assert [path.name for path in again.cwd.iterdir()] == ["main.py"]


@pytest.mark.parametrize("trace", ["file", "link", "hard link", "missing", "mode", "another package"])
def test_a_folder_with_traces_is_not_used_again(tmp_path: Path, trace: str) -> None:
    layout = Layout.at(tmp_path)
    store = ObjectStore(layout.oss)
    store.put("oss://b/p", pack_files({"main.py": "text"}))
    workspaces = Workspaces(layout, Settings())
    ran = workspaces.prepare(_launch())
    program = ran.cwd / "main.py"
    outside = tmp_path / "outside"
    outside.write_text("kept")
    if trace == "file":
        (ran.cwd / "left").touch()
    elif trace == "hard link":
        (tmp_path / "other").hardlink_to(program)
    elif trace == "mode":
        ran.cwd.chmod(0o755)
    elif trace in ("link", "missing"):
        program.unlink()
        if trace == "link":
            program.symlink_to(outside)
    _ended(workspaces, ran)
    assert not ran.cwd.exists()
    if trace == "another package":
        store.put("oss://b/p", pack_files({"main.py": "newer"}))
    again = workspaces.prepare(replace(_launch(), number=0))
    assert {path.name: path.read_text() for path in again.cwd.iterdir()} == {
        "main.py": "newer" if trace == "another package" else "text"
    }
    assert outside.read_text() == "kept"
    if trace == "hard link":
        assert (tmp_path / "other").read_text() == "text"


def test_a_package_is_looked_at_each_time(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    workspaces = Workspaces(layout, Settings())
    task = _launch().task
    assert not workspaces.is_at_hand(task)
    for text in ("one", "three"):
        ObjectStore(layout.oss).put("oss://b/p", pack_files({"main.py": text}))
        assert not workspaces.is_at_hand(task)
        assert (workspaces.prepare(_launch()).cwd / "main.py").read_text() == text
        assert workspaces.is_at_hand(task)
    for folder in ("work", "packages"):
        shutil.rmtree(tmp_path / folder)
    assert not workspaces.is_at_hand(task)
    assert (workspaces.prepare(_launch()).cwd / "main.py").read_text() == "three"
    ObjectStore(layout.oss).delete("oss://b/p")
    with pytest.raises(PreparationError, match="cannot be read"):
        workspaces.prepare(_launch())


def test_a_large_package_is_copied(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    ObjectStore(layout.oss).put("oss://b/p", pack_files({"main.py": "", "data": "x" * 100_000}))
    workspaces = Workspaces(layout, Settings())
    prepared = workspaces.prepare(_launch())
    assert (prepared.cwd / "data").stat().st_size == 100_000
    assert not workspaces.is_quick(_launch().task)
    _ended(workspaces, prepared)
    assert not prepared.cwd.exists()
