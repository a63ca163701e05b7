"""One file through several connections: cut into parts, hashed in order just behind them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import TracebackType

import httpx

from planet_provider.exceptions import (
    PlanetError,
    RateLimitError,
    ServerError,
    TransportError,
)
from planet_provider.transfer.digests import Hash
from planet_provider.transfer.download.headers import content_range, strong_etag
from planet_provider.transfer.download.pool import LOOK_SECONDS, DownloadPool
from planet_provider.transfer.download.reorder_buffer import (
    FileReorderBuffer,
    MemoryReorderBuffer,
    Part,
    ReorderBuffer,
)
from planet_provider.transfer.download.resolved_url import Location
from planet_provider.transfer.download.retry import (
    CutError,
    MisfitError,
    RetryPolicy,
    RetryState,
)
from planet_provider.transfer.progress import TransferStoppedError
from planet_provider.transfer.stores.base import Staging
from planet_provider.transfer.stores.staging import FileStaging

log = logging.getLogger(__name__)

#: What a storage may answer to one connection more than it lets a client have.
_OVERLOADED = (RateLimitError, ServerError, TransportError)

#: Bytes that a part must still have for another thread to take half of them.
_SPLIT_BYTES = 2 << 20

#: Pieces that a thread hashes before it goes back to its own connection.
_TURN = 4


class RangedDownload:
    """A file that several threads fetch.

    The thread that began it, its *owner*, reads on from the beginning until it meets the first part. From there
    on all threads are alike. What is here without a gap, and in the digest, ends at the *frontier*.

    Its owner uses it as a context manager. Behind the block nobody writes to the staging any more, however late
    a server's answer comes: the owner may be at the same bytes by then, over another connection.

    :param pool: The threads.
    :param name: How logs and errors name the file.
    :param location: Where it is.
    :param staging: Where it goes; holds the bytes up to ``position``, and ``validator``, its strong ETag.
        Without one a digest must be known.
    :param size: Bytes of the whole file.
    :param digest: Of the bytes that are here.
    :param retry_policy: How often a part is tried.
    :ivar limit: Where the owner stops reading.
    """

    def __init__(
        self,
        pool: DownloadPool,
        *,
        name: str,
        location: Location,
        staging: Staging,
        size: int,
        digest: Hash,
        retry_policy: RetryPolicy,
    ) -> None:
        self._pool = pool
        self._name = name
        self._location = location
        self._staging = staging
        self._validator = staging.validator
        self._size = size
        self._hash = digest
        self._retry_policy = retry_policy
        self._bounded = not isinstance(staging, FileStaging)
        self._part_bytes = pool.part_bytes(size - staging.position, bounded=self._bounded)
        self._lock = threading.Lock()
        self._change = threading.Condition(self._lock)
        self._turn = threading.Lock()
        self._writing = 0
        self._settled = False
        self._reserved = staging.position
        self._next = self.limit = size
        self._parts: list[Part] = []
        self._given_back: list[Part] = []
        self._head = 0
        self._probing = self._refused = self._met = False
        self._error: BaseException | None = None
        self._buffer: ReorderBuffer = (
            FileReorderBuffer(staging) if isinstance(staging, FileStaging) else MemoryReorderBuffer(staging)
        )
        self._frontier = staging.position

    def __enter__(self) -> RangedDownload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._settle()

    def reserve(self, count: int) -> int:
        """Claim bytes for the owner, who is about to write them.

        :return: How many of them are before the first part.
        """
        with self._lock:
            allowed = min(count, self.limit - self._reserved)
            self._reserved += allowed
            return allowed

    def wants_help(self) -> int:
        """Return the bytes that nobody has taken on yet, where a part of them could be taken on now."""
        if self._refused or self._probing or self._settled or self._error is not None:
            return 0
        if not self._parts:
            left = self._size - self._reserved - self._part_bytes
            return left if left >= self._part_bytes // 2 else 0
        with self._lock:
            if self._next < self._size:
                return self._size - self._next if self._has_room() else 0
            return self._longest()[0] if self._longest()[0] >= _SPLIT_BYTES else 0

    def help(self) -> None:
        """Fetch parts while there are any. What goes wrong is the owner's to tell."""
        try:
            if self._parts or self._probe():
                self._assist()
        except TransferStoppedError:
            raise
        except BaseException as error:
            self._fail(error)

    @property
    def is_split(self) -> bool:
        """Whether there are parts, so that the owner has to :meth:`finish`."""
        return bool(self._parts)

    def finish(self) -> None:
        """Fetch the rest of the file, with all others.

        For the owner: once it has met the first part, or its connection broke before. Afterwards the staging's
        position, and the digest, are at the end of the file, or where it failed.

        :raises MisfitError: The answers don't fit together.
        """
        position = self._staging.position
        first = Part(position, self.limit, position)
        with self._lock:
            self._parts.insert(0, first)
            self._frontier, self._met = position, True
        try:
            self._bring(first)
            while self._error is None and self._is_open():
                if not self._work():
                    self._pool.watch.pause(LOOK_SECONDS)
            if self._error is None:
                self._advance(None)
        except BaseException as error:
            self._fail(error)
        self._settle()
        if self._error is not None:
            raise self._error

    def _settle(self) -> None:
        """Let nobody write any more. Keep the bytes before the first gap."""
        with self._turn, self._change:
            if self._settled:
                return
            self._settled = True
            self._change.wait_for(lambda: not self._writing)
            if not self._parts:
                return
            frontier = self._frontier if self._met else self._staging.position
            beyond = sum(part.position - max(part.start, frontier) for part in self._parts[self._head :])
            self._buffer.settle(frontier)
        self._pool.watch.dropped(beyond)

    def _is_open(self) -> bool:
        with self._lock:
            return self._next < self._size or any(
                part.position < part.end for part in self._parts[self._head :]
            )

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                self._error = error

    def _check(self) -> None:
        self._pool.watch.check()
        if self._settled or self._error is not None:
            raise _FailedError

    def _probe(self) -> bool:
        """Ask for the first part. Only when the server grants it does the owner stop there.

        :return: Whether there are parts now.
        """
        with self._lock:
            if self._parts or self._probing or self._refused or self._settled:
                return bool(self._parts)
            self._probing = True
            start = self._reserved + self._part_bytes
        part = Part(start, min(start + self._part_bytes, self._size), start)
        try:
            self._bring(part, self._agree_on)
        except (MisfitError, httpx.TransportError, *_OVERLOADED) as error:
            if part not in self._parts:
                self._refused = True
            elif isinstance(error, _OVERLOADED):
                self._give_back(part, error)
            else:
                raise
        finally:
            self._probing = False
        return bool(self._parts)

    def _agree_on(self, part: Part) -> bool:
        """Make a part the first one, unless the owner is nearly there already, or is not reading any more."""
        with self._lock:
            if self._parts:
                return True
            if self._settled or self._reserved >= part.start:
                return False
            self._buffer.begin(self._staging.position)
            self.limit, self._next = part.start, part.end
            self._parts.append(part)
            self._probing = False
            return True

    def _work(self) -> bool:
        """Fetch parts while some can be taken on.

        :return: Whether there were any.
        """
        worked = False
        while (part := self._claim()) is not None:
            self._bring(part)
            worked = True
        return worked

    def _assist(self) -> None:
        """Fetch parts as a helper: one that gets no connection goes, and the file doesn't fail for it."""
        while (part := self._claim()) is not None:
            try:
                self._bring(part)
            except _OVERLOADED as error:
                self._give_back(part, error)
                return

    def _give_back(self, part: Part, error: PlanetError) -> None:
        """Leave a part to those who have a connection, and have nobody else ask for one."""
        log.info("%s: going on with fewer connections: %s", self._name, error)
        with self._lock:
            self._refused = True
            self._given_back.append(part)

    def _claim(self) -> Part | None:
        self._advance(_TURN)
        with self._lock:
            if not self._parts or self._settled or self._error is not None:
                return None
            if self._given_back:
                return self._given_back.pop()
            if self._next >= self._size:
                return self._split()
            if not self._has_room():
                return None
            part = Part(self._next, min(self._next + self._part_bytes, self._size), self._next)
            self._next = part.end
            self._parts.append(part)
            return part

    def _split(self) -> Part | None:
        """Take over half of the rest of the part with the longest rest."""
        left, index = self._longest()
        if left < _SPLIT_BYTES:
            return None
        part = self._parts[index]
        middle = part.end - left // 2
        rest = Part(middle, part.end, middle)
        part.end = middle
        self._parts.insert(index + 1, rest)
        return rest

    def _longest(self) -> tuple[int, int]:
        """Return the most bytes that a part has to come, and that part's index."""
        return max(
            (
                (part.end - part.position, index)
                for index, part in enumerate(self._parts[self._head :], self._head)
            ),
            default=(0, 0),
        )

    def _has_room(self) -> bool:
        if not self._bounded:
            return True
        frontier = self._frontier if self._met else self._staging.position
        return self._next + self._part_bytes - frontier <= self._pool.window()

    def _bring(self, part: Part, granted: Callable[[Part], bool] = lambda _: True) -> None:
        """Fetch a part to its end, through cuts."""
        tries = RetryState(f"{self._name}, part from {part.start}", self._retry_policy, part.start)
        while part.position < part.end:
            self._check()
            try:
                self._attempt(part, granted)
            except _DeclinedError:
                return
            except (httpx.TransportError, CutError) as cut:
                if part not in self._parts:
                    raise
                self._pool.watch.pause(tries.cut(cut, part.position))

    def _attempt(self, part: Part, granted: Callable[[Part], bool]) -> None:
        headers = {"Range": f"bytes={part.position}-{part.end - 1}"}
        if self._validator is not None:
            headers["If-Range"] = self._validator
        with self._location.open(headers) as response:
            self._check_answer(response, part)
            if not granted(part):
                raise _DeclinedError
            with self._pool.reading():
                for chunk in response.iter_raw():
                    if self._take(part, chunk):
                        return
        raise CutError("the body ended early")

    def _check_answer(self, response: httpx.Response, part: Part) -> None:
        piece = content_range(response.headers)
        if response.status_code != 206 or piece is None or piece.start != part.position:
            raise MisfitError(f"answer {response.status_code} to bytes from {part.position}")
        if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise MisfitError("the server compresses what was asked for as it is")
        if piece.total not in {None, self._size}:
            raise MisfitError(f"the file has {piece.total} bytes, not {self._size}")
        if self._validator is not None and strong_etag(response.headers) not in {None, self._validator}:
            raise MisfitError("the file's ETag changed")

    def _take(self, part: Part, chunk: bytes) -> bool:
        """Keep bytes of a part.

        :return: Whether it is whole. It may have been split since its bytes were asked for.
        """
        self._check()
        with self._lock:
            if self._settled:
                raise _FailedError
            chunk = chunk[: part.end - part.position]
            self._writing += 1
        try:
            self._buffer.put(part.position, chunk)
        except BaseException:
            chunk = b""
            raise
        finally:
            with self._change:
                self._writing -= 1
                part.position += len(chunk)
                self._change.notify_all()
        self._pool.watch.moved(len(chunk))
        with self._pool.writing() if self._bounded else nullcontext():
            self._advance(_TURN)
        return part.position >= part.end

    def _advance(self, turns: int | None) -> None:
        """Hash what has no gap before it, unless another thread is at it.

        :param turns: Pieces at most; ``None``: wait for the other thread, and hash all.
        """
        if not self._met or not self._turn.acquire(blocking=turns is None):
            return
        try:
            done = 0
            while turns is None or done < turns:
                chunk = self._buffer.take(self._frontier, self._available())
                if not chunk:
                    return
                self._hash.update(chunk)
                self._frontier += len(chunk)
                done += 1
        finally:
            self._turn.release()

    def _available(self) -> int:
        """Return the bytes behind the frontier that have no gap before them, within one part."""
        with self._lock:
            while self._head < len(self._parts) and self._parts[self._head].end <= self._frontier:
                self._head += 1
            if self._head == len(self._parts):
                return 0
            return self._parts[self._head].position - self._frontier


class _DeclinedError(Exception):
    """A part that was asked for is not wanted any more."""


class _FailedError(Exception):
    """Another thread has failed with this file."""
