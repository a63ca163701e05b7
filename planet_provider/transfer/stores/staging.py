"""What the stagings of local files share: bytes appended to a file, from which a digest is taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from io import FileIO

from planet_provider.transfer.digests import READ_BYTES
from planet_provider.transfer.stores.errors import FileLocation

#: Pieces that one system call takes; POSIX's limit is 1024 on Linux, 16 at the least.
_PIECES = 256


class FileStaging:
    """Bytes on their way in a local file.

    They are written through at once, in as few system calls as pieces allow: what a killed task had written
    is there for its next try.

    What the disk refuses is a :class:`~planet_provider.exceptions.StorageError`.

    :param file: Open for reading and writing, empty or with the file's beginning; unbuffered.
    :param place: How errors name it.
    :ivar position: Bytes held.
    :ivar validator: Strong ETag of the source that the bytes came from, if it gave one.
    """

    def __init__(self, file: FileIO, place: FileLocation) -> None:
        self._file = file
        self._place = place
        self.position = 0
        self.validator: str | None = None
        self._view = memoryview(bytearray())

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes held."""
        with self._place.errors():
            self._file.seek(0)
        while chunk := self._read():
            yield chunk

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag."""
        self.validator = validator

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append bytes."""
        try:
            for start in range(0, len(chunks), _PIECES):
                self._append(chunks[start : start + _PIECES])
        except OSError as error:
            raise self._place.error(error, self.position) from error

    def write_ahead(self, offset: int, chunk: bytes | memoryview) -> None:
        """Write bytes beyond the position, while there is a gap before them. Several threads may.

        Before the first, and from time to time as the gap closes, :meth:`checkpoint` has to be called; at the
        end :meth:`settle`.
        """
        try:
            while chunk:
                written = os.pwrite(self._file.fileno(), chunk, offset)
                offset, chunk = offset + written, memoryview(chunk)[written:]
        except OSError as error:
            raise self._place.error(error, self.position) from error

    def read_ahead(self, offset: int, count: int) -> memoryview:
        """Return bytes that were written ahead, at most so many, as a view that the next call overwrites."""
        if len(self._view) < count:
            self._view = memoryview(bytearray(count))
        view = self._view[:count]
        try:
            return view[: os.preadv(self._file.fileno(), [view], offset)]
        except OSError as error:
            raise self._place.error(error) from error

    def checkpoint(self, position: int) -> None:
        """Note that up to a position there is no gap, so that a killed task's next try knows it."""

    def settle(self, position: int) -> None:
        """Keep what lies before a position, where there is no gap, and drop what lies behind it."""
        with self._place.errors():
            self._file.truncate(position)
        self.position = position

    def reset(self) -> None:
        """Drop all bytes and the ETag."""
        with self._place.errors():
            self._file.truncate(0)
        self.position = 0
        self.validator = None

    def _read(self) -> bytes:
        with self._place.errors():
            return self._file.read(READ_BYTES)

    def _append(self, chunks: Sequence[bytes | memoryview]) -> None:
        pieces = [memoryview(chunk) for chunk in chunks]
        while pieces:
            written = os.pwritev(self._file.fileno(), pieces, self.position)
            self.position += written
            pieces = _rest(pieces, written)


def _rest(pieces: list[memoryview], written: int) -> list[memoryview]:
    """Return what a system call has left: it may write less than it was given."""
    for index, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[index + 1 :]]
        written -= len(piece)
    return []
