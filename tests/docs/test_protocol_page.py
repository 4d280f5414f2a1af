"""docs/protocol.md has the operations, states and hosts that the client has."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from batchcompute.operations import OPERATIONS
from batchcompute.regions import CLOUD_REGIONS

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
ACTIONS = {
    "stop": "stop_job",
    "start": "start_job",
    "change the priority": "update_job_priority",
    "delete": "delete_job",
}


def rows(section: str) -> dict[str, str]:
    """The first two columns of the tables of a section, without the marks of code."""
    text = PAGE.partition(f"\n### {section} ")[2].partition("\n#")[0]
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", text.replace("`", ""), flags=re.MULTILINE))


def test_operations() -> None:
    shown = {name: target for name, target in rows("1.2").items() if name in OPERATIONS}
    assert shown == {name: f"{one.method} {unquote(one.target('{id}'))}" for name, one in OPERATIONS.items()}


def test_states_in_which_an_action_is_allowed() -> None:
    table = rows("2.3")
    assert {action: table[action] for action in ACTIONS} == {
        action: ", ".join(OPERATIONS[name].states) for action, name in ACTIONS.items()
    }
    assert sorted(name for name, one in OPERATIONS.items() if one.states) == sorted(ACTIONS.values())


def test_hosts() -> None:
    shown = {region: text.partition(",")[0] for region, text in rows("1.1").items() if region.startswith("cn-")}
    assert shown == {region.name: region.host for region in CLOUD_REGIONS}
