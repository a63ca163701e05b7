"""Where files go: the one protocol behind which local disks and object stores stand.

A store shows a file under its name only when it is whole. What is on its way is *staged*: it becomes the
file by :meth:`Staging.publish` and otherwise never is seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, TypeVar

from planet_provider.transfer.digests import Expected

StagingT = TypeVar("StagingT", bound="Staging")


class Staging(Protocol):
    """A file on its way. A context manager: leaving it unpublished keeps at most what can be continued.

    Several threads use it, one at a time.
    """

    @property
    def position(self) -> int:
        """Bytes held."""
        ...

    @property
    def validator(self) -> str | None:
        """Strong ETag of the source that the bytes came from, if it gave one."""
        ...

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes held, in pieces, so that their digest can be taken up again."""
        ...

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag, before the first byte is written."""
        ...

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append bytes, in pieces of any size. The memory is the caller's, who uses it again."""
        ...

    def reset(self) -> None:
        """Drop all bytes and the ETag."""
        ...

    def publish(self) -> None:
        """Make the bytes durable and then, in one step, the file."""
        ...

    def __enter__(self: StagingT) -> StagingT: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """A folder, on a disk or in an object store. Safe to share between threads."""

    def uri(self, name: str = "") -> str:
        """Return a file's full local path or URI; without a name the folder's own."""
        ...

    def child(self, name: str) -> Store:
        """Return the store of a folder in this one, which need not be there."""
        ...

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; ``None`` if there is no such file."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading.

        :raises FileNotFoundError: There is none.
        """
        ...

    def stage(self, name: str, expected: Expected) -> Staging:
        """Begin a file, or go on with what an earlier, broken transfer of the same content left."""
        ...

    def settled(self, name: str) -> None:
        """Drop what a broken transfer left of a file that is in place and needs no other."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def names(self) -> Iterator[str]:
        """Yield the names of all files in the folder and in those below it, in no order."""
        ...


def read(store: Store, name: str, limit: int) -> bytes | None:
    """Return a small file's content.

    :param limit: Bytes; a larger file is taken for none.
    :return: ``None`` if there is no such file.
    """
    try:
        with store.open(name) as stream:
            content = stream.read(limit + 1)
    except FileNotFoundError:
        return None
    return content if len(content) <= limit else None


def write(store: Store, name: str, content: bytes) -> None:
    """Write a small file, whole or not at all."""
    with store.stage(name, Expected(size=len(content))) as staging:
        staging.reset()
        staging.write(content)
        staging.publish()
