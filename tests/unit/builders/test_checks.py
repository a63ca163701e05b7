from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pandas as pd
import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError

UUID = "8d4799c4-5291-40c0-a7f5-adb9a974455d"


def refused(call: Callable[[], Any], field: str, words: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert caught.value.field == field
    assert words in caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        *("PSScene", "PSOrthoTile", "REOrthoTile", "SkySatCollect", "SkySatVideo", "PelicanScene"),
        *("Sentinel2L1C", "Landsat8L1G", "MOD09GQ", "MYD09GA", "Made_Up_2031"),
    ],
)
def test_item_type_known_or_well_shaped(value: str) -> None:
    assert checks.item_type(value) == value


@pytest.mark.parametrize(
    "value", ["", " PSScene", "PS Scene", "../x", "3D", "PSScene\n", "PS-Scene", None, 3]
)
def test_item_type_malformed(value: object) -> None:
    refused(lambda: checks.item_type(value), "item_type", "such as PSScene")


def test_item_types() -> None:
    assert checks.item_types("PSScene") == ["PSScene"]
    assert checks.item_types(["PSScene", "SkySatCollect", "PSScene"]) == ["PSScene", "SkySatCollect"]
    assert checks.item_types(name for name in ("PSScene", "REScene")) == ["PSScene", "REScene"]
    refused(lambda: checks.item_types([]), "item_types", "empty")
    refused(lambda: checks.item_types({"PSScene": 1}), "item_types", "list")
    refused(lambda: checks.item_types(None), "item_types", "list")
    refused(lambda: checks.item_types(["PSScene", "x/y"]), "item_types[1]", "item type")


@pytest.mark.parametrize(
    "value",
    [
        "20220125_075509_67_1061",
        "20170614_113217_3163208_RapidEye-5",
        "4500474_2133707_2021-05-20_2419",
        "MOD09GQ.A2018001.h08v04",
    ],
)
def test_item_id_real_ones(value: str) -> None:
    assert checks.item_id(value) == value


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "a?b", "a b", "a\n", 20220125])
def test_item_id_that_would_change_a_url(value: object) -> None:
    refused(lambda: checks.item_id(value), "item_id", "must be an item id")


def test_item_ids_drop_repeated_ones_in_order() -> None:
    assert checks.item_ids(("b", "a", "b", "c", "a")) == ["b", "a", "c"]


@pytest.mark.parametrize("value", ["abc", b"abc", {"a", "b"}, None, 7])
def test_item_ids_must_be_a_list(value: object) -> None:
    refused(lambda: checks.item_ids(value), "item_ids", "must be a list")


def test_item_ids_bounds() -> None:
    refused(lambda: checks.item_ids([]), "item_ids", "not be empty")
    refused(lambda: checks.item_ids(["a", ""], "x"), "x[1]", "item id")
    assert len(checks.item_ids([f"i{n}" for n in range(500)] * 2)) == 500
    refused(lambda: checks.item_ids([f"i{n}" for n in range(501)]), "item_ids", "501 items")
    refused(lambda: checks.item_ids(["a", "b"], max_items=1), "item_ids", "the 1 an order may hold")


def test_asset_type_and_bundle() -> None:
    assert checks.asset_type("ortho_analytic_4b") == "ortho_analytic_4b"
    assert checks.product_bundle("analytic_8b_sr_udm2") == "analytic_8b_sr_udm2"
    refused(lambda: checks.asset_type("ortho/analytic"), "asset_type", "asset type")
    refused(lambda: checks.product_bundle("analytic_udm2,visual"), "product_bundle", "fallback_bundles")


def test_ids_that_are_uuids() -> None:
    assert checks.order_id(UUID.upper()) == UUID
    assert checks.order_id(uuid.UUID(UUID)) == UUID
    bare = UUID.replace("-", "")
    for spelling in (
        bare,
        bare.upper(),
        f"{{{UUID}}}",
        f"{{{bare}}}",
        f"urn:uuid:{UUID}",
        f"URN:UUID:{bare}",
    ):
        assert checks.order_id(spelling) == UUID
    for wrong in (
        f"{UUID}\n",
        f"{{{UUID}",
        f"{bare[:-1]}_",
        f"+{bare[1:]}",
        f"{bare[:4]}-{bare[4:]}",
        int(bare, 16),
    ):
        refused(lambda wrong=wrong: checks.order_id(wrong), "order_id", "a UUID")
    assert checks.collection_id(UUID) == UUID
    planets_form = "9a898d5bfef74c0e93906ab99c19e2a5"
    assert checks.search_id(planets_form) == planets_form
    assert checks.search_id(UUID) == UUID
    assert checks.search_id(f"{{{planets_form}}}") == planets_form
    assert checks.search_id(uuid.UUID(UUID)) == UUID.replace("-", "")
    refused(lambda: checks.order_id("../../users"), "order_id", "an order's id")
    refused(lambda: checks.order_id(None), "order_id", "a UUID")
    refused(lambda: checks.search_id("latest"), "search_id", "a saved search's id")
    refused(lambda: checks.collection_id("mine"), "collection_id", "Sentinel Hub")


