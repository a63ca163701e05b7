"""The threads of a transfer: who reads, who may help whom, and whether help would help."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError
from planet_provider.transfer.progress import TransferProgress

#: Connections at once. Stores give each a share, and 16 of them fill most lines.
DEFAULT_CONCURRENCY = 16

#: Bytes a second that a connection brings where no server slows it down, and more connections would only
#: get into each other's way. Stores that give each connection a share give 20 to 100 MB/s.
FAST = 150e6

#: As many bytes a second are surely a share.
SLOW = 50e6

#: Seconds between two looks of a thread that has nothing to do.
LOOK_SECONDS = 0.015

#: Seconds over which speed is measured.
_SPAN_SECONDS = 0.15
_LEAST_SPAN_SECONDS = 0.02

#: Share of the time for which connections are waited for, below which it is the store that is slow: more of them
#: would only fill the memory.
_LEAST_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """When and how one file is fetched by several connections at once.

    :param min_bytes: Bytes of a file, or of its rest, below which it comes through one connection.
    :param part_bytes: Bytes of a part at the least and at the most; between these a file has about eight
        parts for each connection. They are smaller where the window makes them so.
    :param window_bytes: Bytes that are held in memory at most, where the store takes a file only from its
        beginning to its end, as object stores do. For all files of a transfer together.
    """

    min_bytes: int = 8 << 20
    part_bytes: tuple[int, int] = (4 << 20, 32 << 20)
    window_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        for name, value in (
            ("min_bytes", self.min_bytes),
            *(("part_bytes", each) for each in self.part_bytes),
            ("window_bytes", self.window_bytes),
        ):
            checks.whole_number(value, f"ranges.{name}")
        if self.part_bytes[0] > self.part_bytes[1]:
            raise InvalidInputError("ranges.part_bytes", self.part_bytes, "must go from smaller to larger")


class Shared(Protocol):
    """A file that idle threads can help with."""

    def wants_help(self) -> int:
        """Return the bytes that nobody has taken on yet."""
        ...

    def help(self) -> None:
        """Fetch parts of it while there are any."""
        ...


class DownloadPool:
    """The threads of one transfer.

    :param watch: Counts the bytes, and stops.
    :param connections: Threads, each of which reads from one connection at a time.
    :param files: Files to come.
    :param ranges: When files are split.
    """

    def __init__(self, watch: TransferProgress, connections: int, files: int, ranges: Ranges) -> None:
        self.watch = watch
        self.connections = connections
        self.ranges = ranges
        self._lock = threading.Lock()
        self._files = files
        self._reading = 0
        self._times = _Times()
        self._shared: list[Shared] = []
        self._speed = _Speed(lambda: (watch.received, self._times.waited()))
        self._last_join = 0.0
        self._cores = os.cpu_count() or 1
        self._hashing: ThreadPoolExecutor | None = None

    def close(self) -> None:
        """End the threads that hash."""
        if self._hashing is not None:
            self._hashing.shutdown()

    def file_done(self) -> None:
        """Count a file that needs no more help."""
        with self._lock:
            self._files -= 1

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count a connection that is read in the block."""
        with self._lock:
            self._reading += 1
            self._times.count(1)
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1
                self._times.count(-1)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Don't count a connection that is read as slow for the length of the block, in which it is not read."""
        with self._lock:
            self._times.count(-1)
        try:
            yield
        finally:
            with self._lock:
                self._times.count(1)

    @contextmanager
    def sharing(self, file: Shared) -> Iterator[None]:
        """Let idle threads help with a file in the block."""
        with self._lock:
            self._shared.append(file)
            self._speed.restart()
        try:
            yield
        finally:
            with self._lock:
                self._shared.remove(file)

    def part_bytes(self, left: int, *, bounded: bool) -> int:
        """Return the size of a file's parts.

        :param left: Bytes to come.
        :param bounded: Whether what waits of them lies in memory.
        """
        least, most = self.ranges.part_bytes
        share = self.ranges.window_bytes // (2 * self.connections) if bounded else most
        return max(1, min(max(least, left // (8 * self.connections)), most, share))

    def window(self) -> int:
        """Return the bytes that one file's window may hold."""
        return self.ranges.window_bytes // max(1, len(self._shared))

    def help(self) -> None:
        """Help with whatever file needs it, until no file does."""
        while self._files > 0:
            file = self._needy()
            if file is None:
                self.watch.pause(LOOK_SECONDS)
            else:
                file.help()

    def has_idle_core(self) -> bool:
        """Whether another thread could hash what is read; else hashing it at once is cheaper."""
        return self._reading < self._cores

    def run(self, work: Callable[[], None]) -> None:
        """Run something in a thread for hashing."""
        with self._lock:
            if self._hashing is None:
                self._hashing = ThreadPoolExecutor(self._cores, thread_name_prefix="planet-hash")
        self._hashing.submit(work)

    def _needy(self) -> Shared | None:
        """Return the file that has most to come, if help is due now."""
        with self._lock:
            shared = tuple(self._shared) if self._shared and self._may_join() else ()
        wants = max(((file.wants_help(), index) for index, file in enumerate(shared)), default=(0, 0))
        if not wants[0]:
            return None
        self._last_join = time.monotonic()
        return shared[wants[1]]

    def _may_join(self) -> bool:
        each = self._speed.now()
        if each is None or self._reading >= self.connections:
            return False
        if each < SLOW:
            return True
        return each < FAST and time.monotonic() - self._last_join > _SPAN_SECONDS


class _Times:
    """How long connections were waited for: seconds, of all together."""

    def __init__(self) -> None:
        self._connections = 0
        self._seconds = 0.0
        self._since = time.monotonic()

    def count(self, more: int) -> None:
        """From now on there are more of them, or fewer."""
        self._seconds, self._since = self.waited(), time.monotonic()
        self._connections += more

    def waited(self) -> float:
        """Return the seconds so far."""
        return self._seconds + self._connections * (time.monotonic() - self._since)


class _Speed:
    """Bytes a second that a connection brings, over the last moments.

    :param count: Tells the bytes so far, and the seconds that connections were waited for.
    """

    def __init__(self, count: Callable[[], tuple[int, float]]) -> None:
        self._count = count
        self._looks: deque[tuple[float, int, float]] = deque()
        self.restart()

    def restart(self) -> None:
        """Forget what was before."""
        self._looks = deque([(time.monotonic(), *self._count())])

    def now(self) -> float | None:
        """Look, and return the speed; ``None`` where that can't be told, or is not what takes the time."""
        time_now, (count, waited) = time.monotonic(), self._count()
        if time_now - self._looks[-1][0] >= LOOK_SECONDS / 2:
            self._looks.append((time_now, count, waited))
        while len(self._looks) > 2 and time_now - self._looks[0][0] > _SPAN_SECONDS:
            self._looks.popleft()
        then, count_then, waited_then = self._looks[0]
        seconds = waited - waited_then
        if time_now - then < _LEAST_SPAN_SECONDS or seconds < _LEAST_SHARE * (time_now - then):
            return None
        return (count - count_then) / seconds
