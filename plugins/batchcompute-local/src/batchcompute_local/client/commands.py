"""`batchcompute serve` and `batchcompute local ...`. Each command imports its modules when it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from batchcompute.cli import Noun, output
from batchcompute.cli.session import Session, command
from batchcompute_local.client.account_commands import account, credentials
from batchcompute_local.client.bucket_commands import bucket
from batchcompute_local.client.folder import confirm, in_folder

if TYPE_CHECKING:
    from batchcompute_local.jobs.copies import Copy
    from batchcompute_local.paths import Layout

_LOG_LINES = 100
_MOST_NODES = 20
_COPIES: dict[str, output.Column] = {
    "copy": "COPY",
    "made": "MADE",
    "age": ("AGE", lambda row: output.since(row["made"])),
    "jobs": "JOBS",
    "active": "ACTIVE",
    "size": "SIZE",
}


@command(
    "serve",
    examples=[
        "batchcompute serve",
        "batchcompute serve --port 0 --data-dir /srv/jobs",
        "batchcompute serve --host 0.0.0.0 --certfile server.pem --keyfile server.key",
    ],
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8888, show_default=True, help="0: any free port.")
@click.option("--certfile", type=click.Path(exists=True, dir_okay=False), help="A certificate (PEM); turns TLS on.")
@click.option(
    "--keyfile", type=click.Path(exists=True, dir_okay=False), help="The certificate's key, if it is in another file."
)
@click.option("--insecure-bind", is_flag=True, help="Accept other machines without TLS.")
@in_folder
def serve(
    session: Session,
    layout: Layout,
    host: str,
    port: int,
    certfile: str | None,
    keyfile: str | None,
    insecure_bind: bool,
) -> None:
    """Run the service in the foreground, on a port and on the data folder's socket, until SIGTERM or Ctrl-C.

    Running jobs continue after it ends. The next service takes them over. `batchcompute local credentials` prints the access key
    of its own account, `batchcompute local account add NAME` makes one for another user.
    """
    import os

    from batchcompute_local import known_state
    from batchcompute_local.client import control

    control.refuse_own_service(layout)
    layout.create()
    arguments = [*control.command(layout), f"--host={host}", f"--port={port}"]
    arguments += [f"--{name}={path}" for name, path in (("certfile", certfile), ("keyfile", keyfile)) if path]
    arguments += ["--insecure-bind"] if insecure_bind else []
    # exec, without our environment: signals and terminal stay the same
    os.execve(arguments[0], arguments, known_state.environment())  # noqa: S606  # no shell is wanted


local = Noun("local", "The service behind the region `local`.")
local.add_command(account)
local.add_command(bucket)
local.add_command(credentials)


@command("status", examples=["batchcompute local status", "batchcompute local status --format json"])
@in_folder
def status(session: Session, layout: Layout) -> None:
    """Show whether the service is running, and its jobs.

    JSON: {running, data_dir}; of a running service also {version, pid, active_jobs, slots, containment, troubles, url} and more,
    and where it runs jobs on nodes {nodes, executor}: nodes is a list of {name, host, up, reason, slots, taken, cpu, taken_cpu,
    memory, taken_memory, images}, executor has texts.
    """
    from batchcompute_local.client import control

    found = control.status(layout.root)
    silent = control.find_silent(layout.root) if found is None else ""
    if found is not None:
        found |= control.ask_nodes(layout.root)
    if session.json:
        output.emit_json({"running": found is not None, "data_dir": str(layout.root), **(found or {})})
    elif silent:
        output.put(f"The service in {layout.root} is {silent}. It does not answer.")
    elif found is None:
        output.put(f"No service runs in {layout.root}. The first request starts one.")
    else:
        output.put(f"Version {found['version']} runs in {layout.root} as pid {found['pid']}.")
        output.put(f"Jobs that are waiting or running: {found['active_jobs']}.")
        if "slots" in found:  # a service of an earlier version does not say it
            output.put(f"Slots: {_describe_slots(found['slots'])}.")
        if "containment" in found:
            output.put(f"Containment of programs: {found['containment']}.")
        for line in describe_nodes(found.get("nodes", ()), found.get("executor", {})):
            output.put(output.plain(line))
        for trouble in found.get("troubles", ()):
            output.put(f"Note: {output.plain(trouble)}.")
        if "url" in found:
            output.put(f"It listens on {found['url']}.")
        if "objects" in found:
            output.put(f"Objects by the protocol of OSS: {found.get('objects_url') or found['objects']}.")
        for name, url in found.get("buckets_elsewhere", {}).items():
            output.put(f"The bucket {name} is at {output.plain(url)}, not below $BATCHCOMPUTE_OSS_ROOT.")


def describe_nodes(nodes: Sequence[Mapping[str, Any]], executor: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each of the busiest nodes, those that are away first, and what the executor says of itself."""
    if nodes:
        away = sum(not one["up"] for one in nodes)
        yield f"Nodes: {len(nodes) - away} are there" + (f", {away} away." if away else ".")
    ranked = sorted(nodes, key=lambda one: (one["up"], -one["taken"], one["name"]))
    for one in ranked[:_MOST_NODES]:
        host = f" on {one['host']}" if one["host"] not in ("", one["name"]) else ""
        if one["up"]:
            yield f"  {one['name']}{host}: {one['taken']} instances, {one['slots']} slots"
        else:
            why = f": {one['reason']}" if one["reason"] else ""
            yield f"  {one['name']}{host}: away with {one['taken']} instances{why}"
    if len(ranked) > _MOST_NODES:
        yield f"  and {len(ranked) - _MOST_NODES} more; --format json has all of them"
    for name, text in executor.items():
        yield f"{name[:1].upper()}{name[1:]}: {text}"


