"""A file in parts: whatever the server does to them, what comes out is the file, or an error."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.exceptions import (
    ChecksumError,
    InvalidInputError,
    LinkExpiredError,
    PlanetError,
    ServerError,
)
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

CONTENT = random.Random(1).randbytes(120_000)
KNOWN = Expected(len(CONTENT), None, hashlib.sha256(CONTENT).hexdigest())
RANGES = Ranges(min_bytes=20_000, part_bytes=(4_000, 8_000), window_bytes=64_000)
HASTY = RetryPolicy(pause_seconds=0.0)
LINK = "https://planet.invalid/link"
STORAGE = "https://storage.invalid/file"


class Body(httpx.SyncByteStream):
    """Comes slowly, so that other threads may join."""

    def __init__(self, content: bytes, cut: int | None, slow: bool) -> None:
        self._content = content if cut is None else content[:cut]
        self._cut = cut is not None
        self._slow = slow

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), 2_000):
            if self._slow:
                time.sleep(0.004)
            yield self._content[start : start + 2_000]
        if self._cut:
            raise httpx.ReadError("cut")


@dataclass
class Server:
    """Stands for the session. The first request is for the whole; what happens to parts is as told."""

    parts: list[str] = field(default_factory=list)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    expired: set[str] = field(default_factory=set)
    first: str = "ok"
    generation: int = 0

    @contextmanager
    def open(
        self, url: str, *, rate_class: str | None, headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        asked = headers.get("Range")
        with self.lock:
            self.asked.append((url, rate_class, asked))
            part = asked is not None and not asked.endswith("-")
            kind = (self.parts.pop(0) if self.parts else "ok") if part else self.first
            if kind == "expire" and url != LINK:
                self.expired.add(url)
            if url in self.expired:
                raise LinkExpiredError("expired")
            if url == LINK:
                self.generation += 1
                url = f"{STORAGE}?{self.generation}"
        if kind == "error":
            raise ServerError("broken", status=503, request="GET /file")
        yield self._answer(url, asked, kind)

    def _answer(self, url: str, asked: str | None, kind: str) -> httpx.Response:
        content, etag = (CONTENT, '"1"') if kind != "changed" else (CONTENT[::-1], '"2"')
        start, end, status, headers = 0, len(content), 200, {"ETag": etag}
        if asked is not None and kind != "whole":
            first, last = asked.removeprefix("bytes=").split("-")
            start, end = int(first), int(last or len(content) - 1) + 1
            status = 206
            if kind == "short":
                end = start + max(1, (end - start) // 2)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        piece = bytearray(content[start:end])
        if kind == "corrupt":
            piece[len(piece) // 2] ^= 1
        if kind == "elsewhere":
            headers["Content-Range"] = f"bytes {start + 1}-{end}/{len(content)}"
        headers["Content-Length"] = str(len(piece))
        cut = len(piece) // 3 if kind == "cut" else None
        return httpx.Response(
            status,
            headers=headers,
            stream=Body(bytes(piece), cut, slow=True),
            request=httpx.Request("GET", url),
        )


class Origin:
    name = "a.tif"
    rate_class = "orders.download"

    def __init__(self) -> None:
        self.renewed = 0

    def link(self) -> Link:
        return Link(LINK, self.renewed)

    def renew(self, expired: Link) -> None:
        self.renewed += 1


def bring(server: Server, staging: Staging, expected: Expected = KNOWN, threads: int = 4) -> TransferProgress:
    """Fetch a file with a crew."""
    watch = TransferProgress(1, len(CONTENT))
    pool = DownloadPool(watch, threads, 1, RANGES)
    session: Any = server

    def fetch() -> None:
        try:
            Fetch(
                session,
                Origin(),
                staging,
                expected,
                checksum="sha256",
                watch=watch,
                retry_policy=HASTY,
                pool=pool,
            ).run()
        finally:
            pool.file_done()

    in_parallel(lambda job: job(), [fetch, *[pool.help] * (threads - 1)], threads=threads, watch=watch)
    pool.close()
    return watch


def part_requests(server: Server) -> list[tuple[str, str | None, str | None]]:
    return [asked for asked in server.asked if asked[2] is not None]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


@pytest.mark.parametrize("in_memory", [False, True])
def test_parts_make_the_file_and_only_the_link_counts_for_planet(store: LocalStore, in_memory: bool) -> None:
    server = Server()
    staging: Any = MemoryStaging("a.tif", 10**6) if in_memory else store.stage("a.tif", KNOWN)
    with staging:
        watch = bring(server, staging)
        staging.publish()
    content = bytes(staging.content) if in_memory else (store.root / "a.tif").read_bytes()
    assert content == CONTENT
    assert watch.progress().bytes_done == len(CONTENT)
    assert len(part_requests(server)) > 4
    assert [(url, rate_class) for url, rate_class, _ in server.asked[:1]] == [(LINK, "orders.download")]
    assert {(url, rate_class) for url, rate_class, _ in server.asked[1:]} == {(f"{STORAGE}?1", None)}


TROUBLES = "cut", "short short short short", "ok cut cut expire cut", "ok whole", "ok changed", "ok corrupt"
REFUSALS = "ok elsewhere", "whole", "changed", "elsewhere", "error", "expire expire expire"


@pytest.mark.parametrize("kinds", [*TROUBLES, *REFUSALS])
def test_a_part_in_trouble_is_mended(store: LocalStore, kinds: str) -> None:
    server = Server(parts=kinds.split())
    with store.stage("a.tif", KNOWN) as staging:
        watch = bring(server, staging)
        staging.publish()
    assert (store.root / "a.tif").read_bytes() == CONTENT
    assert [path.name for path in store.root.iterdir()] == ["a.tif"]
    assert watch.progress().bytes_done == len(CONTENT)


KINDS = st.sampled_from(["ok", "ok", "cut", "short", "whole", "changed", "corrupt", "elsewhere", "expire"])


@given(st.lists(KINDS, max_size=12), st.booleans())
def test_whatever_happens_to_parts_the_file_is_right_or_there_is_an_error(
    kinds: list[str], cut_at_first: bool
) -> None:
    staging = MemoryStaging("a.tif", 10**6)
    server = Server(parts=list(kinds), first="cut" if cut_at_first else "ok")
    try:
        bring(server, staging)
    except PlanetError:
        return
    assert staging.content == CONTENT


def test_a_url_that_expired_is_found_anew_once_for_all_parts(store: LocalStore) -> None:
    server = Server(parts=["ok", "ok", "ok", "expire"])
    with store.stage("a.tif", KNOWN) as staging:
        bring(server, staging)
    assert server.generation == 2
    assert [url for url, _, _ in server.asked].count(LINK) == 2


def test_a_server_that_refuses_parts_is_asked_once_and_the_file_comes_whole(store: LocalStore) -> None:
    server = Server(parts=["whole"] * 50)
    with store.stage("a.tif", KNOWN) as staging:
        bring(server, staging)
        assert staging.position == len(CONTENT)
    assert len(server.asked) == 2


def test_parts_that_are_wrong_again_and_again_are_an_error_and_nothing_is_left(store: LocalStore) -> None:
    server = Server(parts=["ok", "corrupt"], first="corrupt")
    with pytest.raises(ChecksumError), store.stage("a.tif", KNOWN) as staging:
        bring(server, staging)
    assert list(store.root.iterdir()) == []


def test_an_error_keeps_what_has_no_gap_for_the_next_try(store: LocalStore) -> None:
    server = Server(parts=["ok", "ok", "ok", *["error"] * 50])
    with pytest.raises(ServerError), store.stage("a.tif", KNOWN) as staging:
        bring(server, staging)
    part = store.root / "a.tif.part"
    held = part.stat().st_size
    assert 0 < held < len(CONTENT)
    assert part.read_bytes() == CONTENT[:held]
    with store.stage("a.tif", KNOWN) as staging:
        assert staging.position == held
        bring(Server(), staging)
        staging.publish()
    assert (store.root / "a.tif").read_bytes() == CONTENT


def test_what_a_killed_task_wrote_behind_a_gap_is_not_believed(store: LocalStore) -> None:
    staging = store.stage("a.tif", KNOWN)
    staging.remember('"1"')
    staging.write(CONTENT[:10_000])
    staging.checkpoint(10_000)
    staging.write_ahead(50_000, CONTENT[50_000:60_000])
    staging._file.close()  # as a kill does
    assert json.loads((store.root / "a.tif.part.json").read_text())["held"] == 10_000
    with store.stage("a.tif", KNOWN) as again:
        assert (again.position, again.validator) == (10_000, '"1"')
        assert b"".join(again.replay()) == CONTENT[:10_000]


@pytest.mark.parametrize(
    "wrong",
    [{"min_bytes": 0}, {"part_bytes": (0, 5)}, {"part_bytes": (9, 5)}, {"window_bytes": -1}],
)
def test_ranges_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"ranges\."):
        Ranges(**wrong)