def test_order_name() -> None:
    assert checks.order_name("Zürich, weekly [1]") == "Zürich, weekly [1]"
    assert checks.order_name("n" * 240) == "n" * 240
    for value in ("", "  ", " x", "x ", None, 3):
        refused(lambda value=value: checks.order_name(value), "name", "not empty")
    refused(lambda: checks.order_name("a\nb"), "name", "line breaks")
    refused(lambda: checks.order_name("n" * 241), "name", "240 characters, not 241")
    refused(lambda: checks.order_name("four", max_length=3), "name", "3 characters")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (datetime(2024, 1, 31, tzinfo=timezone.utc), "2024-01-31T00:00:00Z"),
        (datetime(2024, 1, 31, 2, tzinfo=timezone(timedelta(hours=2))), "2024-01-31T00:00:00Z"),
        (pendulum.datetime(2024, 1, 31, 1, tz="Europe/Berlin"), "2024-01-31T00:00:00Z"),
        (str(pendulum.datetime(2024, 1, 31)), "2024-01-31T00:00:00Z"),
        ("2024-01-31T00:00:00Z", "2024-01-31T00:00:00Z"),
        ("2024-01-31T00:00Z", "2024-01-31T00:00:00Z"),
        ("2024-01-30T19:00:00-05:00", "2024-01-31T00:00:00Z"),
        ("20240131T000000+0000", "2024-01-31T00:00:00Z"),
        ("20240131T013000.5+0130", "2024-01-31T00:00:00.500000Z"),
        ("20240131T0000Z", "2024-01-31T00:00:00Z"),
        ("2024-01-31T00:00:00+0000", "2024-01-31T00:00:00Z"),
        ("2024-01-31t00:00:00z", "2024-01-31T00:00:00Z"),
        (" 2024-01-31T00:00:00Z\n", "2024-01-31T00:00:00Z"),
        (pd.Timestamp("2024-01-31", tz="UTC"), "2024-01-31T00:00:00Z"),
        ("2025-10-01T20:41:21.52333Z", "2025-10-01T20:41:21.523330Z"),
        ("2025-10-01T20:41:21.523339999Z", "2025-10-01T20:41:21.523339Z"),
    ],
)
def test_utc_datetime(value: object, expected: str) -> None:
    assert checks.utc_datetime(value, "start") == expected


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (datetime(2024, 1, 31), "no offset"),
        (pendulum.naive(2024, 1, 31), "no offset"),
        ("2024-01-31T00:00:00", "no offset"),
        ("2024-01-31", "write 2024-01-31T00:00:00Z"),
        (date(2024, 1, 31), "is a date without a time and an offset; write 2024-01-31T00:00:00Z"),
        (pendulum.date(2024, 1, 31), "write 2024-01-31T00:00:00Z"),
        ("20240131", "write 2024-01-31T00:00:00Z"),
        ("20240131T000000", "no offset"),
        (pd.NaT, "aware datetime"),
        (pd.Timestamp("2024-01-31"), "no offset"),
        ("NaT", "aware datetime"),
        ("2024-02-30T00:00:00Z", "is no day of the calendar: day is out of range for month"),
        ("20240230T000000+0000", "is no day of the calendar"),
        ("2023-02-29", "is no day of the calendar"),
        ("2024-13-01T00:00:00Z", "is no day of the calendar: month must be in 1..12"),
        ("2024-01-31T25:00:00Z", "aware datetime"),
        ("2024-01-31T00:00:00+99:99", "aware datetime"),
        ("2024-01-31T00:00:00Z+", "aware datetime"),
        ("\u0662\u0660\u0662\u0664-01-31T00:00:00Z", "aware datetime"),
        ("2024-01-31T00:00:00Z/2024-02-01T00:00:00Z", "aware datetime"),
        ("now", "aware datetime"),
        ("", "aware datetime"),
        (1706659200, "aware datetime"),
        ("0001-01-01T00:00:00+01:00", "years 1 to 9999"),
    ],
)
def test_utc_datetime_refused(value: object, words: str) -> None:
    refused(lambda: checks.utc_datetime(value, "start"), "start", words)


