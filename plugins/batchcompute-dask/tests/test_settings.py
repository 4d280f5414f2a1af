"""The table [executors.dask], and the epoch."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from batchcompute_dask.bridge.chunks import Estimates
from batchcompute_dask.epochs import next_epoch
from batchcompute_dask.messages import Group, Sealed
from batchcompute_dask.nodes.place import find_images
from batchcompute_dask.settings import Options, read_options
from batchcompute_local.executors.base import Exited
from batchcompute_local.images import Image
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec

TLS = {"scheduler": "tls://h:8786", "tls_ca_file": "/ca.pem", "tls_cert": "/c.pem", "tls_key": "/k.pem"}


def test_options() -> None:
    assert read_options(TLS) == Options("tls://h:8786", tls_ca_file="/ca.pem", tls_cert="/c.pem", tls_key="/k.pem")
    assert read_options({"scheduler": "tcp://h:1", "insecure": True, "lease_seconds": 60}).lease_seconds == 60


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "it needs either the address of a scheduler"),
        ({**TLS, "shared_file": True}, "unknown option 'shared_file'; did you mean 'shared_files'"),
        ({**TLS, "x": 1}, "unknown option 'x'; options: scheduler, cluster"),
        ({**TLS, "shared_files": "yes"}, "shared_files must be true or false"),
        ({**TLS, "lease_seconds": "1"}, "lease_seconds must be a number"),
        ({**TLS, "lease_seconds": float("inf")}, "lease_seconds must be a number"),
        ({**TLS, "lease_seconds": 1}, "lease_seconds must be 2 or more"),
        ({**TLS, "scheduler": 1}, "scheduler must be text"),
        ({"scheduler": "tcp://h:1"}, "has no TLS, so everybody who reaches it may run programs as this user"),
        ({"scheduler": "h:1"}, "has no TLS"),
        ({"scheduler": "ucx://h:1"}, "must begin with tls://"),
    ],
)
def test_options_that_are_wrong(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_options(table)


def test_an_epoch_is_never_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout.at(tmp_path)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    assert [next_epoch(layout) for _ in range(3)] == [1000, 1001, 1002]
    (tmp_path / "dask/epoch").write_text("")  # the machine fell
    monkeypatch.setattr("time.time", lambda: 2000.0)
    assert next_epoch(layout) == 2000
    monkeypatch.setattr("time.time", lambda: 10.0)
    assert next_epoch(layout) == 2001


def test_a_node_has_the_images_whose_programs_it_has(tmp_path: Path) -> None:
    images = (
        Image("img-here", programs={"python": sys.executable}),
        Image("img-gone", programs={"python": str(tmp_path / "python")}),
        Image("img-command", programs={"python": "python9"}, command=("env", "{argv}")),
        Image("img-absent", command=("no-such-program", "{argv}")),
    )
    assert find_images({image.id: image for image in images}) == {"img-here", "img-command"}


def group(count: int, task: int = 0) -> Group:
    spec = TaskSpec("T", count, "", "x", "python", "", 1, "img-local", 1, 1, "", "", {})
    members = tuple((f"job-1.{task}.{number}.1", number) for number in range(count))
    return Group("n", "job-1", spec, None, 1, members)


def sizes(estimates: Estimates, *groups: Group, slots: int = 2) -> list[int]:
    return [sum(len(each.members) for each in chunk) for chunk in estimates.split(groups, slots)]


def test_chunks_are_half_a_second_of_work_and_a_long_instance_is_alone() -> None:
    estimates = Estimates()
    assert sizes(estimates, group(3)) == [1, 1, 1], "not known yet"
    estimates.note(Exited("job-1.0.9.1", code=0, started=10.0, ended=10.01))
    assert sizes(estimates, group(250)) == [100, 100, 50]
    assert sizes(estimates, group(10), group(20)) == [30]
    for number in range(20):
        estimates.note(Exited(f"job-1.0.{number}.1", code=0, started=10.0, ended=12.0))
    assert sizes(estimates, group(3)) == [1, 1, 1]
    assert sizes(estimates, group(1, task=1)) == [1]


def test_a_new_task_travels_in_chunks_where_instances_of_others_were_short() -> None:
    estimates = Estimates()
    for number in range(20):
        estimates.note(Exited(f"job-1.0.{number}.1", code=0, started=10.0, ended=10.01))
    assert max(sizes(estimates, group(200, task=1))) > 50


def test_a_sealed_message_shows_nothing() -> None:
    sealed = Sealed(("a secret",))
    assert sealed.open() == ("a secret",)
    assert "secret" not in repr(sealed)
