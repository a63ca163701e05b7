"""A way to a server that stays shut until a test opens it: what goes on meanwhile is not a matter of time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

#: Seconds after which a gate opens by itself: only where those who should open it are blocked.
GIVES_UP_SECONDS = 30.0


class Gate:
    """A TCP proxy that hands on nothing before it is opened.

    :ivar arrived: How many have asked for something.
    :ivar gave_up: Whether nobody opened it in time.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self.arrived = 0
        self.gave_up = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def open(self) -> None:
        """Let all through, from now on."""
        self._opened.set()

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._lead, args=(connection,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            asked = near.recv(65536)
            if not asked:
                return
            with self._lock:
                self.arrived += 1
            if not self._opened.wait(GIVES_UP_SECONDS):
                self.gave_up = True
                self._opened.set()
            with socket.create_connection(self._target) as far:
                far.sendall(asked)
                back = threading.Thread(target=_pour, args=(far, near), daemon=True)
                back.start()
                _pour(near, far)
                back.join()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def gate_to(url: str) -> Iterator[Gate]:
    """Set a gate before a server.

    :param url: The server's.
    """
    gate = Gate(url)
    thread = threading.Thread(target=gate.serve)
    thread.start()
    try:
        yield gate
    finally:
        gate.open()
        gate.listener.shutdown(socket.SHUT_RDWR)
        gate.listener.close()
        thread.join()
