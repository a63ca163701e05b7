"""What happens while a store can't be used: a small share of the rate, in a store that is nearer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from planet_provider.coordination.store import RateStore, Reservation
from planet_provider.exceptions import CoordinationStoreError

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds between two tries of a store that failed.
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class _Hold:
    """What a 429 asked for while the store was away, at a time of the clock."""

    at: float
    seconds: float | None
    age: float

    @property
    def end(self) -> float:
        return self.at + (self.seconds or 0.0)


class FallbackStore:
    """Use a store, and another one at a share of the rate while the first can't be used.

    Slots of the one are void in the other, so callers that wait meanwhile queue again. What
    Planet asked for meanwhile is told to the store when it is back, before anything is asked of it.

    :param primary: The store.
    :param local: The store to use meanwhile.
    :param share: Share of the rate to use meanwhile, above 0 and up to 1.
    :param of: Share of the configured rates that the store itself gives out: less than 1 where it stands in for
        another one.
    :param name: How to call the store in the log.
    :param users: Who has the share meanwhile, for the log.
    :param clock: Monotonic seconds.
    """

    may_block = True

    def __init__(
        self,
        primary: RateStore,
        local: RateStore,
        share: float,
        *,
        of: float = 1.0,
        name: str = "The store of the rate limit",
        users: str = "from here",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._local = local
        self._share = share
        self._of = of
        self._name = name
        self._users = users
        self._clock = clock
        self._retry_at: float | None = None
        self._untold: dict[str, _Hold] = {}

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        """Take the next free slot."""
        return self._either(
            lambda: self._primary.reserve(key, interval, max_wait),
            lambda: self._local.reserve(key, interval / self._share, max_wait),
        )

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is."""
        return self._either(
            lambda: self._primary.until(key, reservation), lambda: self._local.until(key, reservation)
        )

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down."""
        self._either(
            lambda: self._primary.hold(key, seconds, age), lambda: self._hold_local(key, seconds, age)
        )

    def _hold_local(self, key: str, seconds: float | None, age: float) -> None:
        hold, earlier = _Hold(self._clock(), seconds, age), self._untold.get(key)
        if earlier is None or hold.end >= earlier.end:
            self._untold[key] = hold
        self._local.hold(key, seconds, age)

    def _tell(self) -> None:
        for key, hold in list(self._untold.items()):
            passed = self._clock() - hold.at
            left = None if hold.seconds is None else max(0.0, hold.seconds - passed)
            self._primary.hold(key, left, hold.age + passed)
            self._untold.pop(key, None)  # another thread may have told it

    def _either(self, ask: Callable[[], T], ask_local: Callable[[], T]) -> T:
        # No lock, which a fork could leave locked: at worst two threads try the store again, or warn twice.
        retry_at = self._retry_at
        if retry_at is not None:
            if self._clock() < retry_at:
                return ask_local()
            self._retry_at = self._clock() + RETRY_SECONDS
        try:
            self._tell()
            answer = ask()
        except CoordinationStoreError as error:
            self._retry_at = self._clock() + RETRY_SECONDS
            if retry_at is None:
                log.warning(
                    "%s Until it works again, requests go at %g %% of the configured rates %s.",
                    error,
                    100 * self._of * self._share,
                    self._users,
                )
            return ask_local()
        if retry_at is not None:
            self._retry_at = None
            log.warning(
                "%s works again: requests go at %g %% of the configured rates.", self._name, 100 * self._of
            )
        return answer
