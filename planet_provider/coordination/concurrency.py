"""How many requests of an account are under way in a process at once, until their bodies are read.

A request takes its lease *before* its slot of the rate limit. Otherwise many would have slots and wait for a
connection, and all of them would be sent at the moment when connections become free. Only the first request of
each class's queue waits here, so a class that stands still holds at most one lease.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future
from types import TracebackType

from planet_provider.coordination.interrupt import wait_for
from planet_provider.exceptions import RateLimitQueueError

#: Seconds between two looks whether an event loop has left leases behind.
_LOOK_SECONDS = 1.0

#: Seconds after which it is worth trying again: when one of so many requests ends can't be known.
_TRY_AGAIN_SECONDS = 60.0


class ConnectionLease:
    """Permission to have one request under way. As a context manager it is given back after the block.

    It is given back at the latest when nobody holds the object any more.

    :param limiter: Gives it.
    """

    def __init__(self, limiter: ConnectionLimiter) -> None:
        self._limiter = limiter
        self.thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.called: Future[None] | None = None

    def __enter__(self) -> ConnectionLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    def take(self, seconds: float, rate_class: str | None) -> None:
        """Wait for it, unless an interrupt ends it.

        :param seconds: Longest wait.
        :param rate_class: What for; ``None`` for storage.
        :raises RateLimitQueueError: As many requests as may be were under way all the time.
        """
        called = self._limiter.enter(self)
        if called is None:
            return
        deadline = time.monotonic() + seconds
        while not wait_for(called, min(_LOOK_SECONDS, deadline - time.monotonic())):
            self._look(called, deadline, rate_class)

    async def atake(self, seconds: float, rate_class: str | None) -> None:
        """Do what :meth:`take` does, without blocking the event loop."""
        self.loop = asyncio.get_running_loop()
        called = self._limiter.enter(self)
        if called is None:
            return
        deadline, waiting = time.monotonic() + seconds, asyncio.wrap_future(called)
        while not waiting.done():
            await asyncio.wait([waiting], timeout=max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic())))
            self._look(called, deadline, rate_class)

    def release(self) -> None:
        """Give it back, or wait no more. More than once does no harm."""
        if self.thread is not None:
            self._limiter.leave(self)
            self.thread = None

    def _look(self, called: Future[None], deadline: float, rate_class: str | None) -> None:
        self._limiter.look()
        if time.monotonic() >= deadline and not called.done():
            self.release()
            raise RateLimitQueueError(
                f"max_connections is {self._limiter.limit}, and as many requests of this process were under way "
                f"while one for {rate_class or 'storage'} waited for max_queue_seconds. Run fewer at once, raise "
                "max_connections, or let this one be retried later.",
                rate_class=rate_class or "storage",
                wait_seconds=_TRY_AGAIN_SECONDS,
            )


class ConnectionLimiter:
    """Gives out a number of leases at once, first come, first served, to threads and event loops alike.

    :param limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.after_fork()

    def after_fork(self) -> None:
        """Start over: the requests of the parent process are not here."""
        # A signal handler may interrupt a thread that holds it, and so may the garbage collector.
        self._lock = threading.RLock()
        self.inside: dict[int, tuple[threading.Thread | None, asyncio.AbstractEventLoop | None]] = {}
        self.waiting: deque[ConnectionLease] = deque()

    def enter(self, lease: ConnectionLease) -> Future[None] | None:
        """Admit a lease, or let it wait.

        :return: Done when it is in; ``None`` if it is.
        """
        lease.thread = threading.current_thread()
        with self._lock:
            if (len(self.inside) >= self.limit or self.waiting) and not self._waits_for_itself(lease):
                lease.called = Future()
                self.waiting.append(lease)
                return lease.called
            self.inside[id(lease)] = lease.thread, lease.loop
            return None

    def leave(self, lease: ConnectionLease) -> None:
        """Let the next one in."""
        with self._lock:
            self.inside.pop(id(lease), None)
            if self.waiting:
                if lease.called is not None and lease in self.waiting:
                    self.waiting.remove(lease)
                self._admit()

    def look(self) -> None:
        """Take back what event loops have left behind that were closed while they sent something."""
        with self._lock:
            for key, (_, loop) in list(self.inside.items()):
                if loop is not None and loop.is_closed():
                    self.inside.pop(key, None)
            self._admit()

    def _waits_for_itself(self, lease: ConnectionLease) -> bool:
        """Whether a thread that blocks would keep from ending what it has begun: a signal handler, for one."""
        return lease.loop is None and any(thread is lease.thread for thread, _ in self.inside.values())

    def _admit(self) -> None:
        while self.waiting and len(self.inside) < self.limit:
            lease = self.waiting.popleft()
            if lease.called is not None and not (lease.loop is not None and lease.loop.is_closed()):
                self.inside[id(lease)] = lease.thread, lease.loop
                lease.called.set_result(None)


_limiters: weakref.WeakValueDictionary[tuple[str, int], ConnectionLimiter] = weakref.WeakValueDictionary()
_limiters_lock = threading.RLock()


def connection_limiter(account: str, limit: int) -> ConnectionLimiter:
    """Return the process's limiter of an account.

    :param account: A name that tells no credential.
    :param limit: How many requests may be under way. Connections with another value have a limiter of their own.
    """
    with _limiters_lock:
        limiter = _limiters.get((account, limit))
        if limiter is None:
            limiter = _limiters[account, limit] = ConnectionLimiter(limit)
        return limiter


def _after_fork() -> None:
    global _limiters_lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _limiters_lock = threading.RLock()
    for limiter in list(_limiters.values()):
        limiter.after_fork()


os.register_at_fork(after_in_child=_after_fork)
