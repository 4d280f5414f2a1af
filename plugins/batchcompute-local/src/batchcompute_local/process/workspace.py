"""Prepare an instance: its working folder, command line, environment and log files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from batchcompute.surroundings import LOCALE_VARIABLES, Surroundings
from batchcompute_local import known_state
from batchcompute_local.attempt_files import AttemptFiles, Keys
from batchcompute_local.executors.base import Launch
from batchcompute_local.images import Image
from batchcompute_local.objects import address
from batchcompute_local.paths import ENV_ATTEMPT, Layout
from batchcompute_local.plan import LOCAL_IMAGE, TaskSpec
from batchcompute_local.process.kept_logs import KeptLogs
from batchcompute_local.process.mappings import Mapper, MappingError
from batchcompute_local.process.packages import Package, PackageError, Packages
from batchcompute_local.process.patience import access
from batchcompute_local.process.pool import FolderPool
from batchcompute_local.process.sources import Sources
from batchcompute_local.procs import ATTEMPT_VARIABLE
from batchcompute_local.programs import BUILT_IN, Program, ProgramError, ProgramType
from batchcompute_local.records import Warm
from batchcompute_local.removal import Remover
from batchcompute_local.settings import Settings
from batchcompute_local.storage import ObjectStore, UriError, split_uri

_CWD, _ATTEMPT = "\0c", "\0a"
"""Placeholders of the working folder and the attempt in a command line. No user's text can contain a NUL."""
_THIS_MACHINE = Image(LOCAL_IMAGE)
_OF_THE_SUBMITTER = frozenset({"PATH", *LOCALE_VARIABLES, "TZ"})
_AT_START = re.compile("PYTHON|LD_|LC_|LANG|TZ|HOME|GLIBC_|MALLOC_")
"""How the names of variables begin that an interpreter, or what loads it, reads when it begins."""
_NUMBERED = ("ALI_DIKU_INSTANCE_ID", "BATCH_COMPUTE_DAG_INSTANCE_ID")


class PreparationError(Exception):
    """The instance cannot run, and fails; the message says why."""


@dataclass(frozen=True)
class Prepared:
    """A prepared instance, ready for the runner. `argv[0]` is an absolute path."""

    argv: list[str]
    cwd: Path
    environment: Mapping[str, str] = field(repr=False)
    stdout: Path
    stderr: Path
    package: Package
    warm: Warm | None = None


@dataclass(frozen=True)
class _Common:
    """The common part of a task's instances, computed once for a version of the package."""

    task: TaskSpec
    surroundings: Surroundings | None = field(repr=False)
    package: Package
    base: str
    argv: list[str]
    environment: Mapping[str, str] = field(repr=False)
    numbered: tuple[str, ...]
    stdout: str
    stderr: str
    warm: Warm | None


def log_path(
    layout: Layout, redirect: str, stream: str, job: str, task: str, number: int, elsewhere: Container[str] = ()
) -> Path:
    """Return the file of an instance's `stream` (stdout, stderr). `redirect` is its task's redirect path, or "" (protocol 2.9).

    A log for one of the buckets `elsewhere` is in the folder from which it is sent.
    Raises UriError if the redirect path is not a usable URI.
    """
    name = f"{stream}.{job}.{task}.{number}"
    if not redirect:
        return layout.logs(job) / name
    uri = f"{redirect.rstrip('/')}/{name}"
    return ObjectStore(layout.unsent if split_uri(uri)[0] in elsewhere else layout.oss).place(uri)


