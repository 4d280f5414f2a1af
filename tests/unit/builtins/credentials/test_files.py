"""Files that change while a Client uses them."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from batchcompute import CredentialsError
from batchcompute.builtins.credentials.alibabacloud_file import _parse
from batchcompute.builtins.credentials.files import Watched

SECRET = "zq9-canary-secret"
INI = f"[default]\ntype = access_key\naccess_key_id = one\naccess_key_secret = {SECRET}\n"


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    parsed: list[str] = []

    def parse(text: str) -> str:
        parsed.append(text)
        if text.startswith("bad"):
            raise CredentialsError("it is bad")
        return text

    files, path = Watched(parse), tmp_path / "file"
    path.write_text("one")
    assert files.read(str(path)) == "one"
    path.write_text("two")  # same size, and perhaps the same time stamp: a young file is not trusted
    assert files.read(str(path)) == "two"
    os.utime(path, (1000, 1000))
    assert [files.read(str(path)) for _ in range(3)] == ["two"] * 3
    assert parsed == ["one", "two", "two"]
    path.write_text("six")
    os.utime(path, (2000, 2000))
    assert files.read(str(path)) == "six"


def test_a_file_that_is_being_written_is_taken_as_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "credentials"
    path.write_text(INI)
    files = Watched(lambda text: json.loads(text) if text == "{}" else _parse(text))
    before = files.read(str(path))
    with caplog.at_level(logging.DEBUG):
        for text in ("", f"[default]\n{SECRET}"):
            path.write_text(text)
            assert files.read(str(path)) == before
    assert caplog.text.count("is taken as it was before") == 2
    assert "canary" not in caplog.text
    path.write_text("{}")
    assert files.read(str(path)) == {}
    path.unlink()
    with pytest.raises(CredentialsError, match="there is no file"):
        files.read(str(path))
