"""An S3 endpoint that takes everything and keeps nothing: what an upload costs the client, and nothing else.

A thread for each connection reads bodies into one buffer and drops them; objects are known by size alone. It
knows one PUT, multipart uploads, HEAD, DELETE, and GET of an object, which it answers with zeros. It checks no
signature.

    python benchmarks/sink.py --port 0 [--rate 60] [--delay 0.05]

prints one JSON line ``{"url": ...}`` when it is ready, and ends with SIGTERM or when its input is closed.
:func:`running` starts it in a process of its own, so that it takes no time from the client's interpreter.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

#: Bytes that are read at once.
_READ_BYTES = 1 << 20

#: The answers' entity tag: every object has the same.
_ETAG = '"00000000000000000000000000000000"'

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_DECODED = re.compile(rb"\r\nx-amz-decoded-content-length: *(\d+)", re.IGNORECASE)
_SOURCE_RANGE = re.compile(rb"\r\nrange: *bytes=(\d+)-(\d*)", re.IGNORECASE)


@dataclass
class Sink:
    """The server.

    :param host: Address to listen on.
    :param port: Port; 0 for a free one.
    :param rate: Bytes/s that a connection takes; 0: as many as come.
    :param delay: Seconds before each answer.
    """

    host: str = "127.0.0.1"
    port: int = 0
    rate: float = 0.0
    delay: float = 0.0
    objects: dict[str, int] = field(default_factory=dict)
    uploads: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._listener = socket.create_server((self.host, self.port), backlog=256)
        self.url = f"http://{self.host}:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer, held = bytearray(_READ_BYTES), b""
        with connection:
            try:
                while (parted := _head(connection, held)) is not None:
                    head, held = parted
                    held = self._request(connection, head, held, memoryview(buffer))
            except (OSError, ValueError):
                return

    def _request(self, connection: socket.socket, head: bytes, held: bytes, buffer: memoryview) -> bytes:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        match = _LENGTH.search(head)
        length = int(match[1]) if match else 0
        if _CONTINUE.search(head):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        taken, left = held[:length], held[length:]
        _drop(connection, length - len(taken), buffer, self.rate)
        decoded = _DECODED.search(head)
        if self.delay:
            time.sleep(self.delay)
        connection.sendall(self._answer(method, target, head, int(decoded[1]) if decoded else length))
        return left

    def _answer(self, method: str, target: str, head: bytes, length: int) -> bytes:
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        upload = query.get("uploadId", "")
        with self._lock:
            if method == "PUT" and upload:
                self.uploads[upload][query["partNumber"]] = length
                return _response(200, headers=f"ETag: {_ETAG}\r\n")
            if method == "PUT":
                self.objects[url.path] = length
                return _response(200, headers=f"ETag: {_ETAG}\r\n")
            if method == "POST" and "uploads" in query:
                upload = str(next(self._numbers))
                self.uploads[upload] = {}
                return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>", url.path)
            if method == "POST" and upload:
                self.objects[url.path] = sum(self.uploads.pop(upload).values())
                return _xml("CompleteMultipartUploadResult", f"<ETag>{_ETAG}</ETag>", url.path)
            if method == "DELETE":
                self.uploads.pop(upload, None) if upload else self.objects.pop(url.path, None)
                return _response(204)
            size = self.objects.get(url.path)
        if method in {"HEAD", "GET"} and size is not None:
            return _object(method, size, _SOURCE_RANGE.search(head))
        if method == "GET" and "list-type" in query:
            return _xml(
                "ListBucketResult", "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>", url.path
            )
        return _response(404)


def _head(connection: socket.socket, held: bytes) -> tuple[bytes, bytes] | None:
    """Return a request's head and what was read of its body; ``None`` at the connection's end."""
    while b"\r\n\r\n" not in held:
        more = connection.recv(65536)
        if not more:
            return None
        held += more
    head, _, rest = held.partition(b"\r\n\r\n")
    return head, rest


def _drop(connection: socket.socket, length: int, buffer: memoryview, rate: float) -> None:
    start, done = time.monotonic(), 0
    while done < length:
        count = connection.recv_into(buffer[: min(len(buffer), length - done)])
        if not count:
            raise ConnectionResetError("the body was cut")
        done += count
        if rate and (ahead := done / rate - (time.monotonic() - start)) > 0:
            time.sleep(ahead)


def _object(method: str, size: int, wanted: re.Match[bytes] | None) -> bytes:
    first, last = (0, size - 1)
    if wanted is not None:
        first, last = int(wanted[1]), min(size - 1, int(wanted[2] or size - 1))
    headers = f"ETag: {_ETAG}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n"
    if wanted is not None:
        headers += f"Content-Range: bytes {first}-{last}/{size}\r\n"
    length = max(0, last - first + 1)
    body = b"" if method == "HEAD" else bytes(length)
    return _response(200 if wanted is None else 206, body, headers, length)


def _xml(element: str, content: str, path: str) -> bytes:
    bucket, _, key = path.lstrip("/").partition("/")
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?><{element} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Bucket>{bucket}</Bucket><Key>{key}</Key>{content}</{element}>"
    )
    return _response(200, body.encode(), "Content-Type: application/xml\r\n")


def _response(status: int, body: bytes = b"", headers: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status} -\r\n{headers}Content-Length: {size}\r\n\r\n".encode() + body


@contextmanager
def running(rate: float = 0.0, delay: float = 0.0) -> Iterator[str]:
    """Run the sink in a process of its own.

    :param rate: Bytes/s that a connection takes; 0: as many as come.
    :param delay: Seconds before each answer.
    :return: Its URL.
    """
    command = [sys.executable, __file__, "--rate", str(rate / 1e6), "--delay", str(delay)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield str(json.loads(process.stdout.readline())["url"])
    finally:
        process.terminate()
        process.communicate()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="An S3 endpoint that takes everything and keeps nothing.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="MB/s that a connection takes (0: unbounded)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    sink = Sink(port=options.port, rate=options.rate * 1e6, delay=options.delay)
    threading.Thread(target=sink.serve, daemon=True).start()
    print(json.dumps({"url": sink.url}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
