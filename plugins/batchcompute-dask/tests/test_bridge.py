"""What the bridge tells nodes of its service."""

from __future__ import annotations

import pytest
from batchcompute_dask.bridge.__main__ import _settings_of_nodes
from batchcompute_dask.messages import Begin
from batchcompute_dask.settings import Options
from batchcompute_local.settings import Settings


@pytest.mark.parametrize("shared_files", [True, False])
def test_nodes_do_not_get_the_options_of_executors(shared_files: bool) -> None:
    settings = Settings(slots=3, executors={"dask": {"environment": {"SSH_AUTH_SOCK": "/of/the/service"}}})
    options = Options("tls://h:1", shared_files=shared_files)
    assert _settings_of_nodes(Begin(1, "/data", "job-", options, settings, {}, ())) == Settings(slots=3)
