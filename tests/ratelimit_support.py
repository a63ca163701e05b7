"""Processes that take slots at the same time, and what they took."""

from __future__ import annotations

import multiprocessing
import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from planet_provider.coordination.limiter import EARLY_SECONDS, RateLimiter
from planet_provider.coordination.store import RateStore, Reservation

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


class Watch:
    """The real clock; it knows what it said last, which is what a store reckoned with.

    So a slot is due when the store says, even where the process is stopped before it can look itself.
    """

    def __init__(self) -> None:
        self.said = time.monotonic()

    def __call__(self) -> float:
        self.said = time.monotonic()
        return self.said


def take(limiter: RateLimiter, rate_class: str = RATE_CLASS, watch: Watch | None = None) -> float:
    """Wait for a slot and return when it was due.

    :param watch: The clock of the limiter's store, where that is a folder.
    """
    due = None
    for seconds in limiter.waits(rate_class):
        due = (time.monotonic() if watch is None else watch.said) + seconds
        time.sleep(seconds)
    if due is None:
        due = time.monotonic() if watch is None else watch.said
    return due


class Slotted:
    """A store that knows its latest slot: where that lies on the line is no matter of who was stopped when.

    :param store: Gives the slots.
    """

    may_block = True

    def __init__(self, store: RateStore) -> None:
        self._store = store
        self.until, self.hold = store.until, store.hold
        self._latest: tuple[str, Reservation] | None = None

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        reservation = self._store.reserve(key, interval, max_wait)
        self._latest = key, reservation
        return reservation

    def reached(self) -> float:
        """Return the slot of a caller that was let through, which the line must have come to."""
        assert self._latest is not None
        left = self.until(*self._latest)
        assert left is not None and left <= EARLY_SECONDS, left  # noqa: PT018
        return self._latest[1].slot


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
            process.join(200)
        exit_codes = [process.exitcode for process in running]
        assert exit_codes == [0] * count
    finally:
        for process in running:
            if process.is_alive():
                os.kill(process.pid or 0, 9)


def start_at_once(open_store: Callable[[], RateStore], count: int, record: Record) -> None:
    """Have processes take two slots each from the same moment on, and assert that they lie evenly.

    :param open_store: Called in each process.
    :param record: An empty one.
    """
    rate = 95.0
    begun = multiprocessing.get_context("fork").Barrier(count)

    def work(number: int) -> None:
        store = Slotted(open_store())
        limits = RateLimiter(store, CREDENTIAL, {RATE_CLASS: rate}, 600.0)
        begun.wait(120)
        for _ in range(2):
            limits.acquire(RATE_CLASS)
            record.add(store.reached(), number)

    with processes(count, work):
        pass
    grants = record.grants()
    assert Counter(grant.caller for grant in grants) == dict.fromkeys(range(count), 2)
    assert all(later.due - sooner.due >= 1 / rate - 1e-6 for sooner, later in pairwise(grants))


def take_for(
    limiter: RateLimiter, seconds: float, record: Record, caller: int, watch: Watch | None = None
) -> None:
    """Take slots one after the other for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        record.add(take(limiter, watch=watch), caller)
