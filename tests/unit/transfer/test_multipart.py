"""The memory that uploads share, and uploads that count only at their end."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

from planet_provider.transfer.stores.multipart import (
    MAX_PARTS,
    PART_BYTES,
    BufferPool,
    Upload,
    part_bytes,
)


@pytest.mark.parametrize(
    "size", [None, 0, 1, PART_BYTES, 10 << 30, MAX_PARTS * PART_BYTES + 1, 1 << 40, 5 << 40]
)
def test_parts_are_as_large_as_they_must_be_and_few_enough(size: int | None) -> None:
    part = part_bytes(size)
    assert part >= PART_BYTES
    assert (size or 0) <= part * MAX_PARTS
    if size is None or size <= MAX_PARTS * PART_BYTES:
        assert part == PART_BYTES


def test_memory_is_lent_until_the_last_view_is_gone() -> None:
    memory = BufferPool(2 * PART_BYTES)
    with memory.file(None):
        buffer = memory.take(PART_BYTES)
        view, loan = memory.lend(buffer, 100)
        other = view[:10]
        assert memory.free == PART_BYTES
        del view, buffer
        gc.collect()
        assert memory.free == PART_BYTES, "a view of it is left"
        other.release()
        del other
        gc.collect()
        assert memory.free == 2 * PART_BYTES
        memory.settle([loan])
        assert memory.free == 2 * PART_BYTES, "it was returned before"


def test_what_a_store_keeps_counts_as_returned_and_is_not_used_again() -> None:
    memory = BufferPool(PART_BYTES)
    with memory.file(None):
        buffer = memory.take(PART_BYTES)
        buffer[:4] = b"kept"
        view, loan = memory.lend(buffer, 4)
        memory.settle([loan])
        other = memory.take(PART_BYTES)
        other[:4] = b"else"
        assert bytes(view) == b"kept"


def test_who_waits_longest_is_next() -> None:
    memory = BufferPool(10)
    first = memory.take(10)
    order: list[str] = []

    def take(name: str, size: int) -> None:
        buffer = memory.take(size)
        order.append(name)
        memory.give(buffer)

    threads = []
    for name, size in (("large", 10), ("small", 1)):
        threads.append(threading.Thread(target=take, args=(name, size)))
        threads[-1].start()
        while len(memory.queue) < len(threads):
            time.sleep(0.001)
    memory.give(first)
    for thread in threads:
        thread.join()
    assert order == ["large", "small"]


def test_a_part_larger_than_the_memory_is_taken_alone() -> None:
    memory = BufferPool(10)
    buffer = memory.take(100)
    assert (len(buffer), memory.free) == (100, 0)
    memory.give(buffer)
    assert memory.free == 10


def test_only_so_many_files_go_in_parts_at_once_and_small_ones_do_not_wait() -> None:
    memory = BufferPool(files=1)
    entered = threading.Event()

    def large() -> None:
        with memory.file(None):
            entered.set()

    with memory.file(PART_BYTES + 1):
        thread = threading.Thread(target=large)
        thread.start()
        with memory.file(PART_BYTES):
            assert not entered.wait(0.05)
    assert entered.wait(120)
    thread.join()


class Sink:
    """What obstore does with an iterator of parts."""

    def __init__(self, fail_after: int | None = None) -> None:
        self.parts: list[bytes] = []
        self.outcome = "open"
        self.fail_after = fail_after

    def put(self, parts: Iterator[memoryview]) -> None:
        try:
            for part in parts:
                self.parts.append(bytes(part))
                if len(self.parts) == self.fail_after:
                    raise OSError("the store is full")
        except BaseException:
            self.outcome = "aborted"
            raise
        self.outcome = "complete"


def test_an_upload_is_complete_only_when_it_is_finished() -> None:
    sink = Sink()
    upload = Upload(sink.put)
    for part in (b"one", b"two"):
        upload.send(memoryview(part))
    assert sink.outcome == "open"
    upload.finish()
    assert (sink.outcome, sink.parts) == ("complete", [b"one", b"two"])


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_an_upload_is_aborted_at_any_time(parts: int) -> None:
    sink = Sink()
    upload = Upload(sink.put)
    for _ in range(parts):
        upload.send(memoryview(b"part"))
    upload.abort()
    upload.abort()
    assert sink.outcome == "aborted", "it was waited for"


def test_what_an_upload_failed_with_reaches_the_sender() -> None:
    sink = Sink(fail_after=2)
    upload = Upload(sink.put)
    upload.send(memoryview(b"part"))
    upload.send(memoryview(b"part"))
    with pytest.raises(OSError, match="full"):
        upload.send(memoryview(b"part"))
    with pytest.raises(OSError, match="full"):
        upload.finish()
    upload.abort()
