"""The journal: what was appended is read again, and what is not a whole record is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batchcompute_local.records import ExitRecord, StartRecord, encode
from batchcompute_local.runner.journal import Journal


def _exit(attempt: str) -> ExitRecord:
    return ExitRecord(attempt, code=0, started=1.0, ended=2.0, host="h", cwd="/c")


def test_a_torn_journal_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(encode(_exit("a")) + b'{"attempt":"b","ev')
    journal = Journal(path)
    assert journal.records == [_exit("a")]
    journal.append([_exit("c")])
    journal.close()
    journal = Journal(path)
    assert journal.records == [_exit("a"), _exit("c")]
    journal.rewrite([_exit("d")])
    journal.append([_exit("e")])
    journal.close()
    journal = Journal(path)
    assert journal.records == [_exit("d"), _exit("e")]
    assert not journal.faults
    journal.clear()
    assert journal.size == 0
    journal.close()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"attempt": "x", "event": "started"}, "StartRecord has no field 'time'"),
        ({"attempt": 7, "event": "lost"}, "the field 'attempt' cannot be 7"),
        ({"attempt": "x", "event": "finished"}, "'event' must be one of"),
        ({"attempt": "x"}, "'event' must be one of"),
        (["started"], "'event' must be one of"),
        ({"attempt": "x", "event": "exited", "code": "0"}, "the field 'code' cannot be a value of type str"),
    ],
)
def test_an_odd_line_is_left_out_and_named(tmp_path: Path, line: object, fault: str) -> None:
    path = tmp_path / "journal"
    start = StartRecord("b", 1.0, "h", pid=1, boot="boot", born=(1, 2))
    path.write_bytes(encode(_exit("a")) + json.dumps(line).encode() + b"\n" + encode(start))
    journal = Journal(path)
    assert journal.records == [_exit("a"), start]
    assert len(journal.faults) == 1
    assert journal.faults[0].startswith("line 2: ")
    assert fault in journal.faults[0]
    journal.close()
