"""The rate limit of one account, for threads and event loops alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from planet_provider.coordination.interrupt import pause
from planet_provider.coordination.queue import FifoQueue, Ticket, queue_of
from planet_provider.coordination.store import RateStore
from planet_provider.exceptions import RateLimitQueueError

#: Seconds that a sleep may be cut short: less than a timer is worth.
EARLY_SECONDS = 0.001

#: Longest sleep before looking again, in seconds: a store that was away is noticed within this time. Less than
#: :data:`~planet_provider.coordination.queue.PASS_BY_SECONDS`.
LOOK_AGAIN_SECONDS = 10.0


def account_of(credential: str) -> str:
    """Name whom Planet counts requests and orders by, without telling the credential."""
    return hashlib.sha256(credential.encode()).hexdigest()[:16]


class RateLimiter:
    """Let requests through as fast as an account may send them.

    :param store: Where the state lives.
    :param credential: What Planet counts requests by. Only a hash of it is kept.
    :param rates: Requests per second by class.
    :param max_queue_seconds: Longest wait, in seconds.
    :param clock: Monotonic seconds, by which waits are bounded.
    """

    def __init__(
        self,
        store: RateStore,
        credential: str,
        rates: Mapping[str, float],
        max_queue_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._account = account_of(credential)
        self._rates = rates
        self._queues = {name: queue_of(store, self.key(name)) for name in rates}
        self._max_queue_seconds = max_queue_seconds
        self._clock = clock

    def acquire(self, rate_class: str, ready: Callable[[float], object] | None = None) -> None:
        """Wait until a request may be sent, unless an interrupt ends it.

        Callers of a process take slots one after the other, so that processes take turns.

        :param ready: Called before a slot is taken, with the seconds that are left: has what else the request
            needs. A slot that had to wait for that would pass unused.
        :raises RateLimitQueueError: Too many requests are waiting; raised as soon as that is clear.
        :raises CoordinationStoreError: The store can't be used, and there is no fallback.
        """
        queue, deadline = self._queues[rate_class], self._clock() + self._max_queue_seconds
        with Ticket(queue) as ticket:
            self._check_queue(queue, ticket, rate_class)
            while not ticket.wait(deadline - self._clock()):
                self._check_deadline(queue, rate_class, deadline)
            if ready is not None:
                ready(deadline - self._clock())
            for seconds in self.waits(rate_class, deadline - self._clock()):
                ticket.stay()
                pause(seconds)

    async def aacquire(
        self, rate_class: str, ready: Callable[[float], Awaitable[object]] | None = None
    ) -> None:
        """Do what :meth:`acquire` does, without blocking the event loop."""
        queue, deadline = self._queues[rate_class], self._clock() + self._max_queue_seconds
        with Ticket(queue) as ticket:
            self._check_queue(queue, ticket, rate_class)
            while not await ticket.await_(deadline - self._clock()):
                self._check_deadline(queue, rate_class, deadline)
            if ready is not None:
                await ready(deadline - self._clock())
            async for seconds in self.awaits(rate_class, deadline - self._clock()):
                ticket.stay()
                await asyncio.sleep(seconds)

    def waits(self, rate_class: str, max_wait: float | None = None) -> Iterator[float]:
        """Take a slot, past the queue, and yield the seconds to sleep until the request may be sent.

        After each sleep it looks again: a pause may have moved the slot, or a store lost it.

        :param max_wait: Longest wait in seconds, all sleeps together, where not ``max_queue_seconds``.
        :raises RateLimitQueueError: The slot is too far away.
        :raises CoordinationStoreError: The store can't be used, and there is no fallback.
        """
        key = self.key(rate_class)
        interval = 1.0 / self._rates[rate_class]
        left = self._max_queue_seconds if max_wait is None else max_wait
        deadline = self._clock() + left
        while True:
            left = max(EARLY_SECONDS, left)
            reservation = self.store.reserve(key, interval, left)
            wait: float | None = reservation.wait_seconds
            while wait is not None:
                if wait <= EARLY_SECONDS:
                    return
                if wait > left:
                    raise self._queue_error(rate_class, wait)
                yield min(wait, LOOK_AGAIN_SECONDS)
                wait = self.store.until(key, reservation)
                left = deadline - self._clock() + EARLY_SECONDS

    async def awaits(self, rate_class: str, max_wait: float | None = None) -> AsyncIterator[float]:
        """Yield what :meth:`waits` yields, without blocking the event loop."""
        waits = self.waits(rate_class, max_wait)
        while (seconds := await self._in_background(partial(next, waits, None))) is not None:
            yield seconds

    def pause(self, rate_class: str, seconds: float | None, age: float) -> None:
        """Hold a class of requests back for everybody, because Planet answered 429.

        :param seconds: What Retry-After said, if it said anything.
        :param age: Seconds since the refused request was sent.
        """
        self.store.hold(self.key(rate_class), seconds, age)

    async def apause(self, rate_class: str, seconds: float | None, age: float) -> None:
        """Do what :meth:`pause` does, without blocking the event loop."""
        await self._in_background(partial(self.pause, rate_class, seconds, age))

    def key(self, rate_class: str) -> str:
        """Return what the store calls a class of this account's requests."""
        return f"{self._account}:{rate_class}"

    def _check_queue(self, queue: FifoQueue, ticket: Ticket, rate_class: str) -> None:
        """Refuse at once what would wait too long, by how many are ahead and how fast they go."""
        if not ticket.ahead:
            return
        wait = ticket.ahead * max(queue.pace(), 1.0 / self._rates[rate_class])
        if wait > self._max_queue_seconds:
            raise self._queue_error(rate_class, wait)

    def _check_deadline(self, queue: FifoQueue, rate_class: str, deadline: float) -> None:
        if self._clock() >= deadline:
            raise self._queue_error(rate_class, max(queue.pace(), 1.0 / self._rates[rate_class]))

    def _queue_error(self, rate_class: str, wait: float) -> RateLimitQueueError:
        return RateLimitQueueError(
            f"The next slot for {rate_class} requests is {wait:.0f} s away, and max_queue_seconds is "
            f"{self._max_queue_seconds:g}, for all that a request waits: too many are waiting, or Planet asked "
            "for a pause. "
            "Run fewer tasks at once, or let this one be retried later.",
            rate_class=rate_class,
            wait_seconds=wait,
        )

    async def _in_background(self, look: partial[float | None] | partial[None]) -> float | None:
        if not self.store.may_block:
            return look()
        return await asyncio.get_running_loop().run_in_executor(_threads(), look)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Return threads of our own: a store that hangs must not hold up what else runs in the default ones."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="planet-rate-limit")


os.register_at_fork(after_in_child=_threads.cache_clear)
