from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import httpx
import pytest

from planet_provider.client.http import responses
from planet_provider.client.http.responses import MAX_RETRY_AFTER_SECONDS, retry_after

#: What a server whose clock is years off calls now.
NOW = datetime(2031, 5, 6, 7, 8, 9, tzinfo=timezone.utc)


def said(value: str, date: datetime | str | None = None) -> float | None:
    headers = {"Retry-After": value}
    if date is not None:
        headers["Date"] = date if isinstance(date, str) else format_datetime(date, usegmt=True)
    return retry_after(httpx.Response(429, headers=headers))


@pytest.mark.parametrize("seconds", [0, 7, 90])
def test_a_date_is_compared_with_the_server_s_own_clock(seconds: int) -> None:
    at = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert said(at, NOW) == seconds


def test_a_date_that_is_over_means_now() -> None:
    assert said(format_datetime(NOW - timedelta(hours=1), usegmt=True), NOW) == 0.0


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_where_the_server_tells_no_time_this_host_s_is_taken(
    date: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return NOW

    monkeypatch.setattr(responses, "datetime", Frozen)
    assert said(format_datetime(NOW + timedelta(seconds=30), usegmt=True), date) == 30.0


@pytest.mark.parametrize("value", ["9" * 400, "1" + "0" * 30, "90000.5", "Tue, 01 Jan 2999 00:00:00 GMT"])
def test_more_than_a_day_is_a_day(value: str) -> None:
    assert said(value, NOW) == MAX_RETRY_AFTER_SECONDS
    # What waits for it, such as a task's retry, can add it to a date.
    assert NOW + timedelta(seconds=2 * MAX_RETRY_AFTER_SECONDS)


@pytest.mark.parametrize(("value", "seconds"), [("", None), ("soon", None), ("-1", None), ("2.5", 2.5)])
def test_other_values(value: str, seconds: float | None) -> None:
    assert said(value) == seconds
