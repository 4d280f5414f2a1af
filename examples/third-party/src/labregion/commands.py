"""`batchcompute lab`: the key into the keyring, the gateway in front of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from labregion.settings import LabSettings


def commands(settings: LabSettings) -> click.Command:
    """The group of commands, for these settings."""

    @click.group("lab")
    def lab() -> None:
        """The region lab: its key and its gateway."""

    @lab.command()
    @click.option("--from-local", is_flag=True, help="Take the key of the service on this machine instead of asking.")
    def login(from_local: bool) -> None:
        """Keep the access key in the keyring. It is asked for: an argument could be seen in the list of processes."""
        from labregion.credentials import store

        if from_local:
            from batchcompute_local.client import control
            from batchcompute_local.paths import default_data_dir

            control.ensure_running(default_data_dir())
            key_id, secret = control.read_credentials(default_data_dir())
        else:
            key_id = click.prompt("Access key id")
            secret = click.prompt("Access key secret", hide_input=True)
        click.echo(f"The key {key_id} is in {store(settings.keyring_file, key_id, secret)}")

    @lab.command()
    @click.option("--port", type=click.IntRange(0, 65535), default=settings.port, show_default=True, help="0 for any.")
    @click.option("--background", is_flag=True, help="Go on in the background; print the process id.")
    def gateway(port: int, background: bool) -> None:
        """Carry calls from a TCP port of this machine to the local service."""
        from batchcompute_local.paths import default_data_dir

        from labregion import gateway

        try:
            listening = gateway.listen(port)
        except OSError as error:
            raise click.ClickException(f"port {port} cannot be used: {error.strerror}") from error
        with listening:
            click.echo(f"The gateway listens on {gateway.HOST}:{listening.getsockname()[1]}", err=True)
            if background:
                click.echo(gateway.in_background(listening, default_data_dir()))
            else:
                gateway.serve(listening, default_data_dir())

    return lab