class Workspaces:
    """Prepares instances. Thread-safe. Writes files, so not for the engine's thread."""

    def __init__(self, layout: Layout, settings: Settings, keys: Keys | None = None) -> None:
        """`keys` are the access keys of attempts, where this data folder is not the service's."""
        self._layout = layout
        self._settings = settings
        self._sources = Sources(ObjectStore(layout.oss), settings.buckets, layout.unsent)
        self._packages = Packages(layout.packages, settings)
        self._own = {**known_state.environment(), **settings.environment}
        self._remover = Remover(layout.trash)
        self._pool = FolderPool(layout.pool, self._remover)
        self._mapper = Mapper(layout, self._sources)
        self._kept_logs = KeptLogs(layout.kept_logs)
        self._latest: _Common | None = None
        self.attempt_files = AttemptFiles(layout, keys)

    def logs(self, launch: Launch) -> tuple[Path, Path]:
        """Return the files of stdout and stderr; create their folders. Raises PreparationError."""
        return self._log(launch, "stdout", launch.task.stdout), self._log(launch, "stderr", launch.task.stderr)

    def is_quick(self, task: TaskSpec) -> bool:
        """Check if preparing an instance of `task` is cheap, as far as that is known without a look at any file."""
        return self._packages.is_known(task.package_uri)

    def is_at_hand(self, task: TaskSpec) -> bool:
        """Check if the package of `task` is small, in memory and unchanged."""
        return self._packages.at_hand(task.package_uri) is not None

    def prepare(self, launch: Launch) -> Prepared:
        """Prepare an instance, its working folder included. Raises PreparationError."""
        try:
            common = self._common_to_task(launch)
            cwd = f"{common.base}{launch.number}"
            self._make_folder(common.package, cwd)
            self.attempt_files.write(launch.owner, launch.attempt)
        except (PackageError, ProgramError, MappingError, UriError) as problem:
            raise PreparationError(str(problem)) from None
        except OSError as error:
            raise PreparationError(f"cannot create the working folder or the attempt file: {error}") from None
        number = str(launch.number)
        self._probe(launch, common)
        return Prepared(
            argv=[word.replace(_CWD, cwd).replace(_ATTEMPT, launch.attempt) for word in common.argv],
            cwd=Path(cwd),
            environment={
                **common.environment,
                **dict.fromkeys(common.numbered, number),
                ATTEMPT_VARIABLE: launch.attempt,
                ENV_ATTEMPT: self.attempt_files.path(launch.attempt),
            },
            stdout=Path(common.stdout + number),
            stderr=Path(common.stderr + number),
            package=common.package,
            warm=common.warm,
        )

    @staticmethod
    def _probe(launch: Launch, common: _Common) -> None:
        """Look whether what the runner will open answers: it has one thread. A file system's facts are asked of its server."""
        redirected = zip((launch.task.stdout, launch.task.stderr), (common.stdout, common.stderr), strict=True)
        paths = [os.path.dirname(name) for redirect, name in redirected if redirect]
        if not common.argv[0].startswith(_CWD):  # that folder is on a disk of this machine
            paths.append(common.argv[0])
        for path in paths:
            with access(path), suppress(OSError):  # the runner says what is wrong
                os.statvfs(path)

    def _common_to_task(self, launch: Launch) -> _Common:
        """Return the common part of the task's instances. Raises the errors that `prepare` turns into PreparationError."""
        task, uri, latest = launch.task, launch.task.package_uri, self._latest
        package = self._packages.at_hand(uri) or self._packages.get(self._sources.find(uri), uri)
        base = str(self._layout.instance(launch.job, task.name, 0)).removesuffix("0")
        known = latest is not None and latest.task is task and latest.base == base and latest.package is package
        known = known and not self._mapper.is_elsewhere(task)
        if latest is not None and known and not _is_gone(latest.surroundings):
            return latest
        environment = self._environment(launch)
        argv = self._command(launch, package.folder, environment)
        # created for the longest of their names
        last = max(task.instance_count - 1, launch.number)
        stdout, stderr = (str(path).removesuffix(str(last)) for path in self.logs(replace(launch, number=last)))
        os.makedirs(os.path.dirname(base), mode=0o700, exist_ok=True)
        numbered = tuple(name for name in _NUMBERED if name not in task.environment)
        self._latest = common = _Common(
            task,
            launch.surroundings,
            package,
            base,
            argv,
            environment,
            numbered,
            stdout,
            stderr,
            self._warm(launch, environment),
        )
        return common

    def keep(self, package: Package, folder: str) -> bool:
        """Put `folder`, whose instance of `package` succeeded, into the folder pool. False if it is not kept."""
        return self._pool.keep(package, folder)

    def tidy(self, wanted: Callable[[str], bool]) -> None:
        """Have removed: files of jobs that are not `wanted`, the folder pool, packages of earlier boots, and the trash."""
        self._remover.tidy()
        self._packages.tidy(self._remover)
        self._pool.tidy()
        folder = self._layout.work("x").parent
        for job in folder.iterdir() if folder.is_dir() else ():
            if job != self._layout.trash and not wanted(job.name):
                self._remover.remove(job)

    def forget(self, job: str) -> None:
        """Have the working folders and logs of a job removed."""
        self._remover.remove(self._layout.work(job))
        self._kept_logs.forget([job])

    def remove(self, folder: str) -> None:
        """Free the name of a working folder, and have the folder removed. Raises OSError if it keeps its name."""
        self._remover.move_away(folder)

    def _make_folder(self, package: Package, cwd: str) -> None:
        """Create the folder `cwd` with the content of `package`; replace one of an earlier attempt. Raises OSError."""
        if self._pool.use(package, cwd):
            return
        try:
            package.copy_to(cwd)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(cwd), mode=0o700, exist_ok=True)
            package.copy_to(cwd)
        except FileExistsError:
            self._remover.move_away(cwd)  # removed in another thread: this may be the engine's
            package.copy_to(cwd)

    def _log(self, launch: Launch, stream: str, redirect: str) -> Path:
        try:
            with access(self._layout.oss / redirect.removeprefix("oss://")):
                task, buckets = launch.task.name, self._settings.buckets
                path = log_path(self._layout, redirect, stream, launch.job, task, launch.number, buckets)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (UriError, OSError) as error:
            raise PreparationError(f"cannot write {stream}: {error}") from None
        return path

    def _command(self, launch: Launch, package: Path, environment: Mapping[str, str]) -> list[str]:
        """Return the command line of a task, with `_CWD` and `_ATTEMPT` in it. Raises ProgramError, MappingError."""
        task = launch.task
        kind, image = task.program_type, self._settings.images.get(task.image_id) or _THIS_MACHINE

        named = image.programs.get(kind) or (None if image.command else self._settings.find_interpreter(kind))

        def find(program: str) -> str | None:
            return program if image.command else _find(program, environment)

        def interpreter(default: str) -> str:
            if image.command:
                return named or kind  # searched in the image
            if named is not None:
                return _found(named, kind, self._own)
            if kind == "python" and launch.surroundings is not None and launch.surroundings.interpreter:
                return _submitters(launch.surroundings)
            return _found(default, kind, environment)

        program_type = BUILT_IN.get(kind) or _installed(kind)
        if program_type is None:
            raise ProgramError(f"program type {kind!r} is no longer installed")
        words = [*program_type.command(Program(task.program_name, package, _CWD, interpreter, named, find))]
        try:
            words += shlex.split(task.program_arguments)
        except ValueError as error:
            raise ProgramError(f"cannot split ProgramArguments into words: {error}") from None
        folders = self._mapper.folders(task, launch.job)
        if not image.command:
            return [*self._mapper.prepare(folders), *words] if folders else words
        if folders and not image.maps:
            raise MappingError(f"the command of image {image.id} has no {{mapping}}, so an OssMapping is not possible")
        places = {"cwd": _CWD, "oss": str(self._layout.oss), "attempt": _ATTEMPT}
        variables = {*environment, *_NUMBERED, ATTEMPT_VARIABLE, ENV_ATTEMPT}
        variables -= {*self._inherited(launch)} - {*task.environment}
        service = [str(self._layout.programs_socket.parent), self.attempt_files.path(_ATTEMPT)]
        command = image.command_line(words, places, variables, folders, service)
        return [_found(command[0], image.id, self._own), *command[1:]]

    def _warm(self, launch: Launch, environment: Mapping[str, str]) -> Warm | None:
        """Return what the warm interpreter of a task has; None if its programs begin in interpreters of their own."""
        task, image = launch.task, self._settings.images.get(launch.task.image_id)
        if image is None or image.warm is None or task.program_type != "python" or task.mapping:
            return None
        inherited = self._inherited(launch)
        names = [name for name in environment if name in inherited or _AT_START.match(name)]
        return Warm(image.warm, tuple(names))

    def _inherited(self, launch: Launch) -> dict[str, str]:
        """Return the service's variables, with PATH, locale and time zone of the submitter."""
        own = {"PYTHONUNBUFFERED": "1", **self._own}
        if launch.surroundings is None:
            return own
        kept = {name: value for name, value in own.items() if name not in _OF_THE_SUBMITTER}
        return {**kept, "PATH": known_state.PATH, **launch.surroundings.variables}

    def _environment(self, launch: Launch) -> dict[str, str]:
        """Return the variables of both API versions (protocol 2.8) that are the same for all instances.

        The user's variables win, but not over the attempt's name and its attempt file.
        """
        task = launch.task
        image = self._settings.images.get(task.image_id) or _THIS_MACHINE
        host = address.read_address(self._layout.objects_ports, image.objects_host or address.LOOPBACK)
        return {
            **self._inherited(launch),
            "ALI_DIKU_JOB_ID": launch.job,
            "ALI_DIKU_TASK_ID": task.name,
            "ALI_DIKU_OSS_HOST": host,
            "INSTANCE_COUNT": str(task.instance_count),
            "BATCH_COMPUTE_DAG_JOB_ID": launch.job,
            "BATCH_COMPUTE_DAG_TASK_ID": task.name,
            "BATCH_COMPUTE_OSS_HOST": host,
            "BATCH_COMPUTE_REGION": "local",
            **({"BATCHCOMPUTE_OSS_ROOT": str(self._layout.oss)} if self._layout.has_objects else {}),
            "BATCHCOMPUTE_ENDPOINT": "local",
            **task.environment,
        }


