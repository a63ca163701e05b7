"""Processes that take slots at the same time, and what they took."""

from __future__ import annotations

import multiprocessing
import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from planet_provider.client.ratelimit import RateLimiter

RATE_CLASS = "orders.create"
CREDENTIAL = "PLAK-not-a-real-key"

_RECORD = struct.Struct("<di")


class Grant(NamedTuple):
    """A slot that was reached.

    :param due: Monotonic seconds; without what the operating system woke the process late.
    :param caller: Who took it.
    """

    due: float
    caller: int


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, start: float = 1000.0) -> None:
        self.seconds = start

    def __call__(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def take(limiter: RateLimiter, rate_class: str = RATE_CLASS) -> float:
    """Wait for a slot and return when it was due."""
    due = None
    for seconds in limiter.waits(rate_class):
        due = time.monotonic() + seconds
        time.sleep(seconds)
    return time.monotonic() if due is None else due


def densest(times: Sequence[float], window: float = 0.95) -> int:
    """Return the most of them in any window; 0.95 s leaves a busy machine 50 ms between clock and sleep."""
    ordered = sorted(times)
    most = first = 0
    for last, at in enumerate(ordered):
        while at - ordered[first] >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


class Record:
    """Grants of all processes, in a file that they append to.

    :param path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def add(self, due: float, caller: int) -> None:
        """Note a grant. An append of a few bytes is atomic."""
        with self._path.open("ab", buffering=0) as file:
            file.write(_RECORD.pack(due, caller))

    def grants(self) -> list[Grant]:
        """Return all of them, oldest first."""
        data = self._path.read_bytes()
        return sorted(Grant(*fields) for fields in _RECORD.iter_unpack(data))


@contextmanager
def processes(count: int, work: Callable[[int], None]) -> Iterator[list[multiprocessing.Process]]:
    """Run forked processes; at the end of the block wait for them, and make sure that all went well."""
    context = multiprocessing.get_context("fork")
    running = [context.Process(target=work, args=(number,), daemon=True) for number in range(count)]
    for process in running:
        process.start()
    try:
        yield running  # type: ignore[misc]
        for process in running:
            process.join(60)
        exit_codes = [process.exitcode for process in running]
        assert exit_codes == [0] * count
    finally:
        for process in running:
            if process.is_alive():
                os.kill(process.pid or 0, 9)


def take_for(limiter: RateLimiter, seconds: float, record: Record, caller: int) -> None:
    """Take slots one after the other for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        record.add(take(limiter), caller)
