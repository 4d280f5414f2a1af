"""Every correction is needed, and docs/reference-examples.md tells all of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Example, World

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "reference-examples.md"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_nothing_is_corrected_that_would_run(world: World, correction: tuple[Example, int]) -> None:
    """With one correction left out an example breaks, or its call finds no such job."""
    example, number = correction
    job_id = world.job("Finished")
    names = {
        "client": world.client,
        "job_desc": world.properties(),
        "given_job": world.client.get_job(job_id),
        "given_job_id": job_id,
        "given_properties": world.properties(),
        "given_dag": world.properties()["TaskDag"],
        "given_task": world.task(),
    }
    if "'job-xxxx'" in example.corrections[number].old:
        assert example.run(names, without=number).startswith("ResourceNotFound: Specified resource job-xxxx ")
    else:
        with pytest.raises((SyntaxError, NameError, TypeError, ValueError, AttributeError, AssertionError)):
            example.run(names, without=number)


def test_the_page_lists_every_example(examples: dict[str, Example]) -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == [_row(example) for example in examples.values()]


def _row(example: Example) -> str:
    corrected = "; ".join(correction.why for correction in example.corrections) or "nothing"
    warned = "; ".join(f"`{text}`" for text in example.warns) or "-"
    return f"| `{example.id}` | {example.section} | {corrected} | {warned} |"


def test_every_example_has_a_test(examples: dict[str, Example]) -> None:
    """An example that no test names in a call of `run`, or in its parameters, is not run."""
    named = set()
    for path in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
    assert set(examples) <= named
