"""Garbage for the service: never a 500, never a hang, no growth of memory.

    python plugins/batchcompute-local/stress/fuzz.py [--descriptions 10000] [--garbage 5000] [--seed N]

It starts a service of its own in a temporary folder, speaks to its Unix socket and to its loopback port, and ends it. The
figures are printed; the exit code is 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))  # for tests.support

from batchcompute_local.client import control
from garbage import METHODS, PATHS, description, garbage

from tests.support.signed import SignedClient, connect_to

SECONDS = 20.0
"""The longest that an answer may take."""
PATIENCE = 0.02
"""How long to listen after garbage."""
GROWTH = 25 << 20
"""Bytes that the daemon may grow by in all of it: a nonce is about 100, a job is written out and forgotten."""


class Service:
    """`batchcompute serve` in a folder of its own."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="fuzz-"))
        command = [sys.executable, "-m", "batchcompute_local.daemon", "--port", "0", "--data-dir", str(self.root)]
        # a job of 86,400 instances is allowed otherwise, and a list of them takes its megabytes
        limits = "request_seconds = 2\nmax_body_bytes = 1000000\nslots = 2\nmax_instances = 2000\n"
        (self.root / "service.toml").write_text(limits)
        with (self.root / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Listening on "), (line, (self.root / "stderr").read_text())
        self.port = int(line.rpartition(":")[2])
        self.key, self.secret = control.read_credentials(self.root)

    def connect(self, over_tcp: bool) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port)) if over_tcp else control.connect(self.root)
        sock.settimeout(SECONDS)
        return sock

    def client(self) -> SignedClient:
        """Sends signed requests over the Unix socket."""
        return SignedClient(lambda: connect_to(self.root, SECONDS), lambda: (self.key, self.secret))

    def memory(self) -> int:
        """Bytes of the daemon that are resident and its own."""
        for line in Path("/proc", str(self.process.pid), "status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) << 10
        raise AssertionError("the daemon is gone")

    def close(self) -> int:
        """End it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        shutil.rmtree(self.root)
        return code


def probe(dice: random.Random, service: Service, counts: Counter[str]) -> None:
    """Send garbage and see that all of the answers are refusals."""
    over_tcp = dice.random() < 0.5
    with service.connect(over_tcp) as sock:
        received = b""
        try:
            sock.sendall(garbage(dice, service.key))
            sock.settimeout(PATIENCE)
            while chunk := sock.recv(65536):
                received += chunk
        except ConnectionError:
            counts["closed"] += 1
        except TimeoutError:
            counts["left"] += 1  # it waits for more, and we go
    for part in received.split(b"HTTP/1.1 ")[1:]:
        counts[part[:3].decode()] += 1
        # the status may be asked for at the socket, by whoever can reach it
        assert part[:1] in (b"1", b"4") or (part[:3] == b"200" and not over_tcp), received[:500]


def submit(dice: random.Random, client: SignedClient, counts: Counter[str]) -> None:
    """Send a signed description; look at what was accepted, and end it."""
    status, data = client.call("POST", "/jobs", description(dice))
    counts[str(status)] += 1
    assert status < 500, data
    if status != 201:
        return
    job = f"/jobs/{data['ResourceId']}"
    for method, target in (
        ("GET", job),
        ("GET", f"{job}/description"),
        ("GET", f"{job}/tasks"),
        ("PUT", f"{job}?Action=Stop"),
    ):
        status, data = client.call(method, target)
        assert status in (200, 409), (method, target, data)
    status, data = client.call(
        "PUT", f"{job}/Priority", dice.choice([b"5", b"9" * 5000, b"-1", b"\xff", b"0x1", "\u0663".encode()])
    )
    assert status in (200, 400, 409), data
    status, data = client.call("DELETE", job)
    assert status in (200, 409), data


def ask(dice: random.Random, client: SignedClient, counts: Counter[str]) -> None:
    """Send a signed request for any target with any method."""
    target = dice.choice([path for path in PATHS if path.isascii() and path not in ("", "*")])
    body = dice.choice([b"", b"200", b"9" * 5000, b"{}", dice.randbytes(200), b"x" * 100_000, b"x" * 1_000_001])
    status, data = client.call(dice.choice([name for name in METHODS if name != "CONNECT"]), target, body)
    counts[str(status)] += 1
    assert status < 500, (target, data)


def slow(service: Service) -> None:
    """Clients that say little, or that do not listen, are let go; others are answered meanwhile."""
    idle = [service.connect(over_tcp=n % 2 == 0) for n in range(100)]
    for number, sock in enumerate(idle):
        sock.sendall(b"" if number % 3 else b"POST /jobs HTTP/1.1\r\nHo")
    assert service.client().call("GET", "/images")[0] == 200
    begun = time.monotonic()
    for sock in idle:
        with suppress(ConnectionError):
            assert sock.recv(1) == b""
        sock.close()
    assert time.monotonic() - begun < SECONDS


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description="Garbage for the service.")
    parser.add_argument("--descriptions", type=int, default=10_000)
    parser.add_argument("--garbage", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    dice = random.Random(options.seed)
    print(f"seed {options.seed}")
    service = Service()
    code = -1
    try:
        client = service.client()
        rounds: list[tuple[str, int, Callable[[Counter[str]], None]]] = [
            ("connections with garbage", options.garbage, lambda counts: probe(dice, service, counts)),
            ("signed requests", options.garbage, lambda counts: ask(dice, client, counts)),
            ("signed descriptions", options.descriptions, lambda counts: submit(dice, client, counts)),
        ]
        slow(service)
        for what, number, run in rounds:
            counts: Counter[str] = Counter()
            before, slowest = 0, 0.0
            begun = time.monotonic()
            for done in range(number):
                if done == number // 5:
                    before = service.memory()  # caches are full by then
                at = time.monotonic()
                run(counts)
                slowest = max(slowest, time.monotonic() - at)
            grown = service.memory() - before
            print(
                f"{number} {what} in {time.monotonic() - begun:.1f} s, slowest {slowest * 1000:.0f} ms, memory "
                f"{service.memory() / 2**20:.0f} MiB, grown by {grown / 2**20:+.1f} MiB; {dict(sorted(counts.items()))}"
            )
            assert grown < GROWTH, "it grows"
            assert "500" not in counts
        log = (service.root / "daemon.log").read_text()
        assert "Traceback" not in log, log[max(0, log.index("Traceback") - 500) :][:6000]
        assert "\nERROR forged" not in log
        assert len(os.listdir(f"/proc/{service.process.pid}/fd")) < 60, "it keeps connections open"
    finally:
        code = service.close()
    print(f"ended with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
