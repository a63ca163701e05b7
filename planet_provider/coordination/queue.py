"""Who is next in a process: threads and tasks of event loops in one line.

Only the first of the line holds a slot. So a process with a hundred callers doesn't take a hundred slots ahead of
one that comes a moment later: processes take turns, and within each it is first come, first served.
The line is a courtesy. What keeps the limit is the store, whatever becomes of the line.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import threading
import time
import weakref
from collections import defaultdict, deque
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType

from planet_provider.coordination.interrupt import wait_for
from planet_provider.coordination.store import RateStore

#: Seconds without a sign of the first of a line after which it is passed by: its thread or event loop may have
#: stopped for good.
PASS_BY_SECONDS = 15.0

#: Turns whose median is the pace of the line: one long turn, because of a pause, shall not count.
_TURNS = 5


class Line:
    """One process's callers of one class of requests."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Have nobody in the line: after a fork the callers of the parent are not here."""
        # A signal handler may send a request too, and stands behind the thread that it interrupted.
        self._lock = threading.RLock()
        self.places: deque[Place] = deque()
        self._turns: deque[float] = deque(maxlen=_TURNS)
        self._moved = self._seen = time.monotonic()

    def pace(self) -> float:
        """Return the seconds that a turn takes, by the latest ones."""
        with self._lock:
            return statistics.median(self._turns) if self._turns else 0.0

    def join(self, place: Place) -> int:
        """Stand at the end.

        :return: How many are ahead.
        """
        with self._lock:
            ahead = len(self.places)
            if ahead:
                place.called = Future()
            self.places.append(place)
            if not ahead:
                self._call()
        return ahead

    def leave(self, place: Place) -> None:
        """Go; the next one is called where this was the first."""
        with self._lock:
            if self.places and self.places[0] is place:
                self.places.popleft()
                self._turns.append(time.monotonic() - self._moved)
                self._call()
            else:
                with suppress(ValueError):  # it was passed by
                    self.places.remove(place)

    def stay(self, place: Place) -> None:
        """Note that the first one is still about."""
        with self._lock:
            if self.places and self.places[0] is place:
                self._seen = time.monotonic()

    def pass_by(self) -> None:
        """Go on without the first one, if nothing was heard of it for too long."""
        with self._lock:
            if self.places and time.monotonic() - self._seen >= PASS_BY_SECONDS:
                self.places.popleft()
                self._call()

    def _call(self) -> None:
        self._moved = self._seen = time.monotonic()
        if self.places and (called := self.places[0].called) is not None:
            called.set_result(None)


class Place:
    """A caller's place in a line; use it as a context manager.

    :param line: The line to join.
    """

    #: Done when those ahead have gone; ``None`` where nobody was.
    called: Future[None] | None = None
    ahead = 0

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> Place:
        self.ahead = self._line.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.leave(self)

    def stay(self) -> None:
        """Tell those behind that this caller, if it is the first, has not stopped for good."""
        self._line.stay(self)

    def wait(self, seconds: float) -> bool:
        """Wait to be called, for some seconds at most, unless an interrupt ends it.

        :return: Whether it was.
        """
        if self.called is not None:
            wait_for(self.called, min(seconds, PASS_BY_SECONDS))
        return self._was_called()

    async def await_(self, seconds: float) -> bool:
        """Do what :meth:`wait` does, without blocking the event loop."""
        if self.called is not None and not self.called.done():
            await asyncio.wait([asyncio.wrap_future(self.called)], timeout=min(seconds, PASS_BY_SECONDS))
        return self._was_called()

    def _was_called(self) -> bool:
        if self.called is None:
            return True
        if not self.called.done():
            self._line.pass_by()
        return self.called.done()


_lines: weakref.WeakKeyDictionary[RateStore, defaultdict[str, Line]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def line(store: RateStore, key: str) -> Line:
    """Return the line of a process for a class of requests.

    :param store: Where the slots come from.
    :param key: Account and class of request.
    """
    with _lock:
        return _lines.setdefault(store, defaultdict(Line))[key]


def _after_fork() -> None:
    """Begin anew: a thread of the parent's may have held a lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    for lines in _lines.values():
        for each in lines.values():
            each.begin()


os.register_at_fork(after_in_child=_after_fork)
