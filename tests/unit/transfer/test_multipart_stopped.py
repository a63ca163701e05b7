"""Uploads into a store that doesn't answer: their waiters can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from planet_provider.coordination.interrupt import interrupted_by
from planet_provider.transfer.progress import TransferProgress, TransferStoppedError
from planet_provider.transfer.stores import multipart
from planet_provider.transfer.stores.multipart import BufferPool, Upload


class SilentStore:
    """Takes the first part and then answers nothing until it is let go."""

    def __init__(self) -> None:
        self.taken, self.go, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.whole = False

    def put(self, parts: Iterator[memoryview]) -> None:
        next(parts)
        self.taken.set()
        self.go.wait()
        try:
            for _ in parts:
                pass
            self.whole = True
        finally:
            self.ended.set()


@pytest.fixture
def store() -> Iterator[SilentStore]:
    store = SilentStore()
    yield store
    store.go.set()


@pytest.fixture
def upload(store: SilentStore) -> Upload:
    upload = Upload(store.put)
    upload.send(memoryview(b"first"))
    assert store.taken.wait(60)
    return upload


def stopped(wait: Callable[[], object]) -> None:
    """Assert that a wait ends because of a stop that comes while it lasts."""
    watch = TransferProgress()
    stop = threading.Timer(0.1, watch.stop)
    stop.start()
    with interrupted_by(watch), pytest.raises(TransferStoppedError):
        wait()
    stop.join()


def test_who_completes_an_upload(upload: Upload) -> None:
    stopped(upload.finish)


def test_who_hands_over_a_part(upload: Upload) -> None:
    stopped(lambda: upload.send(memoryview(b"second")))


def test_who_waits_for_a_buffer() -> None:
    memory = BufferPool(total=10)
    memory.take(10)
    stopped(lambda: memory.take(1))
    assert not memory.queue


def test_who_waits_to_begin_a_file() -> None:
    memory = BufferPool(files=1)
    with memory.file(None):
        stopped(memory.file(None).__enter__)


def test_a_dropped_upload_is_waited_for_within_bounds(
    upload: Upload, store: SilentStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(multipart, "ABORT_SECONDS", 0.05)
    upload.abort()
    assert not store.ended.is_set()
    assert "may leave parts" in caplog.text
    store.go.set()
    assert store.ended.wait(60)
    assert not store.whole, "the store is told when it answers again"
