"""The least HTTP server that keeps a connection open: `python -m benchmarks.loopback` prints its port and answers every
GET with one job. It runs in a process of its own, so that what it costs is not the client's.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import bodies

ROOT = Path(__file__).parent.parent
BODY = bodies.dumps(bodies.job(1))
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: loopback\r\nDate: Tue, 30 Jun 2015 08:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nrequest-id: 6F0E4E2A\r\nx-acs-request-id: 6F0E4E2A\r\n\r\n%s" % (len(BODY), BODY)
)


def serve(connection: socket.socket) -> None:
    """Answer the requests of one connection; a request without a body ends with an empty line."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        rest = b""
        while chunk := connection.recv(65536):
            rest += chunk
            while b"\r\n\r\n" in rest:
                rest = rest.partition(b"\r\n\r\n")[2]
                connection.sendall(ANSWER)


@contextmanager
def server() -> Iterator[int]:
    """The port of a server in a process of its own, which ends with the block."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def end_with_parent() -> None:
    """However the parent ends, its end of the pipe is closed then."""
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=end_with_parent, daemon=True).start()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
