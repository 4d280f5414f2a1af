"""docs/hooks.md names every hook, as it really is, and every field of every context; each hook has a test of its effect."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path

import pytest

from batchcompute import hooks
from batchcompute.hooks import contexts, specs

ROOT = Path(__file__).parents[2]
_SIGNATURE = re.compile(r"^`(\w+)(\(.*)`$")
_SECTION = re.compile(r"^#### `(\w+)`$", re.MULTILINE)


@cache
def page() -> str:
    return (ROOT / "docs/hooks.md").read_text(encoding="utf-8")


def specified() -> dict[str, str]:
    """The signature of every hook in specs.py, without its name."""
    tree = ast.parse(Path(specs.__file__).read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any("hookspec" in ast.unparse(mark) for mark in node.decorator_list):
            assert node.returns is not None
            found[node.name] = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
    return found


def sections(text: str) -> dict[str, str]:
    """What the page says of each hook, by the name in its heading."""
    parts = _SECTION.split(text)
    ends = re.compile(r"^#{1,3} ", re.MULTILINE)
    return {name: ends.split(body)[0] for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def documented(text: str) -> dict[str, str]:
    """The signature that stands in each hook's section, alone on a line, normalised like `specified`."""
    found = {}
    for heading, body in sections(text).items():
        for line in body.splitlines():
            match = _SIGNATURE.match(line)
            if match:
                (node,) = ast.parse(f"def {match[1]}{match[2]}: ...").body
                assert isinstance(node, ast.FunctionDef)
                assert node.name == heading, f"the section of {heading} shows the signature of {node.name}"
                assert node.returns is not None, f"{heading} is shown without what it answers"
                found[heading] = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
    return found


LABELS = ("When", "Set", "None", "Exception")


def contract_of(hook: str) -> dict[str, str]:
    """The four promises in the docstring of a hook in specs.py."""
    text = " ".join((getattr(specs, hook).__doc__ or "").split())
    parts = re.split(rf"({'|'.join(LABELS)}): ", text)[1:]
    return {label: said.strip() for label, said in zip(parts[::2], parts[1::2], strict=True)}


def shown_contract(section: str) -> dict[str, str]:
    """The same promises as a section of the page lists them."""
    items = re.findall(r"^- \*\*(\w+):\*\* (.*(?:\n  .*)*)", section, re.MULTILINE)
    return {label: " ".join(said.split()) for label, said in items}


def effects() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every test of the files that show what hooks change."""
    for path in ROOT.glob("tests/unit/hooks/test_hook_effects*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name, node


def implements(test: ast.FunctionDef, hook: str) -> bool:
    """Whether a test gives a plugin with this hook to somebody, and then looks at something."""
    marked = any(
        isinstance(node, ast.FunctionDef)
        and node.name == hook
        and any("hookimpl" in ast.unparse(mark) for mark in node.decorator_list)
        for node in ast.walk(test)
    )
    return marked and any(isinstance(node, ast.Assert) for node in ast.walk(test))


HOOKS = specified()
CONTEXTS = sorted(
    name for name, kind in vars(contexts).items() if is_dataclass(kind) and kind.__module__ == contexts.__name__
)


def test_the_hooks_are_those_that_plugins_can_implement() -> None:
    assert set(HOOKS) == {name for name, spec in vars(specs).items() if hasattr(spec, "batchcompute_spec")}
    assert len(HOOKS) >= 17


@pytest.mark.parametrize("hook", HOOKS)
def test_signature(hook: str) -> None:
    assert hook in sections(page()), f"docs/hooks.md has no section '#### `{hook}`'"
    assert documented(page()).get(hook) == HOOKS[hook]


@pytest.mark.parametrize("hook", HOOKS)
def test_contract(hook: str) -> None:
    """When it runs, what is set, what None and an exception do: in the docstring, and in the same words on the page."""
    assert tuple(contract_of(hook)) == LABELS, f"{hook}: the docstring in specs.py lacks a promise"
    assert all(contract_of(hook).values())
    assert shown_contract(sections(page())[hook]) == contract_of(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_what_is_set_is_in_the_context(hook: str) -> None:
    """Each `ctx.name` of a contract is a field or a property of the hook's context."""
    kind = getattr(contexts, re.search(r"ctx: (\w+)", HOOKS[hook])[1])  # type: ignore[index]  # every hook has one
    named = set(re.findall(r"`ctx\.(\w+)`", " ".join(contract_of(hook).values())))
    assert named
    assert [name for name in named if not hasattr(kind, name)] == []


