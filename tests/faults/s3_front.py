"""S3 as moto plays it, behind a proxy that has mishaps: answers of 500 and 503, and connections that break."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Mishap:
    """What happens to requests.

    :param method: Of the requests.
    :param target: Regular expression, searched for in path and query.
    :param status: Answered instead of S3's answer; 0: the connection is closed once half of the body was read.
    :param times: How often; ``None``: always.
    :param skip: Requests that are spared before.
    :param handled: Whether S3 has got the request before.
    """

    method: str
    target: str
    status: int
    times: int | None = 1
    skip: int = 0
    handled: bool = False

    def strikes(self, method: str, target: str) -> bool:
        if method != self.method or not re.search(self.target, target) or self.times == 0:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class S3Front:
    """The proxy: its mishaps, and the requests that came."""

    def __init__(self, backend: str) -> None:
        self.backend = backend.removeprefix("http://")
        self.mishaps: list[Mishap] = []
        self.requests: list[tuple[str, str, int]] = []
        self.url = ""
        self._lock = threading.Lock()

    def count(self, method: str, target: str = "") -> int:
        """Return how many requests there were."""
        return sum(one[0] == method and re.search(target, one[1]) is not None for one in self.requests)

    def mishap(self, method: str, target: str, length: int) -> Mishap | None:
        """Note a request; return what happens to it."""
        with self._lock:
            self.requests.append((method, target, length))
            return next((one for one in self.mishaps if one.strikes(method, target)), None)


@contextmanager
def s3_front(backend: str) -> Iterator[S3Front]:
    """Run a proxy before an S3 endpoint."""
    front = S3Front(backend)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _forward(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            mishap = front.mishap(self.command, self.path, length)
            if mishap is not None and mishap.status == 0:
                self.rfile.read(length // 2)
                self.close_connection = True
                self.connection.close()
                return
            body = self.rfile.read(length)
            if mishap is not None and not mishap.handled:
                self._answer(mishap.status, {}, b"<Error><Code>SlowDown</Code></Error>")
                return
            upstream = http.client.HTTPConnection(front.backend, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if mishap is not None:
                self._answer(mishap.status, {}, b"<Error><Code>InternalError</Code></Error>")
                return
            self._answer(answer.status, dict(answer.getheaders()), content)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    front.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield front
    finally:
        server.shutdown()
        server.server_close()
