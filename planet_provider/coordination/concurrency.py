"""How many requests of an account are under way in a process at once, until their bodies are read.

A request takes its permit *before* its slot of the rate limit. Otherwise many would have slots and wait for a
connection, and all of them would be sent in the moment that connections get free. Only the first of each class's
line waits here, so a class that stands still holds one permit at most.
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

#: Seconds between two looks whether an event loop has left permits behind.
_LOOK_SECONDS = 1.0

#: Seconds after which it is worth trying again: when one of so many requests ends can't be known.
_TRY_AGAIN_SECONDS = 60.0


class Permit:
    """Leave to have one request under way. As a context manager it is given back behind the block.

    It is given back at the latest when nobody holds the object any more.

    :param gate: Gives it.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.called: Future[None] | None = None

    def __enter__(self) -> Permit:
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
        called = self._gate.enter(self)
        if called is None:
            return
        deadline = time.monotonic() + seconds
        while not wait_for(called, min(_LOOK_SECONDS, deadline - time.monotonic())):
            self._look(called, deadline, rate_class)

    async def atake(self, seconds: float, rate_class: str | None) -> None:
        """Do what :meth:`take` does, without blocking the event loop."""
        self.loop = asyncio.get_running_loop()
        called = self._gate.enter(self)
        if called is None:
            return
        deadline, waiting = time.monotonic() + seconds, asyncio.wrap_future(called)
        while not waiting.done():
            await asyncio.wait([waiting], timeout=max(0.0, min(_LOOK_SECONDS, deadline - time.monotonic())))
            self._look(called, deadline, rate_class)

    def release(self) -> None:
        """Give it back, or wait no more. More than once does no harm."""
        if self.thread is not None:
            self._gate.leave(self)
            self.thread = None

    def _look(self, called: Future[None], deadline: float, rate_class: str | None) -> None:
        self._gate.look()
        if time.monotonic() >= deadline and not called.done():
            self.release()
            raise RateLimitQueueError(
                f"max_connections is {self._gate.limit}, and as many requests of this process were under way "
                f"while one for {rate_class or 'storage'} waited for max_queue_seconds. Run fewer at once, raise "
                "max_connections, or let this one be retried later.",
                rate_class=rate_class or "storage",
                wait_seconds=_TRY_AGAIN_SECONDS,
            )


class Gate:
    """Gives out so many permits at once, first come, first served, to threads and event loops alike.

    :param limit: How many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.after_fork()

    def after_fork(self) -> None:
        """Begin anew: the requests of the parent process are not here."""
        # A signal handler may interrupt a thread that holds it, and so may the garbage collector.
        self._lock = threading.RLock()
        self.inside: dict[int, tuple[threading.Thread | None, asyncio.AbstractEventLoop | None]] = {}
        self.waiting: deque[Permit] = deque()

    def enter(self, permit: Permit) -> Future[None] | None:
        """Let a permit in, or have it wait.

        :return: Done when it is in; ``None`` if it is.
        """
        permit.thread = threading.current_thread()
        with self._lock:
            if (len(self.inside) >= self.limit or self.waiting) and not self._waits_for_itself(permit):
                permit.called = Future()
                self.waiting.append(permit)
                return permit.called
            self.inside[id(permit)] = permit.thread, permit.loop
            return None

    def leave(self, permit: Permit) -> None:
        """Let the next one in."""
        with self._lock:
            self.inside.pop(id(permit), None)
            if self.waiting:
                if permit.called is not None and permit in self.waiting:
                    self.waiting.remove(permit)
                self._admit()

    def look(self) -> None:
        """Take back what event loops have left behind that were closed while they sent something."""
        with self._lock:
            for key, (_, loop) in list(self.inside.items()):
                if loop is not None and loop.is_closed():
                    self.inside.pop(key, None)
            self._admit()

    def _waits_for_itself(self, permit: Permit) -> bool:
        """Whether a thread that blocks would keep from ending what it has begun: a signal handler, for one."""
        return permit.loop is None and any(thread is permit.thread for thread, _ in self.inside.values())

    def _admit(self) -> None:
        while self.waiting and len(self.inside) < self.limit:
            permit = self.waiting.popleft()
            if permit.called is not None and not (permit.loop is not None and permit.loop.is_closed()):
                self.inside[id(permit)] = permit.thread, permit.loop
                permit.called.set_result(None)


_gates: weakref.WeakValueDictionary[tuple[str, int], Gate] = weakref.WeakValueDictionary()
_gates_lock = threading.RLock()


def gate_of(account: str, limit: int) -> Gate:
    """Return the process's gate of an account.

    :param account: A name that tells no credential.
    :param limit: How many requests may be under way. Connections that say otherwise have a gate of their own.
    """
    with _gates_lock:
        gate = _gates.get((account, limit))
        if gate is None:
            gate = _gates[account, limit] = Gate(limit)
        return gate


def _after_fork() -> None:
    global _gates_lock  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _gates_lock = threading.RLock()
    for gate in list(_gates.values()):
        gate.after_fork()


os.register_at_fork(after_in_child=_after_fork)
