"""`batchcompute config show` and `batchcompute plugin list`."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batchcompute import ConfigError
from batchcompute.builtins import BUILTINS
from batchcompute.cli import cli
from batchcompute.hooks import hookimpl, loading

USER = """
endpoint = "cn-qingdao"
access_key_id = "id"
access_key_secret = "zq9-canary"
transport.https_proxy = "http://user:zq9-canary@proxy.example"
"""


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "home/.config/batchcompute/config.toml"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    return path


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args, catch_exceptions=False)


def test_config_show(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user.write_text(USER)
    monkeypatch.setenv("BATCHCOMPUTE_RETRY_ATTEMPTS", "2")
    lines = [line.partition("  # ") for line in run("config", "show").output.splitlines()]
    shown = {setting.strip(): source for setting, _, source in lines}
    assert shown['endpoint = "cn-qingdao"'] == f"{user}, line 2"
    assert shown['access_key_secret = "***"'] == f"{user}, line 4"
    assert shown['transport.https_proxy = "http://***@proxy.example"'] == f"{user}, line 5"
    assert shown["retry.attempts = 2"] == "BATCHCOMPUTE_RETRY_ATTEMPTS"
    assert shown["security_token = null"] == "default"


def test_config_show_json(user: Path) -> None:
    user.write_text(USER)
    result = run("config", "show", "--format", "json")
    shown = {item["name"]: item for item in json.loads(result.output)}
    assert shown["access_key_id"] == {"name": "access_key_id", "value": "id", "source": f"{user}, line 3"}
    assert shown["plugins.block"]["value"] == []
    assert "zq9" not in result.output


def test_a_mistake_is_an_error(user: Path) -> None:
    user.write_text("endpint = 1")
    with pytest.raises(ConfigError, match="did you mean 'endpoint'"):
        run("config", "show")


class Point:
    """An installed plugin."""

    def __init__(self, name: str, plugin: Any) -> None:
        self.name = name
        self.dist = importlib.metadata.distribution("batchcompute")
        self.plugin = plugin

    def load(self) -> Any:
        if isinstance(self.plugin, Exception):
            raise self.plugin
        return self.plugin


class Good:
    @hookimpl
    def humanize_timestamp(self, ctx: Any) -> str:
        return "now"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = {"good": Good(), "broken": ImportError("no module"), "unwanted": Good()}
    points = tuple((f"batchcompute:{name}", Point(name, plugin)) for name, plugin in plugins.items())
    monkeypatch.setattr(loading, "installed_plugins", lambda: points)
    monkeypatch.setenv("BATCHCOMPUTE_PLUGINS", "-unwanted,-timestamps")
    monkeypatch.setenv("BATCHCOMPUTE_PLUGINS_STRICT", "true")


def test_plugin_list_json(user: Path, installed: None) -> None:
    shown = json.loads(run("plugin", "list", "--format", "json").output)
    version = importlib.metadata.version("batchcompute")
    used = {item["name"]: item for item in shown["plugins"]}
    assert next(iter(used)) == "batchcompute:good"
    assert used["batchcompute:good"] == {
        "name": "batchcompute:good",
        "distribution": "batchcompute",
        "version": version,
        "hooks": ["humanize_timestamp"],
    }
    assert set(used) == {"batchcompute:good", *BUILTINS} - {"timestamps"}
    assert {item["name"]: item["why"] for item in shown["skipped"]} == {
        "timestamps": "blocked by configuration",
        "batchcompute:unwanted": "blocked by configuration",
        "batchcompute:broken": "cannot be loaded: ImportError: no module",
    }


def test_plugin_list(user: Path, installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHCOMPUTE_PLUGINS", "-unwanted,-tracng")
    result = run("plugin", "list")
    version = importlib.metadata.version("batchcompute")
    assert f"batchcompute:good  (batchcompute {version})\n    humanize_timestamp\n" in result.output
    assert f"  batchcompute:broken  (batchcompute {version}): cannot be loaded: ImportError: no module" in result.output
    assert "did you mean 'tracing'?" in result.output
    assert "Warning: plugin batchcompute:broken" not in result.output
