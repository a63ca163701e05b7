"""How far a transfer is, counted by its threads and told by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from planet_provider.wording import counted, file_size


class InfoLogger(Protocol):
    """What a log must be able to do: the standard library's loggers and Airflow's task logs both are one."""

    def info(self, event: Any, *args: Any) -> Any:
        """Log a line."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a transfer is.

    :param files_done: Files that are in place, those that were there before among them.
    :param files_total: Files to be in place at the end.
    :param bytes_done: Bytes that are here.
    :param bytes_total: Bytes to be here at the end, as far as Planet gives sizes.
    :param seconds: Since the start.
    :param bytes_reused: Those of ``bytes_done`` that were here before.
    """

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    seconds: float
    bytes_reused: int = 0

    @property
    def bytes_per_second(self) -> float:
        """Bytes fetched per second, on average since the start."""
        return max(0, self.bytes_done - self.bytes_reused) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimate from the average speed; ``None`` before anything came."""
        speed = self.bytes_per_second
        return max(0, self.bytes_total - self.bytes_done) / speed if speed else None

    def __str__(self) -> str:
        files = f"{self.files_done} of {counted(self.files_total, 'file')}"
        amount = f"{file_size(self.bytes_done)} of {file_size(self.bytes_total)}"
        speed = f"{file_size(self.bytes_per_second)}/s"
        if self.files_done >= self.files_total:
            return f"{files}, {amount}, {speed}, in {_duration(self.seconds)}"
        left = "" if self.seconds_left is None else f", {_duration(self.seconds_left)} left"
        return f"{files}, {amount}, {speed}{left}"


ProgressCallback = Callable[[Progress], None]


class TransferStoppedError(Exception):
    """Raised inside of a transfer's threads once one of them has failed. It never reaches the caller."""


class TransferProgress:
    """Counts what a transfer's threads do, and stops them all once one has failed. Thread-safe.

    :param files_total: Files to be in place at the end.
    :param bytes_total: Their bytes, as far as they are known.
    """

    def __init__(self, files_total: int = 0, bytes_total: int = 0) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._start = time.monotonic()
        self._files_total = files_total
        self._bytes_total = bytes_total
        self._files_done = self._bytes_done = self._bytes_reused = 0
        #: Bytes that came over the network, those thrown away since among them.
        self.received = 0

    def moved(self, count: int, *, reused: bool = False) -> None:
        """Count bytes that came.

        :param reused: They were here before.
        :raises TransferStoppedError: Another thread has failed.
        """
        self.check()
        self._count(count, reused=reused)

    def dropped(self, count: int) -> None:
        """Count bytes that were thrown away."""
        self._count(-count, reused=False)

    def _count(self, count: int, *, reused: bool) -> None:
        with self._lock:
            self._bytes_done += count
            if not reused:
                self.received += max(0, count)
            if reused:
                self._bytes_reused += count
            # After a fresh start of a file that was resumed, some reused bytes are reused no more.
            self._bytes_reused = max(0, min(self._bytes_reused, self._bytes_done))

    def file_done(self) -> None:
        """Count a file that is in place."""
        with self._lock:
            self._files_done += 1

    def stop(self) -> None:
        """Have every thread stop at its next step."""
        self._stop.set()

    def check(self) -> None:
        """Return if the transfer goes on.

        :raises TransferStoppedError: Another thread has failed.
        """
        if self._stop.is_set():
            raise TransferStoppedError

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond a stop.

        :raises TransferStoppedError: Another thread has failed.
        """
        self._stop.wait(seconds)
        self.check()

    def progress(self) -> Progress:
        """Return how far the transfer is."""
        with self._lock:
            return Progress(
                self._files_done,
                self._files_total,
                self._bytes_done,
                self._bytes_total,
                time.monotonic() - self._start,
                self._bytes_reused,
            )


def log_progress(logger: InfoLogger, interval: float = 10.0) -> ProgressCallback:
    """Return a progress callback that logs.

    A line is such as "3 of 8 files, 12.4 MB of 80.1 MB, 5.2 MB/s, 13 s left".

    :param logger: Where to; at INFO.
    :param interval: Seconds between two lines, at least; the last line, with everything done, always comes.
    """
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if progress.files_done >= progress.files_total or now - last >= interval:
            last = now
            logger.info("%s", progress)

    return tell


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
