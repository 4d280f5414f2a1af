"""The built-in commands by noun and verb, with their modules. A help imports only the commands that it shows.

A command is a `click.Command` (made with `cli.session.command`) named `module:attribute`, in this package.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One line of `batchcompute --help`: a command, or a noun with its verbs."""

    summary: str
    command: str = ""
    verbs: dict[str, str] = {}  # noqa: RUF012  # never changed


OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "ls": ("list",),
    "list": ("ls",),
    "get": ("show",),
    "view": ("show",),
    "cancel": ("stop",),
    "kill": ("stop",),
    "watch": ("wait",),
    "create": ("submit",),
    "rm": ("delete", "remove"),
    "delete": ("rm", "remove"),
    "remove": ("delete", "rm"),
}
"""What users of a shell, gh or kubectl type, and the verbs that it may stand for: the first one that a noun has."""


COMMANDS: dict[str, Entry] = {
    "completion": Entry("Make bash, zsh or fish complete what you type.", "completion:completion"),
    "config": Entry("The settings of clients.", verbs={"init": "init:init", "show": "settings:show"}),
    "demo": Entry("Count the primes below 10,000 with a job of two tasks.", "demo:demo"),
    "doctor": Entry("Check the setup, and show how to correct it.", "doctor:doctor"),
    "image": Entry("Images for tasks.", verbs={"list": "images:list_"}),
    "job": Entry(
        "Jobs: submit, follow, show and change them.",
        verbs={
            "submit": "submit:submit",
            "run": "run:run",
            "list": "jobs:list_",
            "show": "show:show",
            "describe": "jobs:describe",
            "wait": "jobs:wait",
            "stop": "actions:stop",
            "start": "actions:start",
            "delete": "actions:delete",
            "prune": "prune:prune",
            "priority": "actions:priority",
            "logs": "logs:logs",
        },
    ),
    "oss": Entry(
        "Objects: the packages, data and logs of jobs.",
        verbs={"ls": "oss:ls", "cp": "oss:cp", "cat": "oss:cat", "rm": "oss:rm", "hash": "oss:hash_"},
    ),
    "plugin": Entry("The installed plugins.", verbs={"list": "plugins:show"}),
    "version": Entry("Print the version.", "version:version"),
}
