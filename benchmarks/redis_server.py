"""A Redis of one's own: on a free port, in a folder of its own, gone with the block."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 10.0


class RedisMissingError(RuntimeError):
    """There is no redis-server on this machine."""


class RedisServer:
    """A redis-server that can be killed, stopped and started again on the same port. Keeps nothing on disk.

    :param directory: Its working folder.
    :param options: Further arguments of its command line.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._program = shutil.which("redis-server") or ""
        if not self._program:
            raise RedisMissingError(
                "redis-server is missing. Install it with the system's package manager, e.g. "
                "`apt-get install redis-server`, `dnf install redis` or `brew install redis`."
            )
        self._directory = directory
        self._options = options
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [self._program, *self._options, *options, "--dir", str(self._directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._program} {' '.join(options)} did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once; all it knew is lost."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """Let it hang: connections stay open, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a redis-server for the length of the block.

    :raises RedisMissingError: There is none; the message says how to get one.
    """
    with tempfile.TemporaryDirectory(prefix="planet-redis-") as directory:
        server = RedisServer(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.kill()
