"""Files in a bucket of Amazon S3, Google Cloud Storage or Azure, by way of obstore. No local disk is needed.

A file's bytes leave while they arrive: one PUT for a small file, a multipart upload for others. It is completed
only when the file is published, which is after its digest agreed, and aborted otherwise: until then the key
shows what was there before. A worker that is killed can't abort: what it had uploaded stays hidden in the
bucket, and costs, until a lifecycle rule removes it. On S3 and Google Cloud Storage set one that aborts incomplete
multipart uploads after a day (``AbortIncompleteMultipartUpload``); Azure drops uncommitted blocks after a week.
The next try of the task starts such a file over, and skips those that are there and agree.
"""

from __future__ import annotations

import contextlib
import io
import mimetypes
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from planet_provider.exceptions import IncompleteTransferError, TransferError
from planet_provider.redact import redact_text
from planet_provider.transfer.digests import READ_BYTES, Expected
from planet_provider.transfer.names import check_name
from planet_provider.transfer.stores.multipart import (
    BUFFERS,
    MAX_CONCURRENCY,
    BufferLease,
    BufferPool,
    Upload,
    part_bytes,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

#: Bytes that one request for a body asks for: it has to end within the client's timeout.
WINDOW_BYTES = 64 << 20

#: Requests for a body's rest in a row that may bring nothing.
_READ_TRIES = 4

#: Characters of a store's answer that an error shows.
_SHOWN = 300


class BucketStore:
    """A prefix in a bucket.

    :param client: An obstore store, made for the bucket.
    :param prefix: Keys begin with it; empty for the whole bucket.
    :param uri: How to name the prefix outside, e.g. with Airflow's connection id.
    :param memory: What uploads may hold; by default they share the process's.
    """

    def __init__(self, client: Client, prefix: str, *, uri: str, memory: BufferPool = BUFFERS) -> None:
        self.client = client
        self.prefix = prefix.strip("/")
        self._uri = uri.rstrip("/")
        self._memory = memory

    def uri(self, name: str = "") -> str:
        """Return a file's URI."""
        return f"{self._uri}/{check_name(name)}" if name else self._uri

    def child(self, name: str) -> BucketStore:
        """Return the store of a prefix below this one."""
        return BucketStore(self.client, self._key(name), uri=self.uri(name), memory=self._memory)

    def size(self, name: str) -> int | None:
        """Return an object's size in bytes; ``None`` if there is none."""
        try:
            return int(self._head(name)["size"])
        except FileNotFoundError:
            return None

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading from its beginning to its end."""
        return cast("BinaryIO", io.BufferedReader(_Reader(self, name, self._head(name)), READ_BYTES))

    def stage(self, name: str, expected: Expected) -> BucketStaging:
        """Begin an object."""
        return BucketStaging(self, name, expected.size, self._memory)

    def settled(self, name: str) -> None:
        """Do nothing: what a broken upload left can't be gone on with, and isn't seen."""

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        with contextlib.suppress(FileNotFoundError), self.errors(name):
            obstore.delete(self.client, self._key(name))

    def names(self) -> Iterator[str]:
        """Yield the names of all objects below this prefix."""
        import obstore

        start = f"{self.prefix}/" if self.prefix else ""
        with self.errors(""):
            for batch in obstore.list(self.client, prefix=self.prefix or None):
                for found in batch:
                    if found["path"].startswith(start):
                        yield found["path"].removeprefix(start)

    def put(self, name: str, content: memoryview) -> None:
        """Put a small object by one request."""
        import obstore

        with self.errors(name, writing=True):
            obstore.put(
                self.client, self._key(name), content, use_multipart=False, attributes=_attributes(name)
            )

    def upload(self, name: str, part: int) -> Upload:
        """Begin an upload in parts."""
        import obstore

        def put(parts: Iterator[memoryview]) -> None:
            obstore.put(
                self.client,
                self._key(name),
                parts,
                attributes=_attributes(name),
                chunk_size=part,
                max_concurrency=MAX_CONCURRENCY,
            )

        return Upload(put)

    def read(self, name: str, start: int, end: int, etag: str | None) -> Iterator[bytes]:
        """Yield a part of an object.

        :param end: The byte after the last one.
        :param etag: Of the object that is meant.
        """
        import obstore

        options: dict[str, Any] = {"range": (start, end)} | ({"if_match": etag} if etag else {})
        result = obstore.get(self.client, self._key(name), options=cast("Any", options))
        yield from result.stream(min_chunk_size=READ_BYTES)

    @contextlib.contextmanager
    def errors(self, name: str, *, writing: bool = False) -> Iterator[None]:
        """Turn what the client raises into an error of ours, which shows no signed URL and pickles."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError as error:
            if not writing:
                raise FileNotFoundError(self.uri(name)) from None
            raise self._error(name, error) from None
        except BaseError as error:
            raise self._error(name, error) from None

    def _error(self, name: str, error: Exception) -> TransferError:
        said = redact_text(str(error).partition("\n\nDebug source")[0])
        said = " ".join(said.split())[:_SHOWN].rstrip(". ")
        return TransferError(
            f"{self.uri(name)}: the object store refused or failed: {type(error).__name__}: {said}. "
            "Look at the connection's credentials and at the bucket; what was being written did not appear.",
            file=name or None,
        )

    def _head(self, name: str) -> Mapping[str, Any]:
        import obstore

        with self.errors(name):
            return cast("Mapping[str, Any]", obstore.head(self.client, self._key(name)))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{check_name(name)}" if self.prefix else check_name(name)


class BucketStaging:
    """Bytes on their way to an object.

    :param store: Where they go.
    :param name: The object's name in the store.
    :param size: Its bytes, where they are known.
    :param memory: What all uploads may hold.
    :ivar position: Bytes taken.
    :ivar validator: Strong ETag of the source that the bytes came from, if it gave one.
    """

    def __init__(self, store: BucketStore, name: str, size: int | None, memory: BufferPool) -> None:
        self._store = store
        self._name = name
        self._size = size
        self._memory = memory
        self._part_bytes = part_bytes(size)
        self._buffer_bytes = self._part_bytes if size is None else max(1, min(self._part_bytes, size))
        self._upload: Upload | None = None
        self._buffer: bytearray | None = None
        self._filled = 0
        self._loans: list[BufferLease] = []
        self._stack = contextlib.ExitStack()
        self.position = 0
        self.validator: str | None = None

    def __enter__(self) -> BucketStaging:
        self._stack.enter_context(self._memory.file(self._size))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            self._drop()

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes held, as long as none have left.

        :raises io.UnsupportedOperation: Some have.
        """
        if self._upload is not None:
            raise io.UnsupportedOperation("a part of the upload has left")
        if self._buffer is not None:
            yield bytes(memoryview(self._buffer)[: self._filled])

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag."""
        self.validator = validator

    def write(self, *chunks: bytes | memoryview) -> None:
        """Append bytes; wait where parts don't leave as fast as they fill."""
        for chunk in chunks:
            rest = memoryview(chunk).cast("B")
            while rest:
                buffer = self._room()
                count = min(len(rest), len(buffer) - self._filled)
                buffer[self._filled : self._filled + count] = rest[:count]
                self._filled += count
                self.position += count
                rest = rest[count:]

    def reset(self) -> None:
        """Drop all bytes, those in the store too, and the ETag."""
        self._drop()
        self.position = 0
        self.validator = None

    def publish(self) -> None:
        """Make the bytes the object."""
        if self._upload is None:
            self._store.put(self._name, self._leaving())
        else:
            self._send(self._leaving())
            with self._store.errors(self._name, writing=True):
                self._upload.finish()
            self._upload = None
        self._settle()

    def _room(self) -> bytearray:
        if self._buffer is not None and self._filled == len(self._buffer):
            self._send(self._leaving())
        if self._buffer is None:
            self._buffer = self._memory.take(self._buffer_bytes)
        return self._buffer

    def _send(self, part: memoryview) -> None:
        if self._upload is None:
            self._upload = self._store.upload(self._name, self._part_bytes)
        with self._store.errors(self._name, writing=True):
            self._upload.send(part)

    def _leaving(self) -> memoryview:
        """Return what is held, which from then on is the upload's."""
        buffer, self._buffer = self._buffer, None
        size, self._filled = self._filled, 0
        if buffer is None:
            return memoryview(b"")
        view, loan = self._memory.lend(buffer, size)
        self._loans = [*(one for one in self._loans if one.alive), loan]
        return view

    def _settle(self) -> None:
        loans, self._loans = self._loans, []
        self._memory.settle(loans)

    def _drop(self) -> None:
        upload, self._upload = self._upload, None
        buffer, self._buffer = self._buffer, None
        self._filled = 0
        if buffer is not None:
            self._memory.give(buffer)
        if upload is not None:
            upload.abort()
        self._settle()


class _Reader(io.RawIOBase):
    """An object, read in windows; one that breaks is asked for again from where it broke."""

    def __init__(self, store: BucketStore, name: str, head: Mapping[str, Any]) -> None:
        super().__init__()
        self._store = store
        self._name = name
        self._size = int(head["size"])
        self._etag = head.get("e_tag")
        self._position = 0
        self._chunks: Iterator[bytes] = iter(())
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        if not self._chunk and self._position < self._size:
            with self._store.errors(self._name):
                self._chunk = memoryview(self._next())
        count = min(len(target), len(self._chunk))
        target[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        self._position += count
        return count

    def _next(self) -> bytes:
        from obstore.exceptions import GenericError

        for left in reversed(range(_READ_TRIES)):
            try:
                if chunk := next(self._chunks, b""):
                    return chunk
            except GenericError:
                if not left:
                    raise
            end = min(self._size, self._position + WINDOW_BYTES)
            self._chunks = self._store.read(self._name, self._position, end, self._etag)
        raise IncompleteTransferError(
            f"{self._store.uri(self._name)}: ends after {self._position} of {self._size} bytes; try again later.",
            file=self._name,
        )


def _attributes(name: str) -> dict[str, str] | None:
    kind, encoding = mimetypes.guess_type(name)
    return None if kind is None or encoding is not None else {"Content-Type": kind}
