"""The one retry policy: what may be sent again, when, and until when."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import tenacity
from tenacity.retry import retry_base
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import (
    APIError,
    PlanetError,
    RateLimitError,
    ServerError,
    TokenUnavailableError,
    TransportError,
)

log = logging.getLogger(__name__)

#: Statuses after which the same request may succeed. 501 and 505 won't change by waiting.
TRANSIENT_STATUSES = frozenset({500, 502, 503, 504})

#: Longest step of the back-off, in seconds; the official SDK's bound.
MAX_BACKOFF_SECONDS = 64.0


class RetryOptions(TypedDict):
    """Keyword arguments of :class:`tenacity.Retrying` and :class:`tenacity.AsyncRetrying`."""

    retry: retry_base
    wait: wait_base
    stop: stop_base
    before_sleep: Callable[[tenacity.RetryCallState], None]
    reraise: bool


def is_repeatable(error: BaseException, *, repeatable: bool) -> bool:
    """Return whether a request may be sent again after an error.

    :param error: What the attempt raised.
    :param repeatable: Whether carrying the request out twice does no harm. Where it does, only errors count
        after which Planet surely has not accepted it: no connection, or 429.
    """
    if isinstance(error, TransportError):
        return repeatable or not error.sent
    if isinstance(error, ServerError):
        return repeatable and error.status in TRANSIENT_STATUSES
    return isinstance(error, RateLimitError)


class QueueTime:
    """What a request spent in the queue of the rate limit: that is no sign of trouble, so no retrying.

    :ivar seconds: In all attempts so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the seconds of a block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


def retry_options(config: PlanetConfig, label: str, queued: QueueTime, *, repeatable: bool) -> RetryOptions:
    """Build the policy for one request.

    Bounded in attempts and in seconds: where the next attempt would come too late, the last error is raised
    at once instead of after a sleep.

    :param label: Method and path, for the log.
    :param queued: What does not count as retrying.
    :param repeatable: See :func:`is_repeatable`.
    """
    return {
        "retry": tenacity.retry_if_exception(lambda error: is_repeatable(error, repeatable=repeatable)),
        "wait": _Wait(config.backoff_seconds),
        "stop": tenacity.stop_after_attempt(config.max_attempts)
        | _StopBeforeDelay(config.max_retry_seconds, queued),
        "before_sleep": _LogRetry(label, config.max_attempts),
        "reraise": True,
    }


def _failure(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


class _StopBeforeDelay(tenacity.stop_before_delay):
    """Stop where the next attempt would come too late, apart from what the queue took."""

    def __init__(self, max_delay: float, queued: QueueTime) -> None:
        super().__init__(max_delay)
        self._queued = queued

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        elapsed = retry_state.seconds_since_start or 0.0
        return elapsed - self._queued.seconds + retry_state.upcoming_sleep >= self.max_delay


class _Wait(wait_base):
    """Retry-After where Planet gave one, else exponential with full jitter."""

    def __init__(self, backoff_seconds: float) -> None:
        self._backoff = tenacity.wait_random_exponential(multiplier=backoff_seconds, max=MAX_BACKOFF_SECONDS)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = _failure(retry_state)
        if isinstance(error, (APIError, TokenUnavailableError)) and error.retry_after is not None:
            return error.retry_after
        return self._backoff(retry_state)


class _LogRetry:
    def __init__(self, label: str, max_attempts: int) -> None:
        self._label = label
        self._max_attempts = max_attempts

    def __call__(self, state: tenacity.RetryCallState) -> Any:
        error = _failure(state)
        reason = error.args[0] if isinstance(error, PlanetError) else type(error).__name__
        log.warning(
            "%s: attempt %d of %d failed, next in %.1f s: %s",
            self._label,
            state.attempt_number,
            self._max_attempts,
            state.upcoming_sleep,
            reason,
        )
