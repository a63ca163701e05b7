"""A first-in, first-out queue of a process's callers: threads and tasks of event loops alike.

Only the first caller of the queue holds a slot. So a process with a hundred callers doesn't take a hundred
slots ahead of a process that comes a moment later: processes take turns.
The queue makes this fair. The store alone keeps the limit, even if the queue fails.
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

#: Seconds without a sign of the first ticket after which it is passed by: its thread or event loop may have
#: stopped for good.
PASS_BY_SECONDS = 15.0

#: Turns whose median is the pace of the queue: one long turn, because of a pause, shall not count.
_TURNS = 5


class FifoQueue:
    """One process's callers of one class of requests."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Empty the queue: after a fork the callers of the parent are not here."""
        # A signal handler may send a request too, and stands behind the thread that it interrupted.
        self._lock = threading.RLock()
        self.tickets: deque[Ticket] = deque()
        self._turns: deque[float] = deque(maxlen=_TURNS)
        self._moved = self._seen = time.monotonic()

    def pace(self) -> float:
        """Return the seconds that a turn takes, by the latest ones."""
        with self._lock:
            return statistics.median(self._turns) if self._turns else 0.0

    def join(self, ticket: Ticket) -> int:
        """Stand at the end.

        :return: How many are ahead.
        """
        with self._lock:
            ahead = len(self.tickets)
            if ahead:
                ticket.called = Future()
            self.tickets.append(ticket)
            if not ahead:
                self._call()
        return ahead

    def leave(self, ticket: Ticket) -> None:
        """Go; the next one is called where this was the first."""
        with self._lock:
            if self.tickets and self.tickets[0] is ticket:
                self.tickets.popleft()
                self._turns.append(time.monotonic() - self._moved)
                self._call()
            else:
                with suppress(ValueError):  # it was passed by
                    self.tickets.remove(ticket)

    def stay(self, ticket: Ticket) -> None:
        """Note that the first one is still about."""
        with self._lock:
            if self.tickets and self.tickets[0] is ticket:
                self._seen = time.monotonic()

    def pass_by(self) -> None:
        """Go on without the first one, if nothing was heard of it for too long."""
        with self._lock:
            if self.tickets and time.monotonic() - self._seen >= PASS_BY_SECONDS:
                self.tickets.popleft()
                self._call()

    def _call(self) -> None:
        self._moved = self._seen = time.monotonic()
        if self.tickets and (called := self.tickets[0].called) is not None:
            called.set_result(None)


class Ticket:
    """A caller's ticket in a queue; use it as a context manager.

    :param queue: The queue to join.
    """

    #: Done when those ahead have gone; ``None`` where nobody was.
    called: Future[None] | None = None
    ahead = 0

    def __init__(self, queue: FifoQueue) -> None:
        self._queue = queue

    def __enter__(self) -> Ticket:
        self.ahead = self._queue.join(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.leave(self)

    def stay(self) -> None:
        """Tell those behind that this caller, if it is the first, has not stopped for good."""
        self._queue.stay(self)

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
            self._queue.pass_by()
        return self.called.done()


_queues: weakref.WeakKeyDictionary[RateStore, defaultdict[str, FifoQueue]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()


def queue_of(store: RateStore, key: str) -> FifoQueue:
    """Return the queue of a process for a class of requests.

    :param store: Where the slots come from.
    :param key: Account and class of request.
    """
    with _lock:
        return _queues.setdefault(store, defaultdict(FifoQueue))[key]


def _after_fork() -> None:
    """Start over: a thread of the parent's may have held a lock."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()
    for queues in _queues.values():
        for each in queues.values():
            each.begin()


os.register_at_fork(after_in_child=_after_fork)