def _find(program: str, environment: Mapping[str, str]) -> str | None:
    # the service's own folder must not count as a relative one of the submitter
    folders = [folder for folder in environment.get("PATH", known_state.PATH).split(":") if os.path.isabs(folder)]
    for folder in [os.path.dirname(program)] if os.path.dirname(program) else folders:
        with access(os.path.join(folder, program)):
            found = shutil.which(program, path=folder)
        if found is not None:
            return os.path.abspath(found)
    return None


def _found(program: str, for_what: str, environment: Mapping[str, str]) -> str:
    found = _find(program, environment)
    if found is None:
        raise ProgramError(f"this machine has no {program} to run {for_what} programs with")
    return found


def _is_gone(surroundings: Surroundings | None) -> bool:
    """Return whether the submitter's interpreter is no longer there."""
    interpreter = "" if surroundings is None else surroundings.interpreter
    if not interpreter:
        return False
    with access(interpreter):
        return not os.access(interpreter, os.X_OK)


def _submitters(surroundings: Surroundings) -> str:
    if _is_gone(surroundings):
        raise ProgramError(
            f"the Python with which the job was submitted, {surroundings.interpreter}, is gone or cannot be executed; create it "
            'again and start the job again, submit the job with another one, or set [programs] python = "..." in service.toml'
        )
    return surroundings.interpreter


def _installed(kind: str) -> ProgramType | None:
    from batchcompute_local.extensions import installed  # finding it takes time

    return installed().program_types.get(kind)
