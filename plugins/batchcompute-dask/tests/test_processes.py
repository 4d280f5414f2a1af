"""Workers that are processes of this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from batchcompute_dask.clusters.processes import Processes


def test_a_long_log_of_a_worker_is_put_aside_once(tmp_path: Path) -> None:
    log = tmp_path / "worker-w1.log"
    log.touch()
    os.truncate(log, (10 << 20) + 1)
    workers = Processes({"w1": ["echo", "another begins"]}, tmp_path)

    async def start() -> None:
        await workers.start("w1")
        while await workers.is_there("w1"):
            await asyncio.sleep(0.01)

    asyncio.run(start())
    assert log.read_text() == "another begins\n"
    assert (tmp_path / "worker-w1.log.1").stat().st_size == (10 << 20) + 1