def test_a_wrong_contract_is_noticed() -> None:
    right = "\n".join(f"- **{label}:** {said}" for label, said in contract_of("fetch_log").items())
    assert shown_contract(right) == contract_of("fetch_log")
    assert shown_contract(right.replace("once for", "twice for")) != contract_of("fetch_log")
    assert shown_contract(right.replace(" also", "\n  also")) == contract_of("fetch_log")


def test_no_hook_is_made_up() -> None:
    assert set(sections(page())) <= set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_example(hook: str) -> None:
    """A block that docs/test_docs.py runs defines the hook, marked as one."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL))
    defined = {
        node.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef) and any("hookimpl" in ast.unparse(mark) for mark in node.decorator_list)
    }
    assert hook in defined


@pytest.mark.parametrize("hook", HOOKS)
def test_effect(hook: str) -> None:
    tests = [test for name, test in effects() if name.startswith(f"test_{hook}_")]
    assert any(implements(test, hook) for test in tests), (
        f"no test_{hook}_... in tests/unit/hooks/test_hook_effects*.py"
    )


@pytest.mark.parametrize("hook", HOOKS)
def test_what_none_means_and_how_often(hook: str) -> None:
    """Firstresult hooks can decline; what a None does must be said. Observers' answers are ignored, and that is said once."""
    text = sections(page())[hook]
    assert re.search(r"\b[Oo]nce\b|\b[Ee]ach\b|\b[Ee]very\b|\b[Ww]henever\b", text), f"{hook}: how often?"
    if "None" in HOOKS[hook].rpartition("->")[2] and not HOOKS[hook].endswith("-> None"):
        assert "None" in text.replace(HOOKS[hook], ""), f"{hook}: what does None mean?"
    options = getattr(specs, hook).batchcompute_spec
    said = "First answer" in text
    assert said == bool(options["firstresult"]), f"{hook}: firstresult or all?"


@pytest.mark.parametrize("context", CONTEXTS)
def test_fields_of_contexts(context: str) -> None:
    kind = getattr(contexts, context)
    match = re.search(rf"^\| `{context}` \| (.*) \|$", page(), re.MULTILINE)
    assert match, f"docs/hooks.md has no row of {context}"
    public = {name for name, value in vars(kind).items() if isinstance(value, property)}
    assert {item.name for item in fields(kind)} | public <= set(re.findall(r"`(\w+)`", match[1]))


@pytest.mark.parametrize("name", sorted(set(hooks.__all__) - set(CONTEXTS)))
def test_protocols_are_named(name: str) -> None:
    assert re.search(rf"`{name}`|\b{name}\b", page())


def test_the_parts_of_the_page_keep_their_contracts(tmp_path: Path) -> None:
    """The page says that its transport, its provider and its signatures do what the SDK relies on."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page(), re.MULTILINE | re.DOTALL)
    module = tmp_path / "test_of_the_page.py"
    module.write_text("\n".join(blocks), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(module)]
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    classes = {node.name: node for node in ast.parse("\n".join(blocks)).body if isinstance(node, ast.ClassDef)}
    passed = Counter(re.findall(r"::(Test\w+)::\S+ PASSED", done.stdout))
    assert set(passed) == {name for name in classes if name.startswith("Test")}
    assert min(passed.values()) > 5
    signers = {
        name for name, node in classes.items() if any(getattr(it, "name", "") == "sign_request" for it in node.body)
    }
    signers.discard("Careless")  # shows what an error says
    assert len(signers) >= 3
    assert {f"Test{name}" for name in signers} <= set(passed), "a signature of the page has no contract"


def test_a_wrong_signature_is_noticed() -> None:
    right = "#### `fetch_log`\n\n`fetch_log(ctx: LogContext) -> BinaryIO | None`\n"
    assert documented(right) == {"fetch_log": HOOKS["fetch_log"]}
    assert documented(right.replace("BinaryIO", "bytes")) != {"fetch_log": HOOKS["fetch_log"]}
    assert documented(right.replace("ctx: LogContext", "context: LogContext")) != {"fetch_log": HOOKS["fetch_log"]}
    assert documented("#### `fetch_log`\n\n### Other\n\n`fetch_log(ctx: LogContext) -> BinaryIO | None`\n") == {}
