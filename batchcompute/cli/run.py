"""`batchcompute job run`: a job of one task from a command, without a description."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.exceptions import Exit

from .failures import Refused
from .output import plain, say
from .session import Command, Session, command
from .submit import Choices, bucket_option, dry_run_option, is_on_machine, send, timeout_option, wait_option

if TYPE_CHECKING:
    from ..values.resources import JobDescription

_PRIORITY = 100
_DECIDE = ("--wait", "-w", "--dry-run")
_SEPARATED = "batchcompute.separated"
_INTERPRETERS = (("python", r"python[0-9.]*"), ("php", r"php[0-9.]*"), ("java", "java"))
_ENDINGS = {".py": "python", ".php": "php", ".jar": "java", ".sh": "shell", ".bash": "shell"}


class Program(NamedTuple):
    """The program of a command: ProgramType, ProgramName, ProgramArguments."""

    kind: str
    name: str
    arguments: str


class _Separated(Command):
    """A command that notes in `ctx.meta` whether -- stands before its words, which click removes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        rest = super().parse_args(ctx, args)
        words = len(ctx.params.get("words") or ())
        ctx.meta[_SEPARATED] = given[: len(given) - words][-1:] == ["--"]
        return rest


@command(
    "run",
    examples=[
        "batchcompute job run worker.py --size 10",
        "batchcompute job run -n 4 --pack . -- python worker.py --size 10",
        "batchcompute job run --pack worker/ --env SIZE=10 --wait -- python main.py",
        "batchcompute job run --wait -- bash -c 'echo $ALI_DIKU_INSTANCE_ID'",
    ],
    allow_interspersed_args=False,  # options after the program belong to the program
    cls=_Separated,
)
@click.argument("words", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--instances", "-n", type=click.IntRange(1), default=1, show_default=True, help="Number of instances.")
@click.option("--pack", "folder", type=click.Path(exists=True, file_okay=False), help="The folder with the program.")
@click.option("--package", metavar="URI", help="An existing package, oss://bucket/key of a tar.gz.")
@click.option("--name", help="The name of the job.  [default: the program's]")
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="An environment variable; without =VALUE it has its value here. May be repeated.",
)
@click.option("--image", default="img-local", show_default=True, help="The image; see `image list`.")
@click.option("--cpu", type=int, help="CPU of each instance; 100 is a core.")
@click.option("--memory", type=int, help="Memory of each instance, in MB.")
@click.option("--timeout", type=int, default=86400, show_default=True, help="Time limit of each instance, in seconds.")
@click.option("--priority", type=int, default=_PRIORITY, show_default=True, help="Larger runs earlier.")
@click.option("--logs", metavar="URI", help="The folder of the logs.  [default: oss://BUCKET/NAME/logs/]")
@bucket_option
@dry_run_option
@wait_option
@timeout_option
def run(
    session: Session,
    words: Sequence[str],
    folder: str | None,
    package: str | None,
    bucket: str,
    dry_run: bool,
    wait: bool,
    wait_timeout: float | None,
    **task: Any,
) -> None:
    """Run COMMAND as a job.

    COMMAND begins with python, php or java and a program, with a file .py, .php, .jar or .sh, with the path of another file,
    such as ./tool, or with the name of a program that PATH finds where the job runs. Scripts .sh and other commands need
    region local.

    --pack uploads a folder. Without it only the program's file is uploaded, and for a .sh or another command the files of
    this folder that its words name. Nothing else is in the working folder. In region local the program has the PATH, the locale
    and the time zone of this shell, and python is what this PATH finds. Prints the job's id. With --wait, exits with 0
    if it Finished, 3 if it Failed, 4 if it was Stopped.

    JSON: the same as of `job submit`.
    """
    _check_options_behind(words)
    if folder is not None and package is not None:
        raise click.UsageError("--pack and --package exclude each other; use one")
    program = read_command(words)
    python = words[0] if program.kind == "python" and program.name != words[0] else ""
    data = None
    if package is None and folder is not None:
        program, data = _pack_folder(program, Path(folder))
    elif package is None:
        program, data = _pack_alone(program)
    description = describe(program, bucket=bucket, package=package, **task)
    with session.client() as client:
        raise Exit(send(session, client, description, data, Choices(bucket, dry_run, wait, wait_timeout, python)))


def _check_options_behind(words: Sequence[str]) -> None:
    """Notice words of the program that are options of this command, as in `job run x.py --wait`.

    After the first -- all words are the program's, and so are short options, of which programs have many. Raises UsageError for a
    flag that decides what is done, also for its short form.
    """
    ctx = click.get_current_context()
    if ctx.meta.get(_SEPARATED):
        return
    options = {*_DECIDE, *(name for one in ctx.command.params for name in one.opts if name.startswith("--"))}
    for place, word in enumerate(words):
        if word == "--":
            return
        name = word.partition("=")[0]
        if place == 0 or name not in options:
            continue
        if name in _DECIDE:
            before = shlex.join([*words[:place], *words[place + 1 :]])
            raise click.UsageError(
                f"{name} after the command goes to the program.\n"
                f"For `job run`: batchcompute job run {name} {before}\n"
                f"For the program: batchcompute job run -- {shlex.join(words)}"
            )
        say(f"Note: {name} after the command goes to the program; options of `job run` stand before the command.")


