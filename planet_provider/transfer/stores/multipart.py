"""Uploads in parts through obstore: bytes arrive by calls, leave in the background, and count only at the end.

obstore completes an upload when its iterator of parts ends and aborts it when the iterator raises. So the
iterator here ends only on :meth:`Upload.finish`: whatever else happens, nothing appears in the store.

obstore doesn't copy a part; it holds a view of it until the part has arrived. So a part's buffer is free again
when its view is gone, which bounds the memory of all uploads together, however they share it.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from planet_provider.coordination.interrupt import LOOK_SECONDS, pause

log = logging.getLogger(__name__)

#: Bytes of a part. Source: the smallest that Amazon S3 and Google's XML API take, but for an upload's last.
PART_BYTES = 5 << 20

#: Parts of an upload. Source: Amazon S3's and Google's limit is 10,000; here with room for a body that is longer
#: than announced. A file of unknown size has parts of PART_BYTES, so it may have 52 GB.
MAX_PARTS = 9_000

#: Parts of one file that travel at once, at the most. Source: obstore's own default.
MAX_CONCURRENCY = 12

#: Bytes that all uploads of a process hold together: parts that fill and parts on their way.
MEMORY_BYTES = 60 << 20

#: Files in parts at once. Each has a part that fills; what is left of the memory is for parts on their way.
_FILES = 8

#: Seconds that an upload has to end after it was dropped. A store that doesn't answer by then drops it by itself,
#: or by its lifecycle rule: the task must not wait for it.
ABORT_SECONDS = 10.0

_MEGABYTE = 1 << 20


def part_bytes(size: int | None) -> int:
    """Return the bytes of a file's parts: few enough to hold in memory, and enough for the parts to suffice.

    :param size: Bytes of the file, where they are known.
    """
    needed = -(-(size or 0) // MAX_PARTS)
    return max(PART_BYTES, -(-needed // _MEGABYTE) * _MEGABYTE)


#: A buffer that a store holds a view of.
BufferLease: TypeAlias = "weakref.finalize[..., object]"


class BufferPool:
    """Buffers for parts, of a bounded size together. First come, first served; thread-safe.

    :param total: Bytes.
    :param files: Files in parts at once.
    """

    def __init__(self, total: int = MEMORY_BYTES, files: int = _FILES) -> None:
        self.total = self.free = total
        # Reentrant, because a buffer may be returned by whatever drops the last view of it.
        self._change = threading.Condition(threading.RLock())
        self.queue: deque[object] = deque()
        self._spare: list[bytearray] = []
        self._files = threading.BoundedSemaphore(files)
        self._open = 0

    @contextlib.contextmanager
    def file(self, size: int | None) -> Iterator[None]:
        """Wait until a file may begin: before it is fetched, so that no connection idles meanwhile.

        :param size: Bytes of the file, where they are known.
        """
        parted = size is None or size > PART_BYTES
        with self._place() if parted else contextlib.nullcontext():
            with self._change:
                self._open += 1
            try:
                yield
            finally:
                with self._change:
                    self._open -= 1
                    if not self._open:
                        self._spare.clear()

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        while not self._files.acquire(timeout=LOOK_SECONDS):
            pause(0)  # raises what ends this thread's work
        try:
            yield
        finally:
            self._files.release()

    def take(self, size: int) -> bytearray:
        """Wait for a buffer.

        :param size: Bytes; more than all of the memory count as all of it.
        """
        ticket = object()
        with self._change:
            self.queue.append(ticket)
            try:
                _wait(self._change, lambda: self.queue[0] is ticket and self.free >= self._weight(size))
                self.free -= self._weight(size)
            finally:
                self.queue.remove(ticket)
                self._change.notify_all()
            # A used buffer spares the kernel the zeroing of a new one.
            return self._spare.pop() if size == PART_BYTES and self._spare else bytearray(size)

    def lend(self, buffer: bytearray, size: int) -> tuple[memoryview, BufferLease]:
        """Return a view of a buffer's beginning; when it is gone, and all made of it, the buffer is taken back."""
        # Every view of this one keeps the array alive; a memoryview may be gone before those that were made of it.
        owner = (ctypes.c_ubyte * len(buffer)).from_buffer(buffer)
        loan: BufferLease = weakref.finalize(owner, self.give, buffer)
        loan.atexit = False
        return memoryview(owner).cast("B")[:size], loan

    def settle(self, loans: Iterable[BufferLease]) -> None:
        """Count as returned what a store keeps although the upload is over, but never use it again."""
        for loan in loans:
            lent = loan.detach()
            if lent is not None:
                (kept,) = lent[2]
                with self._change:
                    self.free += self._weight(len(kept))
                    self._change.notify_all()

    def give(self, buffer: bytearray) -> None:
        """Take back a buffer."""
        with self._change:
            if len(buffer) == PART_BYTES and self._open:
                self._spare.append(buffer)
            self.free += self._weight(len(buffer))
            self._change.notify_all()

    def _weight(self, size: int) -> int:
        return min(size, self.total)


#: The memory of this process's uploads.
BUFFERS = BufferPool()


class _AbortedError(Exception):
    """Raised in the iterator of parts, for obstore to drop the upload."""


class Upload:
    """An upload under way, in a thread of its own.

    :param put: Uploads an iterator of parts: completes when it ends, aborts when it raises.
    """

    def __init__(self, put: Callable[[Iterator[memoryview]], object]) -> None:
        self._put = put
        self._change = threading.Condition()
        self._part: memoryview | None = None
        self._wanted = self._ended = self._aborted = self._over = False
        self._error: BaseException | None = None
        # A daemon, so that a killed task's interpreter needn't wait for a store that doesn't answer.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="planet-upload", daemon=True)
        self._thread.start()

    def send(self, part: memoryview) -> None:
        """Hand over a part, as soon as the upload has room for it.

        :raises BaseException: What the upload failed with.
        """
        with self._change:
            self._await(lambda: self._wanted)
            self._part, self._wanted = part, False
            self._change.notify_all()

    def finish(self) -> None:
        """Complete the upload.

        :raises BaseException: What it failed with.
        """
        with self._change:
            self._ended = True
            self._change.notify_all()
        while self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
            pause(0)
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        """Drop the upload and what the store holds of it; wait for that, but not long."""
        with self._change:
            self._aborted = True
            self._change.notify_all()
        self._thread.join(ABORT_SECONDS)
        if self._thread.is_alive():
            log.warning(
                "An object store doesn't answer, so an upload that was dropped may leave parts there."
            )

    def _await(self, reached: Callable[[], bool]) -> None:
        _wait(self._change, lambda: self._over or reached())
        if self._over:
            raise self._error or RuntimeError("the upload ended before its time")

    def _run(self) -> None:
        try:
            self._put(self._parts())
        except BaseException as error:
            self._error = error
        finally:
            with self._change:
                self._over = True
                self._part = None
                self._change.notify_all()

    def _parts(self) -> Iterator[memoryview]:
        while True:
            with self._change:
                self._wanted = self._part is None
                self._change.notify_all()
                self._change.wait_for(lambda: self._part is not None or self._ended or self._aborted)
                if self._aborted:
                    raise _AbortedError
                part, self._part = self._part, None
            if part is None:
                return
            yield part
            del part


def _wait(change: threading.Condition, reached: Callable[[], bool]) -> None:
    """Wait for a condition, unless what this thread does is to end."""
    while not change.wait_for(reached, LOOK_SECONDS):
        pause(0)
