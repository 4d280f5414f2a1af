"""`batchcompute dask ...`: nodes and schedulers that are started by hand. Each command imports its modules when it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
from batchcompute_local.client.folder import in_folder

from batchcompute.cli import Noun, output
from batchcompute.cli.failures import Refused
from batchcompute.cli.session import Session, command
from batchcompute.hooks import RegistrationContext, hookimpl

if TYPE_CHECKING:
    from batchcompute_local.paths import Layout

dask = Noun("dask", "Nodes and schedulers for the executor `dask` of region `local`.")


@hookimpl
def register_commands(ctx: RegistrationContext) -> Iterable[click.Command]:
    """Register `dask`. It needs Linux, as the service."""
    return (dask,) if sys.platform.startswith("linux") else ()


@command(
    "worker",
    examples=[
        "batchcompute dask worker",
        "batchcompute dask worker tls://10.0.0.5:8786 --slots 8 --memory 16000",
        "batchcompute dask worker --name second --folder /scratch/nodes",
    ],
)
@click.argument("scheduler", required=False)
@click.option("--slots", type=click.IntRange(1), help="Instances that run at once. [default: the number of cores]")
@click.option(
    "--cpu", type=click.IntRange(0), help="Limit on the sum of their Cpu, 100 is a core; 0: none. [default: 100 a slot]"
)
@click.option("--memory", type=click.IntRange(0), help="The same for Memory, in MB. [default: that of the machine]")
@click.option("--name", help="The name of the node on this machine, if there are several.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False),
    help="Where its files are. [default: below the folder for temporary files]",
)
@click.option("--host", help="The address to listen on.")
@click.option("--tls-ca-file", type=click.Path(exists=True), help="The certificate authority of the cluster (PEM).")
@click.option(
    "--tls-cert", type=click.Path(exists=True), help="The node's own certificate (PEM). [default: dask/cluster.pem]"
)
@click.option("--tls-key", type=click.Path(exists=True), help="Its key, if it is in another file.")
@click.option("--insecure", is_flag=True, help="Without TLS: everybody who reaches it may run programs as this user.")
@in_folder
def worker(
    session: Session,
    layout: Layout,
    scheduler: str | None,
    slots: int | None,
    cpu: int | None,
    memory: int | None,
    insecure: bool,
    **more: str | None,
) -> None:
    """Be a node until SIGTERM or Ctrl-C: run instances for the service whose scheduler is at SCHEDULER.

    On the machine of the service its scheduler and its certificate are known. Another machine needs a copy of the certificate,
    the file dask/cluster.pem in the data folder, with mode 0600 at the same place. Who has it may run programs as this user.
    """
    import os

    from batchcompute_dask.clusters.place import read_address

    address = scheduler or read_address(layout)
    if not address:
        raise Refused(
            f"no cluster of {layout.root} is known: give the address of its scheduler, such as tls://host:8786"
        )
    slots = slots or os.cpu_count() or 1
    memory = memory if memory is not None else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    limits = {"slots": slots, "cpu": 100 * slots if cpu is None else cpu, "memory": memory}
    arguments = [
        address,
        *(f"--{name}={value}" for name, value in limits.items()),
    ]
    arguments += _certificates(layout, address.startswith("tls://"), insecure, more)
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in more.items() if value]
    _become("batchcompute_dask.nodes.worker", arguments)


@command(
    "scheduler",
    examples=["batchcompute dask scheduler", "batchcompute dask scheduler --host 10.0.0.5 --port 8786"],
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8786, show_default=True, help="0: any free port.")
@click.option("--tls-ca-file", type=click.Path(exists=True), help="The certificate authority of the cluster (PEM).")
@click.option(
    "--tls-cert", type=click.Path(exists=True), help="The scheduler's certificate (PEM). [default: dask/cluster.pem]"
)
@click.option("--tls-key", type=click.Path(exists=True), help="Its key, if it is in another file.")
@in_folder
def scheduler(session: Session, layout: Layout, host: str, port: int, **more: str | None) -> None:
    """Run a scheduler in the foreground until SIGTERM or Ctrl-C, for `scheduler = "tls://..."` in service.toml.

    The certificate in the data folder is made if it is absent; service and nodes need a copy. A service with `cluster = ...`
    starts a scheduler by itself.
    """
    from batchcompute_dask.certificates import ensure_certificate

    if not more.get("tls_cert"):
        ensure_certificate(layout)
    arguments = [f"--host={host}", f"--port={port}", *_certificates(layout, True, False, more)]
    arguments += [f"--{name.replace('_', '-')}={value}" for name, value in more.items() if value]
    _become("batchcompute_dask.clusters.scheduler", arguments)


@command("certificate", examples=["batchcompute dask certificate"])
@in_folder
def certificate(session: Session, layout: Layout) -> None:
    """Print the path of the cluster's certificate; make it if it is absent. Other machines need a copy, with mode 0600.

    JSON: {path}.
    """
    from batchcompute_dask.certificates import ensure_certificate

    path = str(ensure_certificate(layout))
    output.emit_value({"path": path}, path, session.format)


@command("status", examples=["batchcompute dask status", "batchcompute dask status --format json"])
@in_folder
def status(session: Session, layout: Layout) -> None:
    """Show the cluster that the service has started. `batchcompute local status` shows its nodes.

    JSON: {running, scheduler, dashboard, log}; scheduler and dashboard are "" if there was none.
    """
    from batchcompute_local.filelocks import is_locked

    from batchcompute_dask.clusters import place

    address, dashboard = place.read_address(layout), place.read_dashboard(layout)
    running = is_locked(place.lock_path(layout))
    found = {"running": running, "scheduler": address, "dashboard": dashboard, "log": str(place.log_path(layout))}
    if session.json:
        output.emit_json(found)
    elif not running:
        output.put(f"No cluster of the service in {layout.root} runs.")
    else:
        output.put(f"The scheduler listens at {address}.")
        output.put(f"Its dashboard is at {dashboard}, on this machine only.")
        output.put(f"Its log is {found['log']}.")


@command("stop", examples=["batchcompute dask stop"])
@in_folder
def stop(session: Session, layout: Layout) -> None:
    """End the cluster that the service has started. A service that runs starts it again: `batchcompute local stop` comes first.

    Programs that still run are ended when the leases of their nodes end.

    JSON: {stopped}; false if none was running.
    """
    from batchcompute_dask.clusters.starting import end_cluster

    stopped = end_cluster(layout)
    text = "The cluster has ended." if stopped else f"No cluster of the service in {layout.root} runs."
    output.emit_value({"stopped": stopped}, text, session.format)


@command(
    "manifests",
    formats=("table",),
    examples=[
        "batchcompute dask manifests --container registry.example.com/batchcompute:3.1 --workers 10 > cluster.yaml"
    ],
)
@click.option(
    "--container", required=True, help="A container image with batchcompute-dask, in the version of the service."
)
@click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="How many nodes.")
@click.option("--cpu", type=click.IntRange(1), default=100, show_default=True, help="Of a node, 100 is a core.")
@click.option("--memory", type=click.IntRange(1), default=2048, show_default=True, help="Of a node, in MB.")
@click.option(
    "--slots", type=click.IntRange(1), help="Instances of a node that run at once. [default: its whole cores]"
)
def manifests(session: Session, container: str, workers: int, cpu: int, memory: int, slots: int | None) -> None:
    """Print a scheduler and nodes for Kubernetes, as YAML for `kubectl apply`.

    The certificate is the Secret batchcompute-dask with the file cluster.pem, which `batchcompute dask certificate` names.
    """
    from batchcompute_dask.manifests import render

    click.echo(render(container, workers, cpu, memory, slots or max(1, cpu // 100)), nl=False)


def _certificates(layout: Layout, is_secure: bool, insecure: bool, more: dict[str, str | None]) -> list[str]:
    """Return the arguments for the certificate in the data folder, if others are not named."""
    from batchcompute_dask.certificates import certificate_path

    if not is_secure:
        if not insecure:
            raise Refused(
                "a scheduler without TLS: everybody who reaches it may run programs as this user; see --insecure"
            )
        return []
    if more.get("tls_cert"):
        return []
    path = certificate_path(layout)
    if not path.exists():
        raise Refused(
            f"no certificate {path}: copy it from the machine of the service, or give --tls-ca-file and --tls-cert"
        )
    if path.stat().st_mode & 0o077:
        raise Refused(f"others can read {path}, and so run programs as this user: chmod 600 {path}")
    return [f"--tls-ca-file={path}", f"--tls-cert={path}"]


def _become(module: str, arguments: list[str]) -> None:
    """Run a module in the place of this process: signals and terminal stay the same."""
    import os

    from batchcompute_local import known_state

    python = [sys.executable, "-P", "-m", module, *arguments]
    os.execve(python[0], python, known_state.environment())  # noqa: S606  # no shell is wanted


for _verb in (worker, scheduler, certificate, manifests, status, stop):
    dask.add_command(_verb)