def _describe_slots(found: dict[str, Any]) -> str:
    from batchcompute import Slots
    from batchcompute.cli.attempts import describe_slots

    return describe_slots(Slots(found["total"], found["taken"], found["by_job"]))


@command("stop", examples=["batchcompute local stop"])
@in_folder
def stop(session: Session, layout: Layout) -> None:
    """Stop the service. Running programs continue; the next service takes them over.

    JSON: {stopped, data_dir}; stopped is false if none was running.
    """
    from batchcompute_local.client import control

    stopped = control.stop_for_good(layout.root)
    text = "The service has ended." if stopped else f"No service runs in {layout.root}."
    output.emit_value({"stopped": stopped, "data_dir": str(layout.root)}, text, session.format)


@command("logs", examples=["batchcompute local logs", "batchcompute local logs --tail 20"])
@click.option(
    "--tail", "--lines", type=click.IntRange(1), default=_LOG_LINES, show_default=True, help="How many lines."
)
@in_folder
def logs(session: Session, layout: Layout, tail: int) -> None:
    """Print the end of the service's own log. `batchcompute job logs` prints the logs of programs.

    JSON: {path, lines}; lines is a list of texts.
    """
    from collections import deque

    if not layout.log.exists():
        raise click.ClickException(f"no file {layout.log}: no service has run in {layout.root} yet")
    with layout.log.open(encoding="utf-8", errors="replace") as file:
        last = [line.rstrip("\n") for line in deque(file, tail)]
    if session.json:
        output.emit_json({"path": str(layout.log), "lines": last})
    else:
        for line in last:
            output.put(output.plain(line))


@command("reset", examples=["batchcompute local reset --yes", "batchcompute local reset --force --all --yes"])
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Reset even if jobs are active; ends their programs.")
@click.option("--all", "everything", is_flag=True, help="Remove objects and access keys as well.")
@in_folder
def reset(session: Session, layout: Layout, yes: bool, force: bool, everything: bool) -> None:
    """Remove all jobs with their working folders, packages and logs. Objects, keys and settings stay.

    JSON: {removed}, a list of paths.
    """
    from batchcompute_local.client import reset as resetting

    what = "all jobs, logs, objects and access keys" if everything else "all jobs and logs"
    if not yes:
        confirm(f"Remove {what} in {layout.root}?")
    removed = [str(path) for path in resetting.reset(layout.root, force=force, everything=everything)]
    if session.json:
        output.emit_json({"removed": removed})
    else:
        for path in removed:
            output.put(f"{path} removed")


@command(
    "restore",
    examples=["batchcompute local restore --dry-run", "batchcompute local restore --yes"],
)
@click.option("--copy", "name", default="", metavar="NAME", help="The file name of the copy. [default: the newest one]")
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@in_folder
def restore(session: Session, layout: Layout, name: str, dry_run: bool, yes: bool) -> None:
    """Take a copy of the state of all jobs back, when the state is damaged. The service has to be stopped.

    Jobs that were active in the copy are Stopped afterwards; programs that still run are ended.

    JSON: {copies, restored, damaged, stopped, unknown}; copies is a list of {copy, made, jobs, active, size}, restored the name
    of the copy, damaged the path of the former state or null, stopped a list of ids, unknown a list of folders.
    """
    from batchcompute_local.client import restore as restoring

    choices = restoring.list_choices(layout.root)
    rows = [_row(one) for one in choices]
    if not session.json:
        output.emit(rows, _COPIES, session.format)
    copies = [one.path.name for one in choices if one.path.parent == layout.copies]
    chosen = name or next(iter(copies), "")
    if chosen and not dry_run and not yes:
        confirm(f"Put {chosen} in the place of the state in {layout.root}?")
    done = restoring.restore(layout.root, chosen, dry_run=dry_run)
    unknown = [str(layout.work(job)) for job in done.unknown]
    if session.json:
        damaged = None if done.damaged is None else str(done.damaged)
        facts = {"restored": done.copy.path.name, "damaged": damaged, "stopped": done.stopped, "unknown": unknown}
        output.emit_json({"copies": rows, **facts})
        return
    would = "would be " if dry_run else ""
    output.put(f"{done.copy.path.name} {would or 'is '}restored.")
    if done.damaged is not None:
        output.put(f"The former state is kept as {done.damaged}.")
    for job in done.stopped:
        output.put(f"{job} {would or 'is '}Stopped: it was active in the copy. `batchcompute job start` runs it again.")
    for folder in unknown:
        output.put(f"{folder} {'would stay' if dry_run else 'stays'}: the copy does not know this job.")


def _row(one: Copy) -> dict[str, Any]:
    facts = {"jobs": one.jobs, "active": one.active, "size": one.size}
    return {"copy": one.path.name, "made": output.when(int(one.time)), **facts}


for _verb in (status, stop, logs, reset, restore):
    local.add_command(_verb)
