"""The copies that the daemon makes by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from batchcompute_local.copying import Copying
from batchcompute_local.jobs.copies import list_copies
from batchcompute_local.paths import Layout
from batchcompute_local.settings import Settings

from tests.support.descriptions import describe
from tests.support.engine import World


def test_a_damaged_job_is_said_as_long_as_it_is_there(tmp_path: Path) -> None:
    layout = Layout.at(tmp_path)
    layout.create()
    world = World(tmp_path)
    assert world.path == layout.database
    now = 1000.0
    copying = Copying(layout, Settings(), lambda: now)
    world.end(f"{world.create(describe({'A': {}}))}.0.0.1")
    copying.copy(lambda: False)
    assert not copying.troubles()
    for exit_code, is_damaged in ((1, True), (0, False)):
        now += 5000
        with closing(sqlite3.connect(world.path)) as db:
            db.execute("UPDATE instances SET exit_code = ? WHERE job = 1", (exit_code,))
            db.commit()
        world.create(describe({"A": {}}))
        copying.copy(lambda: False)
        assert bool(copying.troubles()) is is_damaged
        if is_damaged:
            assert copying.troubles()[0].startswith(f"no copy of {layout.database} is made, since the copy and state-")
    assert len(list_copies(layout.copies)) == 2
    world.engine.store.close()
