"""``memory://``: the state of the rate limits in this process."""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from planet_provider.coordination.slots import Slots
from planet_provider.coordination.store import Reservation


class MemoryStore:
    """Slots for all threads and event loops of one process.

    :param clock: Monotonic seconds.
    """

    may_block = False

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._epoch = secrets.token_hex(8)
        self._slots: defaultdict[str, Slots] = defaultdict(Slots)
        self._looked: dict[str, float] = {}
        self._lock = threading.RLock()  # a signal handler may interrupt a thread that holds it
        _stores.add(self)

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        """Take the next free slot."""
        with self._now(key) as slots:
            slot, wait = slots.reserve(interval, max_wait)
        return Reservation(wait, slot, self._epoch)

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is."""
        if reservation.epoch != self._epoch:
            return None
        with self._now(key) as slots:
            return slots.until(reservation.slot)

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down."""
        with self._now(key) as slots:
            slots.hold(seconds, age)

    @contextmanager
    def _now(self, key: str) -> Iterator[Slots]:
        with self._lock:
            now = self._clock()
            slots = self._slots[key]
            slots.advance(max(0.0, now - self._looked.get(key, now)))
            self._looked[key] = now
            yield slots

    def unlock(self) -> None:
        """Start with a lock of its own after a fork: a thread that held the old one is not there any more."""
        self._lock = threading.RLock()


_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


def _after_fork() -> None:
    for store in _stores:
        store.unlock()


os.register_at_fork(after_in_child=_after_fork)
