"""One rate limit for an account: callers reserve a slot and are told how long to wait for it."""

from __future__ import annotations

from planet_provider.client.ratelimit.limiter import RateLimiter, account_of
from planet_provider.client.ratelimit.memory import MemoryStore
from planet_provider.client.ratelimit.open import Fallback, check_store_url, open_store
from planet_provider.client.ratelimit.store import RateStore, Reservation

__all__ = [
    "Fallback",
    "MemoryStore",
    "RateLimiter",
    "RateStore",
    "Reservation",
    "account_of",
    "check_store_url",
    "open_store",
]
