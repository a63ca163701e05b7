"""A file in parts whose owner loses its connection, or whose helpers get none: what comes out is the file."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from planet_provider.exceptions import ServerError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.download.pool import DownloadPool, Ranges
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.download.single import Fetch
from planet_provider.transfer.download.sources import Link
from planet_provider.transfer.parallel import in_parallel
from planet_provider.transfer.progress import TransferProgress
from planet_provider.transfer.stores.base import Staging
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.memory import MemoryStaging

SIZE = 600_000
CONTENT = random.Random(1).randbytes(SIZE)
KNOWN = Expected(SIZE, None, hashlib.sha256(CONTENT).hexdigest())
RANGES = Ranges(min_bytes=20_000, part_bytes=(100_000, 100_000))
PIECE = 4_000
#: How long a step waits for another one that always comes.
PATIENT = 60.0


class Body(httpx.SyncByteStream):
    def __init__(self, content: bytes, before: Callable[[int], None] = lambda _: None) -> None:
        self._content = content
        self._before = before

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), PIECE):
            self._before(start)
            yield self._content[start : start + PIECE]


class Origin:
    name = "a.tif"
    rate_class = "orders.download"

    def link(self) -> Link:
        return Link("https://planet.invalid/link", 0)

    def renew(self, expired: Link) -> None:
        raise AssertionError("no link has expired")


class Server:
    """Stands for the session: answers bytes, and tells parts from requests for all the rest."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wholes = self.parts = 0

    @contextmanager
    def open(
        self, url: str, *, rate_class: str | None, headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        asked = headers.get("Range", "bytes=0-").removeprefix("bytes=")
        first, _, last = asked.partition("-")
        start, end = int(first), int(last) + 1 if last else SIZE
        with self.lock:
            self.parts, self.wholes = self.parts + bool(last), self.wholes + (not last)
            number = self.parts if last else self.wholes
        body = self.part(number, CONTENT[start:end]) if last else self.whole(number, CONTENT[start:])
        answer = {"ETag": '"1"', "Content-Length": str(end - start)}
        if "Range" in headers:
            answer["Content-Range"] = f"bytes {start}-{end - 1}/{SIZE}"
        status = 206 if "Range" in headers else 200
        try:
            yield httpx.Response(status, headers=answer, stream=body, request=httpx.Request("GET", url))
        finally:
            if last:
                self.part_over(number)

    def whole(self, number: int, content: bytes) -> Body:
        raise NotImplementedError

    def part(self, number: int, content: bytes) -> Body:
        raise NotImplementedError

    def part_over(self, number: int) -> None:
        """Take note that the asker of a part is done with the answer."""


class LateServer(Server):
    """Cuts the first connection once a part was asked for, and answers that one only when the owner is past it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.past, self.over = threading.Event(), threading.Event(), threading.Event()

    def whole(self, number: int, content: bytes) -> Body:
        def before(start: int) -> None:
            if number == 1 and start >= 40_000:
                assert self.asked.wait(PATIENT)
                raise httpx.ReadError("cut")
            if number == 2 and start >= SIZE - 100_000:
                self.past.set()
                assert self.over.wait(PATIENT)

        return Body(content, before)

    def part(self, number: int, content: bytes) -> Body:
        if number > 1:
            raise httpx.ConnectError("no more of these")
        self.asked.set()
        assert self.past.wait(PATIENT)
        return Body(bytes(len(content)))  # altered on its way

    def part_over(self, number: int) -> None:
        self.over.set()


class PausingServer(Server):
    """Sends the owner no more than some bytes until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def whole(self, number: int, content: bytes) -> Body:
        def before(start: int) -> None:
            if start >= 40_000:
                assert self.go_on.wait(PATIENT)

        return Body(content, before)


class TardyServer(PausingServer):
    """Sends nothing of the first part until the owner, which is past it by then, asks for another one."""

    def __init__(self) -> None:
        super().__init__()
        self.met = threading.Event()

    def part(self, number: int, content: bytes) -> Body:
        if number > 1:
            self.met.set()

        def before(start: int) -> None:
            self.go_on.set()
            assert self.met.wait(PATIENT)

        return Body(content, before)


class NarrowServer(PausingServer):
    """Lets a client have two connections, and refuses the third until the end of the first."""

    refuses: tuple[int, ...] = ()

    def part(self, number: int, content: bytes) -> Body:
        if number in self.refuses:
            self.go_on.set()
            raise ServerError("too many connections", status=503, request="GET /file")
        return Body(content)


def bring(server: Any, staging: Staging, threads: int) -> TransferProgress:
    watch = TransferProgress(1, SIZE)
    pool = DownloadPool(watch, threads, 1, RANGES)

    def fetch() -> None:
        try:
            Fetch(
                server,
                Origin(),
                staging,
                KNOWN,
                checksum="sha256",
                watch=watch,
                retry_policy=RetryPolicy(pause_seconds=0.0),
                pool=pool,
            ).run()
        finally:
            pool.file_done()

    in_parallel(lambda job: job(), [fetch, *[pool.help] * (threads - 1)], threads=threads, watch=watch)
    pool.close()
    return watch


@contextmanager
def staged(kind: str, store: LocalStore) -> Iterator[Any]:
    with store.stage("a.tif", KNOWN) if kind == "file" else MemoryStaging("a.tif", SIZE) as staging:
        yield staging
        staging.publish()


def brought(server: Server, kind: str, folder: Path, threads: int) -> tuple[bytes, int]:
    """Return what came out, and the bytes that were counted."""
    with staged(kind, LocalStore(folder)) as staging:
        watch = bring(server, staging, threads)
    content = (folder / "a.tif").read_bytes() if kind == "file" else bytes(staging.content)
    return content, watch.progress().bytes_done


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_part_answered_after_the_owner_went_on_alone_is_not_taken(tmp_path: Path, kind: str) -> None:
    """Nobody would hash its bytes: they would be in the file although its digest was right."""
    server = LateServer()
    assert brought(server, kind, tmp_path, threads=2) == (CONTENT, SIZE)
    assert server.wholes == 2


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_an_owner_may_meet_a_part_of_which_nothing_is_there(tmp_path: Path, kind: str) -> None:
    server = TardyServer()
    assert brought(server, kind, tmp_path, threads=2) == (CONTENT, SIZE)
    assert server.wholes == 1


@pytest.mark.parametrize("refuses", [(1,), (2,)])
def test_a_helper_that_gets_no_connection_leaves_its_part_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: tuple[int, ...]
) -> None:
    monkeypatch.setattr(NarrowServer, "refuses", refuses)
    server = NarrowServer()
    assert brought(server, "file", tmp_path, threads=3) == (CONTENT, SIZE)
    assert server.wholes == 1
