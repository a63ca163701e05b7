"""Where the state of a rate limit lives."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Reservation(NamedTuple):
    """A slot that was taken, or that would have been next.

    :param wait_seconds: Seconds from now until the slot.
    :param slot: Where it lies on the line.
    :param epoch: Names the line. A store that lost its state starts another one, and the slot is void.
    """

    wait_seconds: float
    slot: float
    epoch: str


class RateStore(Protocol):
    """Hands out slots, evenly spaced, first come first served. Safe to share between threads."""

    #: Whether a call may wait for a network or a lock: then it has no place in an event loop.
    may_block: bool

    def reserve(self, key: str, interval: float, max_wait: float) -> Reservation:
        """Take the next free slot, atomically.

        :param key: Account and class of request.
        :param interval: Seconds between two slots.
        :param max_wait: Longest acceptable wait, in seconds.
        :return: The slot. Where its wait is longer than ``max_wait``, it was not taken.
        :raises RateLimitStoreError: The store can't be used now.
        """
        ...

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is.

        :return: Seconds; ``None`` where the slot is void.
        :raises RateLimitStoreError: The store can't be used now.
        """
        ...

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down, for everybody, because of a 429.

        :param seconds: What Retry-After said, if it said anything.
        :param age: Seconds since the refused request was sent.
        :raises RateLimitStoreError: The store can't be used now.
        """
        ...
