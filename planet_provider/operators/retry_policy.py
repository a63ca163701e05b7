"""When Airflow tries a task of this package again. Needs Airflow 3.3."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk import RetryPolicy
    from airflow.sdk.definitions.retry_policy import RetryDecision
except ImportError as error:
    raise ImportError("PlanetRetryPolicy needs Airflow 3.3 or newer.") from error

from planet_provider.exceptions import PlanetError, RateLimitQueueError

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Spread of the delays, as a share: tasks that were told the same shall not come back at the same moment.
_SPREAD = 0.1


class PlanetRetryPolicy(RetryPolicy):
    """Try again when Planet, or the rate limit's queue, said it is worth it; fail at once where it never is.

    Without a word of when, the task's own ``retry_delay`` holds. Errors that a retry can't fix (quota,
    credentials, a bad request) fail a task at once with or without this policy.

    .. code-block:: python

        PlanetCreateOrderOperator(task_id="order", retries=5, retry_policy=PlanetRetryPolicy(), ...)
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide after a failure."""
        if not isinstance(exception, PlanetError):
            return RetryDecision.default()
        if not exception.retryable:
            return RetryDecision.fail(f"{type(exception).__name__}: trying again won't fix it.")
        seconds = seconds_told(exception)
        if seconds is None:
            return RetryDecision.default()
        delay = timedelta(seconds=seconds * random.uniform(1.0, 1.0 + _SPREAD))
        return RetryDecision.retry(
            delay, f"{type(exception).__name__}: to be tried again in {seconds:.0f} s."
        )

    def serialize(self) -> dict[str, Any]:
        """Return nothing: it has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PlanetRetryPolicy:
        """Make it again."""
        return cls()


def seconds_told(error: PlanetError) -> float | None:
    """Return after how many seconds a request may be sent again, where somebody said so."""
    if isinstance(error, RateLimitQueueError):
        return error.wait_seconds
    return getattr(error, "retry_after", None)
