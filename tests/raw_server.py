"""A server that answers with the very bytes that a test wants, which a well-behaved server never sends."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request.

    :param line: Its first line.
    :param headers: By their names in lower case.
    """

    line: str
    headers: Mapping[str, str]
    body: bytes


#: Pieces of an answer, from its first byte; the connection is closed behind them.
Answer = Callable[[Asked], Iterable[bytes]]


@dataclass
class RawServer:
    """Where it listens, and what it was asked."""

    url: str
    requests: list[Asked] = field(default_factory=list)


def ok(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    return head(f"Content-Length: {len(body)}", *headers, status=status) + body


def head(*headers: str, status: str = "200 OK") -> bytes:
    """Return an answer up to its body."""
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers, "", "")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


@contextmanager
def answering(answer: Answer | bytes) -> Iterator[RawServer]:
    """Serve on a port of 127.0.0.1 for the length of the block."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = [line.decode("latin-1").strip() for line in iter(self.rfile.readline, b"\r\n") if line]
            pairs = (line.partition(":") for line in lines[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            asked = Asked(lines[0], headers, self.rfile.read(int(headers.get("content-length", 0))))
            server.requests.append(asked)
            with contextlib.suppress(OSError):  # who asked has left
                for piece in [answer] if isinstance(answer, bytes) else answer(asked):
                    self.wfile.write(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing."""

    with Server(("127.0.0.1", 0), Handler) as listener:
        server = RawServer(f"http://127.0.0.1:{listener.server_address[1]}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
