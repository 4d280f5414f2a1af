"""The same script runs anywhere: what the first pages and the demo show, in region local, over TCP and in a cloud.

Only the endpoint differs: the variables of a profile for the command line, and the word in `Client("local")`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batchcompute_local.client import control

from tests.support.cloud import REGION, StandIn, standing_in
from tests.support.pages import blocks_of
from tests.support.serving import serving

PAGES = ("README.md", "docs/quickstart.md")
"""The blocks of the Chinese ones are the same: test_translations.py."""
_OURS = 'Client("local")'


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    root = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(root))
        with standing_in(root) as found:
            yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of a user of a `serve`."""
    folder = tmp_path_factory.mktemp("served") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder.parent))
        with serving(folder) as url:
            key, secret = control.read_credentials(folder)
            yield {
                "BATCHCOMPUTE_ENDPOINT": url,
                "BATCHCOMPUTE_ACCESS_KEY_ID": key,
                "BATCHCOMPUTE_ACCESS_KEY_SECRET": secret,
            }


@pytest.fixture(params=["serve", "cloud"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    """Those that name the place and its key; region local needs none, and test_docs.py runs all pages there."""
    if request.param == "serve":
        return dict(request.getfixturevalue("served"))
    return dict(request.getfixturevalue("cloud").variables)


@pytest.fixture
def elsewhere(variables: dict[str, str], tmp_path: Path, isolated_environment: None) -> Iterator[dict[str, str]]:
    """The environment of a user there, whose own region local must stay unused."""
    (tmp_path / "cwd").mkdir()
    yield {
        **os.environ,
        **variables,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "BATCHCOMPUTE_DATA_DIR": str(tmp_path / "unused"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    assert not (tmp_path / "unused").exists(), "a service was started here"


@pytest.mark.parametrize("page", PAGES)
def test_pages(page: str, elsewhere: dict[str, str], tmp_path: Path) -> None:
    blocks = blocks_of(page)
    there = f"Client({elsewhere['BATCHCOMPUTE_ENDPOINT']!r})"
    assert sum(block["text"].count(_OURS) for block in blocks) == (1 if "README" in page else 0)
    moved = [block | {"text": block["text"].replace(_OURS, there)} for block in blocks]
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_page.py"))],
        input=json.dumps(moved),
        cwd=tmp_path / "cwd",
        env=elsewhere,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def test_the_demo(elsewhere: dict[str, str]) -> None:
    command = [sys.executable, "-c", "from batchcompute.cli import main; main()", "demo", "--format", "json"]
    where = ["--endpoint", elsewhere["BATCHCOMPUTE_ENDPOINT"]]
    done = subprocess.run([*command, *where], env=elsewhere, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["primes"] == 1229


def test_the_cloud_is_asked_by_its_own_names(cloud: StandIn, tmp_path: Path, isolated_environment: None) -> None:
    """The bucket is in front of the host of OSS, and no other host is asked for."""
    script = "from batchcompute import Client; print(list(Client().objects.list('oss://mine/none')))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **cloud.variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
    assert f"mine.oss-{REGION.name}.aliyuncs.com" in cloud.hosts
    assert all(host.endswith((REGION.host, f"oss-{REGION.name}.aliyuncs.com")) for host in cloud.hosts)
