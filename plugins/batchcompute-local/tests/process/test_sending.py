"""Logs for a bucket elsewhere, while the disk is full or the machine has no room for a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.executors.base import Launch
from batchcompute_local.objects.elsewhere import BucketElsewhere
from batchcompute_local.paths import Layout
from batchcompute_local.plan import TaskSpec
from batchcompute_local.process import sending as module
from batchcompute_local.process.preparing import Outcome, Preparer
from batchcompute_local.process.sending import Sending
from batchcompute_local.process.workspace import Workspaces
from batchcompute_local.settings import Settings

from tests.support.waits import wait_for

ATTEMPT = "job-1.0.0.1"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout.at(tmp_path / "data")
    layout.create()
    return layout


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The folder that is the bucket elsewhere."""
    (tmp_path / "far").mkdir()
    return tmp_path / "far"


@pytest.fixture
def settings(far: Path) -> Settings:
    return Settings(buckets={"far": BucketElsewhere("far", f"file://{far}")})


@pytest.fixture
def sending(layout: Layout, settings: Settings) -> Iterator[Sending]:
    made = Sending(layout, settings)
    yield made
    made.close()


def test_an_attempt_is_returned_if_the_disk_is_too_full_for_the_note_about_its_logs(
    layout: Layout, settings: Settings, sending: Sending
) -> None:
    task = TaskSpec("T", 1, "", "true", "command", "", 60, "img-local", 1, 1, "oss://far/", "", {})
    launch = Launch(ATTEMPT, "job-1", task, 0)
    note = layout.unsent / ".running" / ATTEMPT
    note.parent.mkdir(parents=True)
    note.symlink_to("/dev/full")
    preparer = Preparer(Workspaces(layout, settings), settings, sending)
    assert preparer.prepare(launch) == Outcome(launch), "neither prepared nor failed"
    sending.forget(ATTEMPT)
    assert not note.is_symlink()
    outcome = preparer.prepare(launch)
    assert outcome is not None
    assert outcome.prepared is not None


def test_logs_are_sent_later_if_no_thread_can_be_started(
    layout: Layout, far: Path, sending: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    sending.open(())
    log = layout.unsent / "far" / "stdout"
    log.parent.mkdir(parents=True)
    sending.begin(ATTEMPT, [log])
    log.write_text("text")
    ended: list[str] = []
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", fail)
        sending.end(ATTEMPT, lambda: ended.append(ATTEMPT))
    assert ended == [ATTEMPT]
    wait_for(lambda: (far / "stdout").exists() and not log.exists(), "the log there")
    assert (far / "stdout").read_text() == "text"
