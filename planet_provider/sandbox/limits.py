"""Planet's documented rate limits, per account and class of request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

from planet_provider.sandbox.config import DOCUMENTED_RATES, RetryAfter, SandboxConfig
from planet_provider.sandbox.errors import ApiError


class RateLimiter:
    """Token buckets as GCRA: each class holds one second's worth and refills at its rate.

    Runs in real time, whatever the sandbox's speed: it limits clients, not the service.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self._lock = threading.Lock()
        self.reset(config)

    def reset(self, config: SandboxConfig) -> None:
        """Start afresh with a configuration."""
        with self._lock:
            self._enabled = config.rate_limits
            self._form: RetryAfter = config.retry_after
            self._rates: Mapping[str, float] = {**DOCUMENTED_RATES, **config.rates}
            self._next: dict[tuple[int, str], float] = {}

    def check(self, user_id: int, rate_class: str) -> None:
        """Let a request through or refuse it.

        :raises ApiError: 429, with ``Retry-After`` in the configured form.
        """
        wait = self._reserve(user_id, rate_class)
        if wait > 0:
            raise ApiError(429, {"message": "Rate limit exceeded. Please retry later."}, self._headers(wait))

    def _reserve(self, user_id: int, rate_class: str) -> float:
        """Return the real seconds until the request could be let through; 0 is now."""
        if not self._enabled:
            return 0.0
        interval = 1.0 / self._rates[rate_class]
        # A rate below 1/s still lets one request through.
        burst = max(1.0, interval) - interval
        with self._lock:
            now = time.monotonic()
            due = max(self._next.get((user_id, rate_class), now), now)
            wait = due - now - burst
            # 1 ns: a burst of n sums n intervals, which may not be exactly one second.
            if wait > 1e-9:
                return wait
            self._next[user_id, rate_class] = due + interval
            return 0.0

    def _headers(self, wait: float) -> dict[str, str]:
        seconds = math.ceil(wait)
        if self._form == "seconds":
            return {"Retry-After": str(seconds)}
        if self._form == "date":
            # The date's resolution is a second: one more, lest it be too early.
            at = datetime.now(timezone.utc) + timedelta(seconds=seconds + 1)
            return {"Retry-After": format_datetime(at, usegmt=True)}
        return {}