aware = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@given(aware)
def test_utc_datetime_keeps_the_instant(moment: datetime) -> None:
    written = checks.utc_datetime(moment, "at")
    assert datetime.fromisoformat(written.replace("Z", "+00:00")) == moment
    assert checks.utc_datetime(moment.isoformat(), "at") == written
    assert checks.utc_datetime(written, "at") == written


@given(aware, aware, st.booleans())
def test_time_order_is_the_order_in_time(first: datetime, second: datetime, whole: bool) -> None:
    second = first.replace(microsecond=0) if whole else second
    orders = [checks.time_order(checks.utc_datetime(moment, "at")) for moment in (first, second)]
    assert (orders[0] < orders[1]) == (first < second)
    assert (orders[0] == orders[1]) == (first == second)


@pytest.mark.parametrize("value", [True, "1", None, [1]])
def test_number_must_be_one(value: object) -> None:
    refused(lambda: checks.number(value, "n"), "n", "must be a number")
    refused(lambda: checks.whole_number(value, "n"), "n", "whole number")


def test_number_bounds() -> None:
    assert checks.number(0, "n") == 0
    assert checks.number(10**400, "n") == 10**400
    assert checks.number(0.5, "n", above=0) == 0.5
    refused(lambda: checks.number(0, "n", above=0), "n", "greater than 0")
    for value in (float("nan"), float("inf"), float("-inf")):
        refused(lambda value=value: checks.number(value, "n"), "n", "finite")
    assert checks.whole_number(1, "n") == 1
    refused(lambda: checks.whole_number(0, "n"), "n", "greater than 0")
    refused(lambda: checks.whole_number(1.0, "n"), "n", "whole number")


def test_limits_have_no_end() -> None:
    assert checks.limit(10**400) == sys.maxsize


def test_seconds() -> None:
    assert checks.seconds(timedelta(minutes=1), "s") == checks.seconds(60, "s") == 60.0
    assert checks.seconds(0, "s", or_none=True) == 0.0
    for value in (0, -1, timedelta(0), 10**400, 1e308, timedelta.max):
        refused(lambda value=value: checks.seconds(value, "s"), "s", "greater than 0 seconds, and")
    for value in (None, "1", True):
        refused(lambda value=value: checks.seconds(value, "s"), "s", "must be a number")
    refused(lambda: checks.seconds(-1, "s", or_none=True), "s", "0 seconds or more")


def test_flag() -> None:
    assert checks.flag(False, "f") is False
    refused(lambda: checks.flag("false", "f"), "f", "true or false")


def test_choice() -> None:
    assert checks.choice("COG", ("COG", "PL_NITF"), "format") == "COG"
    assert checks.choice("pl_nitf", ("COG", "PL_NITF"), "format", fold_case=True) == "PL_NITF"
    refused(lambda: checks.choice("cog", ("COG", "PL_NITF"), "format"), "format", "one of COG, PL_NITF")
    refused(lambda: checks.choice(None, ("COG",), "format", fold_case=True), "format", "one of COG")


def test_fields_names_what_is_wrong_and_shows_no_value() -> None:
    secret = {"key": "hunter2", "typo": "hunter2"}
    missing = refused(lambda: checks.fields(secret, "d", required=("bucket", "key")), "d", "lacks bucket")
    unknown = refused(
        lambda: checks.fields(secret, "d", required=("key",), optional=("region",)), "d", "typo is"
    )
    not_one = refused(lambda: checks.mapping("key=hunter2", "d"), "d", "dict")
    assert "known are key, region" in unknown.remedy
    assert all("hunter2" not in str(error) for error in (missing, unknown, not_one))
    assert "hunter2" not in str(refused(lambda: checks.text(" hunter2", "d", secret=True), "d", "string"))


@pytest.mark.parametrize("name", [None, 7, b"type"])
def test_names_of_an_object_are_text(name: object) -> None:
    refused(lambda: checks.mapping({name: 1}, "filter"), "filter", "text")


def test_plain_copies_into_json_types() -> None:
    original = {"a": MappingProxyType({1: ("x", ["y"])}), "b": b"raw", "c": 1.5}
    copied = checks.plain(original)
    assert copied == {"a": {"1": ["x", ["y"]]}, "b": b"raw", "c": 1.5}


def test_given_keeps_falsy_values() -> None:
    assert checks.given(a=0, b=None, c=False, d="") == {"a": 0, "c": False, "d": ""}
