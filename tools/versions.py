"""Finds the packages of this repository, and checks that all places agree on their version. Reads files only."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

_HEADING = re.compile(r"^## \[(.+?)\](?: - (\S+))?$", re.MULTILINE)
_UNRELEASED = "Unreleased"


@dataclass(frozen=True)
class Project:
    """One package: the folder of its pyproject.toml, and what stands there."""

    folder: Path
    name: str
    version: str
    dependencies: tuple[str, ...]
    """Required ones, and those of all extras."""
    module: Path
    """The folder of the import package."""

    @property
    def stem(self) -> str:
        """How the names of its wheel and its sdist begin."""
        return f"{self.name.replace('-', '_')}-{self.version}"


def read_projects(root: Path) -> list[Project]:
    """Read the pyproject.toml at `root` and those in plugins/, the SDK first. Examples are left out: they are not published."""
    files = [root / "pyproject.toml", *sorted(root.glob("plugins/*/pyproject.toml"))]
    return [_read_project(file) for file in files]


def _read_project(file: Path) -> Project:
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    project = data["project"]
    extras = project.get("optional-dependencies", {}).values()
    (package,) = data["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return Project(
        folder=file.parent,
        name=project["name"],
        version=project["version"],
        dependencies=(*project["dependencies"], *(each for extra in extras for each in extra)),
        module=file.parent / package,
    )


def find_problems(root: Path, *, released: bool) -> list[str]:
    """Return a sentence for each place that does not agree. With `released` CHANGELOG.md must have a section of the version."""
    projects = read_projects(root)
    version = projects[0].version
    names = {project.name for project in projects}
    problems = []
    for project in projects:
        where = (project.folder / "pyproject.toml").relative_to(root)
        if project.version != version:
            problems.append(f"{where}: version is {project.version}, that of {projects[0].name} is {version}")
        if (given := _read_dunder_version(project)) != project.version:
            problems.append(f"{project.module.relative_to(root)}: __version__ is {given}, expected {project.version}")
        for dependency in project.dependencies:
            name, bounds = re.fullmatch(r"([\w.-]+)(.*)", dependency, re.DOTALL).groups()  # type: ignore[union-attr]  # a name is there
            if name in names and bounds != (wanted := _make_range(version)):
                problems.append(f"{where}: {dependency} is wrong, expected {name}{wanted}")
        if (project.folder / "LICENSE").read_bytes() != (root / "LICENSE").read_bytes():
            problems.append(f"{where.parent}/LICENSE is not the LICENSE of the repository")
    for readme in ("README.md", "README.zh.md"):
        if version not in (root / readme).read_text(encoding="utf-8"):
            problems.append(f"{readme}: does not name version {version}")
    return problems + _check_changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"), version, released)


def _read_dunder_version(project: Project) -> str | None:
    """Return `__version__` as it is written, without an import of the package. None if absent."""
    for node in ast.parse((project.module / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    return None


def _make_range(version: str) -> str:
    """Return the versions that our packages accept of each other. They use parts of each other that are not public."""
    major, minor, _ = version.split(".")
    return f">={major}.{minor},<{int(major) + 1}"


def _check_changelog(text: str, version: str, released: bool) -> list[str]:
    """Expect `version` with a date as the first section; before the release [Unreleased] above older versions will do."""
    sections = _HEADING.findall(text)
    if not sections:
        return ["CHANGELOG.md: has no section like `## [3.1.0] - 2026-11-24`"]
    name, date = sections[0]
    if name == version:
        return [] if re.fullmatch(r"\d{4}-\d\d-\d\d", date) else [f"CHANGELOG.md: [{version}] has no date"]
    if released:
        return [f"CHANGELOG.md: the first section is [{name}], expected [{version}] with its date"]
    if name != _UNRELEASED:
        return [f"CHANGELOG.md: the first section is [{name}], expected [{version}] or [{_UNRELEASED}]"]
    if version in (each for each, _ in sections):
        return [f"CHANGELOG.md: [{version}] is released, so what is [{_UNRELEASED}] needs a new version number"]
    return []