def read_command(words: Sequence[str]) -> Program:
    """Find the program in the words of a command. Raises Refused for an interpreter without a program."""
    first, rest = words[0], list(words[1:])
    kind = next((kind for kind, names in _INTERPRETERS if re.fullmatch(names, PurePath(first).name)), None)
    if kind is None:
        return Program(_ENDINGS.get(PurePath(first).suffix.lower(), "command"), first, shlex.join(rest))
    if kind == "java" and rest[:1] == ["-jar"]:
        rest = rest[1:]
    if not rest:
        raise Refused(f"{first} needs a program to run, such as `{first} worker.py`")
    if rest[0].startswith("-"):  # an option of the interpreter
        return Program("command", first, shlex.join(words[1:]))
    return Program(kind, rest[0], shlex.join(rest[1:]))


def describe(
    program: Program,
    *,
    bucket: str,
    package: str | None = None,
    name: str | None = None,
    instances: int = 1,
    variables: Sequence[str] = (),
    image: str = "",
    cpu: int | None = None,
    memory: int | None = None,
    timeout: int | None = None,
    priority: int = _PRIORITY,
    logs: str | None = None,
) -> JobDescription:
    """Describe a job of one task. Raises Refused for a variable that is not set here."""
    from ..values.resources import JobDescription

    task_name = re.sub(r"[^A-Za-z0-9_.-]", "-", PurePosixPath(program.name).stem).lstrip("_.-")[:64] or "task"
    name = name or task_name
    folder = re.sub(r"[^A-Za-z0-9_.-]", "-", name).lstrip(".") or task_name
    where = logs or f"oss://{bucket}/{folder}/logs/"
    task = {
        "PackageUri": package,
        "ProgramType": program.kind,
        "ProgramName": program.name,
        "ProgramArguments": program.arguments,
        "ImageId": image,
        "InstanceCount": instances,
        "Timeout": timeout,
        "EnvironmentVariables": _variables(variables),
        "StdoutRedirectPath": where,
        "StderrRedirectPath": where,
        "ResourceDescription": {"Cpu": cpu, "Memory": memory},
    }
    return JobDescription({"JobName": name, "Priority": priority, "TaskDag": {"TaskDescMap": {task_name: task}}})


def _variables(assignments: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not name:
            raise Refused(f"--env {assignment!r} is neither NAME=VALUE nor NAME")
        if not equals and name not in os.environ:
            raise Refused(f"--env {name}: no variable {name} is set here; give it a value with {name}=VALUE")
        found[name] = value if equals else os.environ[name]
    return found


def _pack_folder(program: Program, root: Path) -> tuple[Program, bytes]:
    """Return the program, named as in the folder `root`, and the folder's package."""
    from ..packing import pack

    path = Path(program.name)
    if not (root / path).is_file() and path.is_file() and path.resolve().is_relative_to(root.resolve()):
        path = path.resolve().relative_to(root.resolve())  # the path is relative to the cwd, not to the folder
    return program._replace(name=path.as_posix()), pack(root)


def _pack_alone(program: Program) -> tuple[Program, bytes | None]:
    """Return the program, named as in its package, and the package; None if there is nothing to pack. Raises Refused."""
    import shutil
    import tempfile

    from ..packing import pack

    path = Path(program.name)
    files = _find_named_files(program) if program.kind in ("shell", "command") else {}
    if program.kind != "command" or not is_on_machine(program.name):
        _check_file(program)
        if path.name in files and not path.samefile(path.name):
            raise Refused(
                f"{program.name!r} and {path.name!r} would be one file of the package; --pack DIR packs a folder"
            )
        files[path.name] = path
        program = program._replace(name=path.name)
    if not files:
        return program, None
    with tempfile.TemporaryDirectory() as alone:
        for name, file in files.items():
            copy = Path(alone) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)  # with its x bit
        return program, pack(alone, exclude=())


def _find_named_files(program: Program) -> dict[str, Path]:
    """Return the files below the cwd that the arguments name, by their paths in the package. Folders are only mentioned."""
    files = {}
    for word in shlex.split(program.arguments):
        name = os.path.normpath(word)
        if os.path.isabs(name) or name.split("/")[0] == ".." or "\0" in name:
            continue
        if os.path.isfile(name):
            files[name] = Path(name)
        elif os.path.isdir(word) and name != ".":
            say(f"The folder {plain(word)} is not uploaded; --pack DIR uploads a folder.")
    return files


def _check_file(program: Program) -> None:
    """Raises Refused if the program is not a file here, or a command that cannot be executed."""
    if not os.path.isfile(program.name):
        raise Refused(f"there is no file {program.name!r} here; --pack DIR names the folder that has the program")
    if program.kind == "command" and not os.access(program.name, os.X_OK):
        raise Refused(f"{program.name!r} is not executable: set its x bit with chmod +x, or begin with its interpreter")
