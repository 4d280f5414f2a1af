"""Checks of a description that only this region makes: the SDK before sending, the service on arrival.

No I/O, except to see whether the paths of an OssMapping can be there.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from batchcompute.errors import Problem, nearest
from batchcompute.resources import JobDescription, TaskDescription
from batchcompute_local.settings import Settings
from batchcompute_local.storage import UriError, split_uri

SOURCE = "the local region"
LOCALES = ("GBK", "GB2312-80", "BIG5", "UTF-8", "ANSI", "EUC-JP", "EUC-TW", "EUC-KR", "SHIFT-JIS", "KSC5601")
"""The documented values of OssMappingLocale (protocol 2.10)."""
_MOST_MAPPINGS = 100
_LONGEST_NAME = 1024
_LONGEST_DESCRIPTION = 64 << 10


def check_here(job: JobDescription, settings: Settings) -> list[Problem]:
    """Return everything that this region cannot run, in the order of the description."""
    return list(_job(job, settings))


def _job(job: JobDescription, settings: Settings) -> Iterator[Problem]:
    yield from _lengths("", {name: job[name] for name in ("JobName", "JobTag", "ZoneId")}, _LONGEST_NAME)
    yield from _lengths("", {"Description": job.Description}, _LONGEST_DESCRIPTION)
    tasks = job.TaskDag.TaskDescMap
    if len(tasks) > settings.max_tasks:
        allowed = f"at most {settings.max_tasks}, the setting max_tasks"
        yield Problem("TaskDag.TaskDescMap", len(tasks), "has too many tasks", allowed, SOURCE)
        return
    for name, task in tasks.items():
        yield from _task(f"TaskDag.TaskDescMap.{name}", task)
        image = settings.images.get(task.ImageId)
        if settings.executor == "process" and not (image and image.command):  # else it is a path of somewhere else
            yield from _places(f"TaskDag.TaskDescMap.{name}.OssMapping", task.OssMapping.values())
    instances = sum(task.InstanceCount for task in tasks.values())
    if instances > settings.max_instances:
        allowed = f"at most {settings.max_instances} in one job, the setting max_instances"
        yield Problem("InstanceCount", instances, "is too large in sum", allowed, SOURCE)


def _task(path: str, task: TaskDescription) -> Iterator[Problem]:
    if task.ImageId and not task.ImageId.startswith("img-"):
        yield Problem(f"{path}.ImageId", task.ImageId, "must begin with img-", "see list_images()", SOURCE)
    for name in ("PackageUri", "StdoutRedirectPath", "StderrRedirectPath"):
        if task[name].startswith("oss://"):
            yield from _uri(f"{path}.{name}", task[name])
    if task.PackageUri.endswith("/"):
        yield Problem(f"{path}.PackageUri", task.PackageUri, "must name an object, not a folder", "", SOURCE)
    for name in task.EnvironmentVariables:
        if not name or "=" in name:
            allowed = "a name that is not empty and has no '=' in it"
            yield Problem(f"{path}.EnvironmentVariables", name, "has a bad name", allowed, SOURCE)
    names = {"ImageId": task.ImageId, "ProgramName": task.ProgramName, "ProgramType": task.ProgramType}
    longest = max(task.EnvironmentVariables, key=len, default="")
    yield from _lengths(f"{path}.", {**names, "EnvironmentVariables": longest}, _LONGEST_NAME)
    yield from _texts(path, task)
    yield from _mappings(path, task)


def _lengths(path: str, texts: Mapping[str, str | None], most: int) -> Iterator[Problem]:
    for name, text in texts.items():
        if text and len(text) > most:
            yield Problem(f"{path}{name}", f"{text[:20]}...", "is too long", f"at most {most} characters", SOURCE)


def _uri(path: str, uri: str) -> Iterator[Problem]:
    try:
        split_uri(uri)
    except UriError as problem:
        yield Problem(path, None, str(problem), "oss://bucket/key", SOURCE)


def _texts(path: str, task: TaskDescription) -> Iterator[Problem]:
    variables = task.EnvironmentVariables
    values: dict[str, Iterable[str]] = {
        "ProgramName": [task.ProgramName],
        "ProgramArguments": [task.ProgramArguments],
        "EnvironmentVariables": [*variables, *variables.values()],
        "OssMapping": [*task.OssMapping, *task.OssMapping.values()],
    }
    for name, texts in values.items():
        if any("\0" in text for text in texts):
            yield Problem(f"{path}.{name}", None, "has a NUL in it, which no program can be given", "", SOURCE)
    try:
        shlex.split(task.ProgramArguments)
    except ValueError as error:
        message = f"cannot be split into words: {error}".lower()
        allowed = "words as in a shell, quotes in pairs"
        yield Problem(f"{path}.ProgramArguments", task.ProgramArguments, message, allowed, SOURCE)


def _mappings(path: str, task: TaskDescription) -> Iterator[Problem]:
    path = f"{path}.OssMapping"
    if len(task.OssMapping) > _MOST_MAPPINGS:
        yield Problem(path, len(task.OssMapping), "has too many entries", f"at most {_MOST_MAPPINGS}", SOURCE)
    targets: list[str] = []
    for uri, target in task.OssMapping.items():
        if uri.startswith("oss://"):
            yield from _uri(path, uri)
        else:
            yield Problem(path, uri, "is not an OSS path", "oss://bucket/prefix/", SOURCE)
        if (
            not target.startswith("/")
            or target.startswith("//")
            or os.path.normpath(target) != (target.rstrip("/") or ".")
        ):
            allowed = "an absolute path without '.' and '..', other than /"
            yield Problem(path, target, "is not a path to map to", allowed, SOURCE)
        targets.append(f"{target.rstrip('/')}/")
    targets.sort()
    for one, other in pairwise(targets):
        if other.startswith(one):
            yield Problem(path, other.rstrip("/"), "is mapped twice, or lies in another mapped path", one, SOURCE)
    locale = task.OssMappingLocale
    if locale and locale not in LOCALES:
        allowed = ", ".join(LOCALES)
        yield Problem(f"{path}Locale", locale, "is not known", allowed, "docs", nearest(locale, LOCALES))


def _places(path: str, targets: Iterable[str]) -> Iterator[Problem]:
    for target in targets:
        if target.startswith("/") and "\0" not in target:
            place = there = os.path.normpath(target)
            while not os.path.lexists(there):
                there = os.path.dirname(there)
            if there != place and not (os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)):
                allowed = f"a path that is there, or can be made: nothing can be made in {there}"
                yield Problem(path, target, "cannot be made on this machine", allowed, SOURCE)
