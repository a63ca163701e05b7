"""Where the state of a rate limit lives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from planet_provider.exceptions import CoordinationStoreError


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
        :raises CoordinationStoreError: The store can't be used now.
        """
        ...

    def until(self, key: str, reservation: Reservation) -> float | None:
        """Look again how far away a slot is.

        :return: Seconds; ``None`` where the slot is void.
        :raises CoordinationStoreError: The store can't be used now.
        """
        ...

    def hold(self, key: str, seconds: float | None, age: float) -> None:
        """Pause and slow down, for everybody, because of a 429.

        :param seconds: What Retry-After said, if it said anything.
        :param age: Seconds since the refused request was sent.
        :raises CoordinationStoreError: The store can't be used now.
        """
        ...


def store_error(
    label: str, what: str, error: Exception, *, stands_in: bool = False
) -> CoordinationStoreError:
    """Build the error for a store that can't be used, with the extra to set.

    :param label: URL of the store, without credentials.
    :param what: What can't be done, e.g. ``a lock can't be taken``.
    :param error: Why.
    :param stands_in: Whether this is the machine's own folder, in place of the store that the extra names.
    """
    name = f"coordination_store={label}"
    if stands_in:
        name = f"the folder that stands in for coordination_store, {label}"
        remedy = "Repair the store itself, or set TMPDIR to a folder that this user can write to"
    elif label.startswith("file:"):
        remedy = (
            "Set the extra coordination_store of the Planet connection to a folder that every process of this "
            "machine can write to, such as file:///var/lib/planet, on a file system that has locks and room; or "
            "to redis://host:6379/0"
        )
    else:
        remedy = (
            "Check that this Redis can be reached, has room (maxmemory) and takes writes (a read-only replica "
            "does not), or set the extra coordination_store of the Planet connection to another one"
        )
    cause = f"{type(error).__name__}: {error}".rstrip(". ")
    return CoordinationStoreError(f"{name}: {what}: {cause}. {remedy}.")
