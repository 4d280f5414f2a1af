"""The channel between daemon and bridge, and a daemon whose thread for it meets an error."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from batchcompute_dask import channel
from batchcompute_dask.executor import DaskExecutor
from batchcompute_dask.messages import Condition
from batchcompute_dask.settings import Options
from batchcompute_local.executors.base import Event, NodeDown
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

from tests.support.waits import wait_for


def test_a_message_that_is_torn_anywhere_is_the_end() -> None:
    whole = channel.frame(Condition("it is being connected to"))
    assert channel.receive(io.BytesIO(whole)) == Condition("it is being connected to")
    for length in range(len(whole)):
        with pytest.raises(EOFError):
            channel.receive(io.BytesIO(whole[:length]))


def refuse(event: Event) -> None:
    """A sink that takes nothing."""
    raise LookupError(f"{event} is not expected")


def test_an_error_in_the_thread_of_the_bridge_ends_the_service(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    executor = DaskExecutor(layout, Settings(), "job-", Options("tcp://127.0.0.1:1", insecure=True), lambda job: True)
    executor.open(refuse, {"job-1.0.0.1": "away"})  # no node answers, and so NodeDown is the first event
    try:
        assert not executor.has_failed
        wait_for(lambda: executor.has_failed, "the error")
    finally:
        executor.close()
    assert NodeDown.__name__ in caplog.text
    assert executor.trouble == "the connection to the cluster is being restarted: no program begins"
