"""The parts of a file, and where they wait until what lies before them is there."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from planet_provider.transfer.stores.base import Staging
from planet_provider.transfer.stores.staging import FileStaging

#: Bytes that are taken at once.
_TAKE_BYTES = 1 << 20

#: Bytes after which the next try of a killed task is told how far this one came.
_CHECKPOINT_BYTES = 16 << 20


@dataclass
class Part:
    """Some bytes of a file.

    :param start: The first.
    :param end: The one after the last.
    :param position: The next to come.
    """

    start: int
    end: int
    position: int


class ReorderBuffer(Protocol):
    """Bytes of a file, by offset, put by several threads and taken in order by one at a time."""

    def begin(self, position: int) -> None:
        """Begin to take bytes beyond a position."""
        ...

    def put(self, offset: int, chunk: bytes) -> None:
        """Keep bytes."""
        ...

    def take(self, offset: int, available: int) -> bytes | memoryview:
        """Return the bytes at an offset, some of those available, and have them in the staging.

        They may be a view of memory that the next call overwrites.
        """
        ...

    def settle(self, position: int) -> None:
        """End: keep what was taken, up to a position."""
        ...


class FileReorderBuffer:
    """Parts in the staging's own file, at their places. They may be as many as the file has.

    :param staging: Holds the bytes before them.
    """

    def __init__(self, staging: FileStaging) -> None:
        self._staging = staging
        self._noted = 0

    def begin(self, position: int) -> None:
        """Note how much has no gap, before there is one."""
        self._noted = position
        self._staging.checkpoint(position)

    def put(self, offset: int, chunk: bytes) -> None:
        """Write bytes at their place."""
        self._staging.write_ahead(offset, chunk)

    def take(self, offset: int, available: int) -> bytes | memoryview:
        """Read bytes back: the system has them in memory still."""
        if offset - self._noted >= _CHECKPOINT_BYTES:
            self._noted = offset
            self._staging.checkpoint(offset)
        return self._staging.read_ahead(offset, min(available, _TAKE_BYTES))

    def settle(self, position: int) -> None:
        """Cut the file off there."""
        self._staging.settle(position)


class MemoryReorderBuffer:
    """Parts in memory, for stagings that take bytes in order alone.

    :param staging: Where they go when they are taken.
    """

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._lock = threading.Lock()
        self._chunks: dict[int, bytes] = {}

    def begin(self, position: int) -> None:
        """Do nothing: nobody sees what lies in memory."""

    def put(self, offset: int, chunk: bytes) -> None:
        """Hold bytes."""
        with self._lock:
            self._chunks[offset] = chunk

    def take(self, offset: int, available: int) -> bytes:
        """Write the chunk that begins there to the staging."""
        with self._lock:
            chunk = self._chunks.pop(offset, b"")
        if chunk:
            self._staging.write(chunk)
        return chunk

    def settle(self, position: int) -> None:
        """Drop the rest."""
        self._chunks.clear()
