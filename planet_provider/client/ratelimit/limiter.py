"""The rate limit of one account, for sync and async callers alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from planet_provider.client.ratelimit.store import RateStore
from planet_provider.exceptions import RateLimitQueueError

#: Seconds that a sleep may be cut short: less than a timer is worth.
EARLY_SECONDS = 0.001

#: Longest sleep before looking again, in seconds: a store that was away is noticed within this time.
LOOK_AGAIN_SECONDS = 10.0


def account_of(credential: str) -> str:
    """Name whom Planet counts requests and orders by, without telling the credential."""
    return hashlib.sha256(credential.encode()).hexdigest()[:16]


class RateLimiter:
    """Tell callers how long to wait. It never sleeps itself, so it serves threads and event loops.

    :param store: Where the state lives.
    :param credential: What Planet counts requests by. Only a hash of it is kept.
    :param rates: Requests per second by class.
    :param max_queue_seconds: Longest wait, in seconds.
    """

    def __init__(
        self, store: RateStore, credential: str, rates: Mapping[str, float], max_queue_seconds: float
    ) -> None:
        self._store = store
        self._account = account_of(credential)
        self._rates = rates
        self._max_queue_seconds = max_queue_seconds

    def waits(self, rate_class: str) -> Iterator[float]:
        """Yield the seconds to sleep, one after the other, until the request may be sent.

        After each sleep it looks again: a pause may have moved the slot, or a store lost it.

        :raises RateLimitQueueError: The slot is too far away.
        :raises RateLimitStoreError: The store can't be used, and there is no fallback.
        """
        key = self._key(rate_class)
        interval = 1.0 / self._rates[rate_class]
        while True:
            reservation = self._store.reserve(key, interval, self._max_queue_seconds)
            wait: float | None = reservation.wait_seconds
            while wait is not None:
                if wait <= EARLY_SECONDS:
                    return
                self._check_queue(rate_class, wait)
                yield min(wait, LOOK_AGAIN_SECONDS)
                wait = self._store.until(key, reservation)

    async def awaits(self, rate_class: str) -> AsyncIterator[float]:
        """Yield what :meth:`waits` yields, without blocking the event loop."""
        waits = self.waits(rate_class)
        while (seconds := await self._in_background(partial(next, waits, None))) is not None:
            yield seconds

    def pause(self, rate_class: str, seconds: float | None, age: float) -> None:
        """Hold a class of requests back for everybody, because Planet answered 429.

        :param seconds: What Retry-After said, if it said anything.
        :param age: Seconds since the refused request was sent.
        """
        self._store.hold(self._key(rate_class), seconds, age)

    async def apause(self, rate_class: str, seconds: float | None, age: float) -> None:
        """Do what :meth:`pause` does, without blocking the event loop."""
        await self._in_background(partial(self.pause, rate_class, seconds, age))

    def _key(self, rate_class: str) -> str:
        return f"{self._account}:{rate_class}"

    def _check_queue(self, rate_class: str, wait: float) -> None:
        if wait > self._max_queue_seconds:
            raise RateLimitQueueError(
                f"The next slot for {rate_class} requests is {wait:.0f} s away, and max_queue_seconds is "
                f"{self._max_queue_seconds:g}: too many requests are waiting, or Planet asked for a pause. "
                "Run fewer tasks at once, or let this one be retried later.",
                rate_class=rate_class,
                wait_seconds=wait,
            )

    async def _in_background(self, look: partial[float | None] | partial[None]) -> float | None:
        if not self._store.may_block:
            return look()
        return await asyncio.get_running_loop().run_in_executor(_threads(), look)


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    """Return threads of our own: a store that hangs must not hold up what else runs in the default ones."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="planet-rate-limit")


os.register_at_fork(after_in_child=_threads.cache_clear)
