"""`make release`: build the wheels and the sdists of all packages, check them, and leave them in dist/.

    python -m tools.release [--check]

1. All places agree on the version, CHANGELOG.md has its section, the tree is clean and its commit has the tag `v<version>`.
2. Each wheel has the files of its package in the tree and no other; each sdist builds the same wheel, byte for byte.
3. The metadata is complete (`twine check --strict`).
4. A fresh environment with an empty HOME installs the wheels, takes the rest from the index, and runs the demo.

With `--check` (`make release-check`) the tree is built as it is: it needs no tag and no section, and dist/ is not touched.
Needs the package index, for the build back end and the dependencies. Builds are reproducible by hatchling's defaults.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from .versions import Project, find_problems, read_projects

ROOT = Path(__file__).resolve().parents[1]
_SECONDS = 900
_DEMO = "Primes below 10000: 1229"


def fail(*sentences: str) -> NoReturn:
    """Print these sentences and end with exit code 1."""
    raise SystemExit("\n".join(f"FAILED: {each}" for each in sentences))


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints; end with its output and exit code 1 if it fails."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        fail(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def check_tree(version: str, root: Path = ROOT) -> None:
    """Refuse a tree that differs from its commit, and a commit that has no tag `v<version>`."""
    if changed := run("git", "status", "--porcelain", cwd=root):
        fail(f"the tree is not clean; commit or remove:\n{changed.rstrip()}")
    if f"v{version}" not in run("git", "tag", "--points-at", "HEAD", cwd=root).split():
        fail(f"the commit has no tag v{version}; make it: git tag -a v{version} -m 'Version {version}'")


def build(project: Project, made: Path) -> tuple[Path, Path]:
    """Build the wheel and the sdist of a project from the tree into `made`, and return their paths."""
    run(sys.executable, "-m", "build", "--wheel", "--sdist", "--outdir", made, project.folder)
    return made / f"{project.stem}-py3-none-any.whl", made / f"{project.stem}.tar.gz"


def read_wheel(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def check_files(project: Project, wheel: Path) -> None:
    """Check that the wheel has the files of the import package, as they are in the tree."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", project.module)
    paths = [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]
    expected = {path.relative_to(project.module.parent).as_posix(): path.read_bytes() for path in paths}
    packed = {name: data for name, data in read_wheel(wheel).items() if ".dist-info/" not in name}
    if differing := find_differences(expected, packed):
        fail(f"{wheel.name} differs from {project.module.relative_to(ROOT)} in {', '.join(differing)}")


def check_sdist(sdist: Path, wheel: Path, rebuilt: Path) -> None:
    """Check that the sdist alone builds the same wheel."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", rebuilt, sdist)
    if differing := find_differences(read_wheel(wheel), read_wheel(rebuilt / wheel.name)):
        fail(f"{sdist.name} builds another wheel than the tree: {', '.join(differing)}")
    if (rebuilt / wheel.name).read_bytes() != wheel.read_bytes():
        fail(f"{wheel.name} has the same files when it is built from {sdist.name}, but other bytes")


def find_differences(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[str]:
    """Return the names that only one of them has, or that have another content in the other."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def check_installed(projects: Sequence[Project], wheels: Sequence[Path], folder: Path) -> None:
    """Install the wheels into a fresh environment with an empty HOME, and run a job there."""
    home = folder / "home"
    home.mkdir()
    python = folder / "venv/bin/python"
    batchcompute = python.with_name("batchcompute")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", f"{wheels[0]}[local,alibabacloud,oss]", *wheels[1:])
    run(*pip, "check")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env = kept | {"HOME": str(home), "BATCHCOMPUTE_DATA_DIR": str(home / "data")}
    for project in projects:
        script = f"import importlib.metadata as m, {project.module.name} as p; print(p.__version__, p.__file__)"
        script += f"; print(m.version('{project.name}'))"
        dunder, file, found = run(python, "-I", "-c", script, cwd=home, env=env).split()
        if (found, dunder) != (project.version, project.version) or not file.startswith(str(folder)):
            fail(f"{project.name} is installed as {found}, {dunder} in {file}, expected {project.version} in {folder}")
    shown = run(batchcompute, "--version", cwd=home, env=env).strip()
    if shown != f"batchcompute, version {projects[0].version}":
        fail(f"batchcompute --version prints {shown!r}")
    try:
        if _DEMO not in (shown := run(batchcompute, "demo", cwd=home, env=env)):
            fail(f"batchcompute demo does not print {_DEMO!r}:\n{shown}")
    finally:
        run(batchcompute, "local", "stop", cwd=home, env=env)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all steps. Exit code 1 and a sentence if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="take the tree as it is, and leave nothing in dist/")
    only_check = parser.parse_args(arguments).check
    projects = read_projects(ROOT)
    if problems := find_problems(ROOT, released=not only_check):
        fail(*problems)
    if not only_check:
        check_tree(projects[0].version)
    with tempfile.TemporaryDirectory(prefix="batchcompute-release-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        made = folder / "dist"
        wheels = []
        for project in projects:
            wheel, sdist = build(project, made)
            check_files(project, wheel)
            check_sdist(sdist, wheel, folder / project.name)
            wheels.append(wheel)
            print(f"ok: {wheel.name} and {sdist.name}", flush=True)
        files = sorted(made.iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *files)
        print("ok: metadata", flush=True)
        check_installed(projects, wheels, folder)
        print(f"ok: installed in a fresh environment: --version, and demo printed {_DEMO!r}", flush=True)
        if not only_check:
            shutil.rmtree(ROOT / "dist", ignore_errors=True)
            shutil.copytree(made, ROOT / "dist")
            print("\n".join(f"dist/{file.name}" for file in files))


if __name__ == "__main__":
    main()
