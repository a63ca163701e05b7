"""A digest that is taken behind: whole, in order, never further behind than memory allows."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from planet_provider.transfer.download.hashing import BEHIND, BackgroundHasher

PIECES = [bytes([number]) * 1000 for number in range(200)]


class Slow:
    """A digest that goes on when it is let, and notes what it got."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.taken: list[bytes] = []

    def update(self, data: bytes | memoryview, /) -> None:
        assert self.let.acquire(timeout=60)
        self.taken.append(bytes(data))

    def hexdigest(self) -> str:
        return ""


def test_pieces_are_hashed_in_order_by_one_thread_at_a_time() -> None:
    digest, inside, most = hashlib.sha256(), [0], [0]

    class Watched(Slow):
        def update(self, data: bytes | memoryview, /) -> None:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            digest.update(data)
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        behind = BackgroundHasher(Watched(), pool.submit)
        for piece in PIECES:
            behind.put(piece)
        behind.wait()
    assert digest.hexdigest() == hashlib.sha256(b"".join(PIECES)).hexdigest()
    assert most == [1]


def test_memory_that_is_used_again_after_so_many_pieces_is_hashed_before() -> None:
    digest = hashlib.sha256()
    buffers = [bytearray(1000) for _ in range(BEHIND + 1)]
    with ThreadPoolExecutor(1) as pool:
        behind = BackgroundHasher(digest, pool.submit)
        for number, piece in enumerate(PIECES):
            buffer = buffers[number % len(buffers)]
            buffer[:] = piece
            behind.put(memoryview(buffer))
        behind.wait()
    assert digest.hexdigest() == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_it_waits_where_too_many_are_behind() -> None:
    digest, put = Slow(), threading.Semaphore(0)
    with ThreadPoolExecutor(2) as pool:
        behind = BackgroundHasher(digest, pool.submit)

        def feed() -> None:
            for piece in PIECES[: BEHIND + 1]:
                behind.put(piece)
                put.release()

        feeding = pool.submit(feed)
        for _ in range(BEHIND):
            assert put.acquire(timeout=60)
        assert not put.acquire(timeout=0.2)
        digest.let.release()
        assert put.acquire(timeout=60)
        digest.let.release(BEHIND)
        feeding.result(60)
        behind.wait()
    assert digest.taken == PIECES[: BEHIND + 1]


def test_what_hashing_fails_with_reaches_who_waits() -> None:
    class Broken(Slow):
        def update(self, data: bytes | memoryview, /) -> None:
            raise MemoryError("no more")

    def feed(behind: BackgroundHasher) -> None:
        for piece in PIECES:
            behind.put(piece)

    with ThreadPoolExecutor(1) as pool:
        behind = BackgroundHasher(Broken(), pool.submit)
        with pytest.raises(MemoryError):
            feed(behind)
        with pytest.raises(MemoryError):
            behind.wait()


def test_it_begins_again_after_it_had_nothing_to_do() -> None:
    digest = hashlib.sha256()
    started: list[Callable[[], None]] = []
    behind = BackgroundHasher(digest, lambda work: (started.append(work), work()))
    for piece in PIECES[:3]:
        behind.put(piece)
        behind.wait()
    assert len(started) == 3
    assert digest.hexdigest() == hashlib.sha256(b"".join(PIECES[:3])).hexdigest()
