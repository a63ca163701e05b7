"""A small server of orders whose storage breaks as it is told: many transfers a second, unlike the sandbox."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

Kind = Literal["cut", "stall", "corrupt", "expire", "503", "no_range", "changed", "no_length"]

#: Seconds that a stalled body stalls, unless its client leaves before.
STALL_SECONDS = 600.0

_PIECE = 8 << 10


@dataclass(frozen=True)
class Trouble:
    """What happens to one answer of the storage.

    :param share: Where in the body, between 0 and 1.
    """

    kind: Kind
    share: float = 0.5


@dataclass
class Order:
    """An order and what its storage does.

    :param files: Content by path.
    :param troubles: By path; each answer takes one, until none is left.
    :param pause: Seconds between two pieces of a body.
    :param etag: Of all files, as it is sent; by default each has that of its content.
    """

    files: Mapping[str, bytes]
    troubles: dict[str, list[Trouble]] = field(default_factory=dict)
    pause: float = 0.0
    etag: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    sent: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    on_sent: Callable[[int], None] | None = None

    def manifest(self) -> bytes:
        """Return manifest.json."""
        files = [
            {"path": path, "size": len(content), "digests": {"sha256": hashlib.sha256(content).hexdigest()}}
            for path, content in self.files.items()
        ]
        return json.dumps({"name": "", "files": files}).encode()

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


@dataclass
class _Request:
    target: str
    headers: Mapping[str, str]


class FaultServer:
    """Planet's origin and a storage, each on a port of 127.0.0.1."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.storage_headers: list[Mapping[str, str]] = []
        self.url = self.storage_url = ""
        self.hops = 0
        self._generations: defaultdict[str, int] = defaultdict(int)

    def add(self, order: Order) -> str:
        """Serve an order."""
        self.orders[order.id] = order
        return order.id

    async def api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection to Planet's origin."""
        await self._serve(reader, writer, self._answer_api)

    async def storage(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a connection to the storage."""
        await self._serve(reader, writer, self._answer_storage)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: object
    ) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while (request := await _read(reader)) is not None:
                if not await answer(request, writer):  # type: ignore[operator]
                    break
        writer.close()

    async def _answer_api(self, request: _Request, writer: asyncio.StreamWriter) -> bool:
        url = urlsplit(request.target)
        if url.path.startswith("/compute/ops/download"):
            token = parse_qs(url.query)["token"][0]
            await _send(writer, 302, {"Location": f"{self.storage_url}/{token}?hop={self.hops}"}, b"moved")
            return True
        order = self.orders[url.path.rpartition("/")[2]]
        self._generations[order.id] += 1
        generation = self._generations[order.id]
        results = [
            {
                "name": f"{order.id}/{path}",
                "delivery": "success",
                "location": f"{self.url}/compute/ops/download/?token={order.id}/{generation}/{path}",
            }
            for path in [*order.files, "manifest.json"]
        ]
        body = {"id": order.id, "state": "success", "_links": {"results": results}}
        await _send(writer, 200, {"Content-Type": "application/json"}, json.dumps(body).encode())
        return True

    async def _answer_storage(self, request: _Request, writer: asyncio.StreamWriter) -> bool:
        self.storage_headers.append(request.headers)
        url = urlsplit(request.target)
        hops = int(parse_qs(url.query)["hop"][0])
        if hops:
            # A chain that leads back through Planet's origin's host name, and to the storage at last.
            await _send(writer, 307, {"Location": f"{self.storage_url}{url.path}?hop={hops - 1}"}, b"")
            return True
        order_id, _, path = url.path[1:].split("/", 2)
        order = self.orders[order_id]
        if path == "manifest.json":
            await _send(writer, 200, {}, order.manifest())
            return True
        troubles = order.troubles.get(path)
        trouble = troubles.pop(0) if troubles else None
        return await self._answer_file(order, path, request, writer, trouble)

    async def _answer_file(
        self,
        order: Order,
        path: str,
        request: _Request,
        writer: asyncio.StreamWriter,
        trouble: Trouble | None,
    ) -> bool:
        kind = trouble.kind if trouble else None
        if kind in {"expire", "503"}:
            await _send(writer, 403 if kind == "expire" else 503, {}, b"no")
            return True
        content = order.files[path]
        if kind == "changed":
            content = content[::-1]
        etag = order.etag or f'"{hashlib.sha256(content).hexdigest()}"'
        status, start, end = 200, 0, len(content)
        headers = {"ETag": etag}
        asked = request.headers.get("range")
        if asked and kind != "no_range" and request.headers.get("if-range") in {None, etag}:
            order.ranges.append(asked)
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(end, int(last) + 1 if last else end)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        body = bytearray(content[start:end])
        at = int(len(body) * trouble.share) if trouble else 0
        if kind == "corrupt" and body:
            body[min(at, len(body) - 1)] ^= 0xFF
        if kind == "no_length":
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers["Content-Length"] = str(len(body))
        writer.write(_head(status, headers))
        stop = at if kind in {"cut", "stall"} else len(body)
        await self._pour(order, path, writer, memoryview(body)[:stop], chunked=kind == "no_length")
        if kind == "stall":
            await asyncio.sleep(STALL_SECONDS)
        return kind not in {"cut", "stall"}

    async def _pour(
        self, order: Order, path: str, writer: asyncio.StreamWriter, body: memoryview, *, chunked: bool
    ) -> None:
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if chunked else bytes(piece))
            await writer.drain()
            order.sent[path] += len(piece)
            if order.on_sent is not None:
                order.on_sent(order.sent.total())
            if order.pause:
                await asyncio.sleep(order.pause)
        if chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> _Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return _Request(first.split(" ")[1], {name.lower(): value.strip() for name, _, value in pairs})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Answer", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()


async def _send(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: bytes) -> None:
    writer.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)
    await writer.drain()


@contextmanager
def serving() -> Iterator[FaultServer]:
    """Serve in a thread for the length of the block."""
    server, ready, loop = FaultServer(), threading.Event(), asyncio.new_event_loop()

    async def main() -> None:
        for name, answer in (("url", server.api), ("storage_url", server.storage)):
            listener = await asyncio.start_server(answer, "127.0.0.1", 0)
            setattr(server, name, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        ready.set()

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def run() -> None:
        loop.run_until_complete(main())
        loop.run_forever()
        loop.run_until_complete(end())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def made_order(chance: random.Random, files: int, sizes: Sequence[int], pause: float = 0.0) -> Order:
    """Make an order of random files."""
    contents = {f"PSScene/f{index}.tif": chance.randbytes(chance.randint(*sizes)) for index in range(files)}
    return Order(contents, pause=pause)
