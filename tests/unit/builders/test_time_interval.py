"""Points in time and spans, as the filters of lists take them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_support import order_request, session_of
from planet_provider.builders.time_interval import span
from planet_provider.client import collect
from planet_provider.client.api import orders
from planet_provider.exceptions import InvalidInputError
from planet_provider.sandbox import Sandbox

JAN = datetime(2024, 1, 1, tzinfo=timezone.utc)
FEB = pendulum.datetime(2024, 2, 1, tz="Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (JAN, "2024-01-01T00:00:00Z"),
        ("2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00Z"),
        ((JAN, FEB), "2024-01-01T00:00:00Z/2024-01-31T23:00:00Z"),
        ([JAN, None], "2024-01-01T00:00:00Z/.."),
        ((None, "2024-02-01T00:00:00Z"), "../2024-02-01T00:00:00Z"),
        ((JAN, ".."), "2024-01-01T00:00:00Z/.."),
        (pendulum.interval(pendulum.instance(JAN), FEB), "2024-01-01T00:00:00Z/2024-01-31T23:00:00Z"),
        ("2024-01-01T00:00:00Z/..", "2024-01-01T00:00:00Z/.."),
        ("../2024-01-01T00:00:00.5Z", "../2024-01-01T00:00:00.500000Z"),
        ("2024-01-01 00:00:00+00:00/2024-02-01T00:00:00Z", "2024-01-01T00:00:00Z/2024-02-01T00:00:00Z"),
    ],
)
def test_spans(value: Any, expected: str) -> None:
    assert span(value, "created_on") == expected


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (datetime(2024, 1, 1), "no offset"),
        ("2024-01-01T00:00:00", "no offset"),
        ("2024-01-01", "is a date without a time"),
        ((JAN, datetime(2024, 2, 1)), "no offset"),
        ((None, None), "open on both sides"),
        ("../..", "open on both sides"),
        ((FEB, JAN), "must start before it ends"),
        ((JAN, JAN), "must start before it ends. .*CronDataIntervalTimetable"),
        ((date(2024, 1, 1), None), "write 2024-01-01T00:00:00Z"),
        ("20240230T000000Z/..", "no day of the calendar"),
        ((JAN,) * 3, "must be a point in time"),
        ("a/b/c", "must be a point in time"),
        (7, "must be a point in time"),
        (timedelta(days=1), "must be a point in time"),
    ],
)
def test_what_is_no_span(value: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        span(value, "last_modified")
    assert caught.value.field == "last_modified"


aware = st.datetimes(
    min_value=datetime(1970, 1, 2), max_value=datetime(2100, 1, 1), timezones=st.timezones()
).filter(lambda moment: moment.utcoffset() is not None)


@given(start=aware, length=st.timedeltas(timedelta(microseconds=1), timedelta(days=4000)))
def test_text_of_a_span_is_the_same_span(start: datetime, length: timedelta) -> None:
    start = start.astimezone(timezone.utc)
    text = span((start, start + length), "x")
    assert span(text, "x") == text
    first, last = (datetime.fromisoformat(side.replace("Z", "+00:00")) for side in text.split("/"))
    assert (first, last) == (start, start + length)


@pytest.mark.guide("order-list")
@pytest.mark.planet_sandbox(rate_limits=False, orders_page_size=2)
def test_orders_by_time(planet_sandbox: Sandbox) -> None:
    with session_of(planet_sandbox) as session:
        request = order_request(session)
        placed = [session.send(orders.create({**request, "name": str(number)})) for number in range(5)]
        times = [datetime.fromisoformat(one["created_on"].replace("Z", "+00:00")) for one in placed]
        assert times == sorted(set(times)), "each has a time of its own"

        def names(**filters: Any) -> list[str]:
            return [row["name"] for row in collect.rows(session.pages(orders.list_orders(**filters)))]

        assert names(created_on=(times[1], times[3])) == ["2", "1"], "the end is exclusive"
        assert names(created_on=pendulum.interval(*map(pendulum.instance, times[1:3]))) == ["1"]
        assert names(created_on=(times[3], None)) == names(created_on=f"{placed[3]['created_on']}/..")
        assert names(last_modified=(None, times[2])) == ["1", "0"]
        assert names(created_on=times[4]) == ["4"]
        before = len(planet_sandbox.requests)
        limited = collect.rows(session.pages(orders.list_orders()), limit=2)
        assert [row["name"] for row in limited] == ["4", "3"]
        assert len(planet_sandbox.requests) == before + 1, "no page beyond the limit"


@pytest.mark.parametrize(
    ("filters", "field"),
    [
        ({"created_on": datetime(2024, 1, 1)}, "created_on"),
        ({"last_modified": "yesterday"}, "last_modified"),
        ({"name": ""}, "name"),
        ({"name_contains": 5}, "name_contains"),
        ({"hosting": "yes"}, "hosting"),
        ({"user_id": "me"}, "user_id"),
        ({"user_id": True}, "user_id"),
        ({"sort_by": "name; drop"}, "sort_by"),
        ({"sort_by": ""}, "sort_by"),
        ({"source_type": " "}, "source_type"),
        ({"destination_ref": ""}, "destination_ref"),
    ],
)
def test_filters_that_are_refused(filters: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        orders.list_orders(**filters)
    assert caught.value.field == field


@pytest.mark.parametrize("limit", [0, -1, True, "5"])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit"):
        collect.rows(iter([]), limit)
