"""Networks of their own for workers, each with a cable to this machine that can be pulled. Needs root, `ip` and `nsenter`."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress


class NetworkRefusedError(Exception):
    """No network can be made here; the text says why."""


class Networks:
    """One per cluster. `number` is the third byte of its addresses, 10.N.x.y."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Make them. Raises NetworkRefusedError."""
        self._pid = os.getpid()
        self._names: dict[str, int] = {}
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
            raise NetworkRefusedError("it needs root, ip and nsenter")
        try:
            for number, name in enumerate(names):
                self._make(name, number)
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            raise NetworkRefusedError(f"the kernel refuses a network namespace: {error}") from error

    def _make(self, name: str, number: int) -> None:
        self._names[name] = number
        space, ours = self._space(name), self._cable(name)
        _ip("netns", "add", space)
        _ip("link", "add", ours, "type", "veth", "peer", "name", "outside", "netns", space)
        _ip("addr", "add", f"{self.service_address(name)}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        for words in (
            ("addr", "add", f"{self.address(name)}/30", "dev", "outside"),
            ("link", "set", "outside", "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", space, *words)

    def address(self, name: str) -> str:
        """The address of a worker."""
        return f"10.{100 + self._pid % 100}.{self._names[name]}.2"

    def service_address(self, name: str) -> str:
        """The address of this machine, as that worker reaches it."""
        return f"10.{100 + self._pid % 100}.{self._names[name]}.1"

    def inside(self, name: str) -> list[str]:
        """The words that run a command there. Only the network is another one."""
        return ["nsenter", f"--net=/run/netns/{self._space(name)}"]

    def pull(self, name: str) -> None:
        """Pull the cable: packets vanish."""
        _ip("link", "set", self._cable(name), "down")

    def plug(self, name: str) -> None:
        """Plug it in again."""
        _ip("link", "set", self._cable(name), "up")

    def close(self) -> None:
        """Remove all of it."""
        for name in self._names:
            for words in (("link", "del", self._cable(name)), ("netns", "del", self._space(name))):
                with suppress(OSError, subprocess.CalledProcessError):
                    _ip(*words)

    def _space(self, name: str) -> str:
        return f"bc-{self._pid}-{name}"

    def _cable(self, name: str) -> str:
        return f"bc{self._pid}{name}"[:15]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
