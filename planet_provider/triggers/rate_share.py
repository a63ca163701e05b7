"""How many requests waiting may take: others of the account need the rate limit too."""

from __future__ import annotations


class TokenBucket:
    """So many a minute, and as many at once.

    :param per_minute: How many.
    :param now: Time of the event loop.
    """

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_minute = self._left = per_minute
        self._at = now

    def take(self, now: float) -> bool:
        """Take one, if there is one left."""
        self._left = min(self._per_minute, self._left + (now - self._at) * self._per_minute / 60)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RateShare:
    """A share of a class's rate: after some requests none is due for as long as they take at that rate.

    :param share: Of the rate; above 0, up to 1.
    :param rate: Requests per second.
    :param longest: Seconds that none is due, at most.
    """

    def __init__(self, share: float, rate: float, longest: float = float("inf")) -> None:
        self.gap = 1.0 / (share * rate)
        self.free_at = float("-inf")
        self._longest = longest

    def took(self, requests: int, begun: float) -> None:
        """Take note of requests.

        :param requests: How many.
        :param begun: Time of the event loop when they began.
        """
        self.free_at = begun + min(requests * self.gap, self._longest)
