from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import tenacity

from planet_provider.client.config import PlanetConfig
from planet_provider.client.http import retry
from planet_provider.client.http.retry import QueueTime, is_repeatable, retry_options
from planet_provider.exceptions import (
    AuthenticationError,
    OrderConcurrencyError,
    OverQuotaError,
    PlanetError,
    RateLimitError,
    RateLimitQueueError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from ratelimit_support import Clock

REQUEST = "GET /x"


def server_error(status: int, retry_after: float | None = None) -> ServerError:
    return ServerError("it broke", status=status, request=REQUEST, retry_after=retry_after)


def too_many(retry_after: float | None = None) -> RateLimitError:
    return RateLimitError("too many", status=429, request=REQUEST, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "if_harmless", "otherwise"),
    [
        (TransportError("cut", sent=True), True, False),
        (TransportError("refused", sent=False), True, True),
        (server_error(500), True, False),
        (server_error(502), True, False),
        (server_error(503), True, False),
        (server_error(504), True, False),
        (server_error(501), False, False),
        (server_error(505), False, False),
        (too_many(), True, True),
        (OverQuotaError("over", status=429, request=REQUEST), False, False),
        (OrderConcurrencyError("too many", status=409, request=REQUEST), False, False),
        (AuthenticationError("no", status=401, request=REQUEST), False, False),
        (UnexpectedResponseError("what?"), False, False),
        (RateLimitQueueError("full", rate_class="data.other", wait_seconds=1.0), False, False),
        (KeyboardInterrupt(), False, False),
        (RuntimeError("a bug"), False, False),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'status', '')}".strip(),
)
def test_what_may_be_sent_again(error: BaseException, if_harmless: bool, otherwise: bool) -> None:
    assert is_repeatable(error, repeatable=True) is if_harmless
    assert is_repeatable(error, repeatable=False) is otherwise


class Retried:
    """A call that always fails, tried under the policy; its sleeps take no time."""

    def __init__(self, error: Callable[[int], PlanetError], **settings: float) -> None:
        self.sleeps: list[float] = []
        self.attempts = 0
        self.error = error
        config = PlanetConfig(api_key="PLAK0123456789", **settings)  # type: ignore[arg-type]
        self.retrying = tenacity.Retrying(
            sleep=self.sleeps.append, **retry_options(config, REQUEST, QueueTime(), repeatable=True)
        )
        with pytest.raises(PlanetError) as caught:
            self.retrying(self.attempt)
        self.raised = caught.value

    def attempt(self) -> None:
        self.attempts += 1
        raise self.error(self.attempts)


class TestBounds:
    def test_attempts(self) -> None:
        tried = Retried(lambda attempt: server_error(503), max_attempts=4)
        assert (tried.attempts, len(tried.sleeps)) == (4, 3)
        assert isinstance(tried.raised, ServerError)

    def test_one_attempt(self) -> None:
        tried = Retried(lambda attempt: server_error(503), max_attempts=1)
        assert (tried.attempts, tried.sleeps) == (1, [])

    def test_seconds(self) -> None:
        tried = Retried(lambda attempt: too_many(61.0), max_retry_seconds=60.0)
        assert (tried.attempts, tried.sleeps) == (1, [])

    def test_what_cannot_change_is_raised_at_once(self) -> None:
        tried = Retried(lambda attempt: server_error(503 if attempt < 3 else 501))
        assert tried.attempts == 3
        assert tried.raised.status == 501  # type: ignore[attr-defined]

    def test_seconds_in_the_queue_are_no_retrying(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queued, attempts = QueueTime(), []
        clock = Clock()
        for module in (retry, tenacity):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))

        def attempt() -> None:
            with queued.running():
                clock.advance(0.3)
            attempts.append(1)
            raise server_error(503, 0.0)

        config = PlanetConfig(api_key="PLAK0123456789", max_attempts=3, max_retry_seconds=0.25)
        options = retry_options(config, REQUEST, queued, repeatable=True)
        with pytest.raises(ServerError):
            tenacity.Retrying(sleep=lambda _: None, **options)(attempt)
        assert len(attempts) == 3
        assert queued.seconds == pytest.approx(0.9)


class TestWaits:
    def test_retry_after_is_kept_to(self) -> None:
        tried = Retried(lambda attempt: too_many(float(attempt)), max_attempts=4)
        assert tried.sleeps == [1.0, 2.0, 3.0]

    def test_server_errors_may_say_how_long_too(self) -> None:
        assert Retried(lambda attempt: server_error(503, 0.0), max_attempts=3).sleeps == [0.0, 0.0]

    def test_the_back_off_doubles_with_full_jitter(self) -> None:
        longest = [0.0] * 9
        for _ in range(40):
            tried = Retried(lambda attempt: server_error(503), max_attempts=10, max_retry_seconds=1e9)
            longest = [max(pair) for pair in zip(longest, tried.sleeps, strict=True)]
        bounds = [min(2.0**step, 64.0) for step in range(9)]
        for seconds, bound in zip(longest, bounds, strict=True):
            # Forty draws: the chance that all are below a quarter is 1e-24.
            assert bound / 4 <= seconds <= bound

    def test_its_first_step_is_a_setting(self) -> None:
        tried = Retried(lambda attempt: TransportError("cut"), max_attempts=4, backoff_seconds=0.01)
        assert all(seconds <= 0.04 for seconds in tried.sleeps)


def test_retries_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="planet_provider.client.http.retry"):
        Retried(lambda attempt: too_many(1.25), max_attempts=2)
    assert caplog.messages == ["GET /x: attempt 1 of 2 failed, next in 1.2 s: too many"]
