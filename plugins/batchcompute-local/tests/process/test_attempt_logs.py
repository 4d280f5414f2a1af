"""Logs of earlier attempts: which are renamed, which stay, which are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from batchcompute_local.process.attempt_logs import find_log, keep_log


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stdout.job-1.Say.0"


def write(log: Path, attempts: range, kept: int) -> None:
    """Have each attempt write its number, and keep the log of the one before."""
    for number in attempts:
        if number > 1:
            keep_log(str(log), number - 1, kept)
        log.write_text(str(number))


def test_the_newest_earlier_ones_stay(log: Path) -> None:
    log.with_name(log.name.replace(".0", ".01")).write_text("another instance")
    write(log, range(1, 7), kept=3)
    texts = {number: find_log(log, number).read_text() for number in (3, 4, 5, 6)}
    assert texts == {number: str(number) for number in (3, 4, 5, 6)}
    for number in (1, 2, 7):
        with pytest.raises(LookupError, match=r"; attempts with a log: 3, 4, 5, 6$"):
            find_log(log, number)
    keep_log(str(log), 6, 0)
    assert [path.name for path in log.parent.iterdir()] == ["stdout.job-1.Say.01"]


def test_the_newest_log_belongs_to_the_newest_attempt_that_began(log: Path) -> None:
    write(log, range(1, 2), 10)
    keep_log(str(log), 1, 10)
    write(log, range(3, 4), 10)  # attempt 2 was given back
    assert find_log(log, 3, 3).read_text() == "3"
    with pytest.raises(LookupError, match=r"attempt 2 wrote no log, or its log is not kept any more; .*: 1, 3$"):
        find_log(log, 2, 3)
    with pytest.raises(LookupError, match=r"no log of attempt 4; attempts with a log: 1, 3$"):
        find_log(log, 4, 3)


def test_the_newest_log_is_later_than_every_earlier_one(log: Path) -> None:
    """Its attempt has begun, but that is not reported yet."""
    write(log, range(1, 3), 10)
    assert [find_log(log, number, 1).read_text() for number in (1, 2)] == ["1", "2"]


def test_attempts_that_never_began_have_none_and_do_not_count(log: Path) -> None:
    log.write_text("2")
    keep_log(str(log), 2, 2)
    keep_log(str(log), 3, 2)
    log.write_text("4")
    keep_log(str(log), 4, 2)
    assert [find_log(log, number).read_text() for number in (2, 4)] == ["2", "4"]
    with pytest.raises(LookupError, match=r"; attempts with a log: 2, 4$"):
        find_log(log, 3)


def test_nothing_is_there(log: Path) -> None:
    keep_log(str(log), 1, 10)
    keep_log(str(log.parent / "no" / "folder"), 1, 10)
    for path in (log, log.parent / "no" / "folder"):
        with pytest.raises(LookupError, match=r"; attempts with a log: none$"):
            find_log(path, 1)


def test_only_regular_files_are_touched(log: Path) -> None:
    """A program may replace its log by anything."""
    precious = log.parent / "precious"
    precious.write_text("stays")
    log.symlink_to(precious)
    keep_log(str(log), 3, 1)
    assert log.is_symlink()
    earlier = log.with_name(f"{log.name}.attempt-2")
    earlier.symlink_to(precious)
    log.unlink()
    write(log, range(4, 7), kept=1)
    assert earlier.is_symlink()
    assert precious.read_text() == "stays"
    with pytest.raises(LookupError):
        find_log(log, 2)
