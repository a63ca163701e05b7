"""What is known of item types and bundles: warned of with suggestions, never refused, never fetched."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from planet_provider.builders import filters, order_request, spec
from planet_provider.client.api import data
from planet_provider.sandbox.bundles import BUNDLES
from planet_provider.sandbox.catalogue import Catalogue

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """A warning comes once a process."""
    spec.warn.cache_clear()
    yield
    spec.warn.cache_clear()


def order(item_type: str = "PSScene", bundle: str = "analytic_udm2") -> dict[str, Any]:
    first, *fallbacks = bundle.split(",")
    product = order_request.product(["20220125_075509_67_1061"], item_type, first, fallbacks)
    return order_request.build("an order", products=[product])


def search(item_type: str) -> Any:
    return data.quick_search([item_type], filters.empty_filter()).json


@pytest.mark.parametrize(
    ("build", "kept", "warning"),
    [
        (lambda: order("psscene"), "psscene", "did you mean PSScene?"),
        (lambda: order("PScene"), "PScene", "products[0].item_type='PScene' is no item type known in 2024-"),
        (lambda: order("FutureSat9000"), "FutureSat9000", "is no item type known in 2024-08-12."),
        (lambda: order(bundle="analytic_umd2"), "analytic_umd2", "analytic_udm2"),
        (lambda: order(bundle="VISUAL"), "VISUAL", "did you mean visual?"),
        (lambda: order(bundle="visual,analytic_8b_sr"), "visual,analytic_8b_sr", "analytic_8b_sr_udm2"),
        (
            lambda: order("SkySatScene", "analytic_8b_sr_udm2"),
            "analytic_8b_sr_udm2",
            "is no product bundle that SkySatScene was known to have in 2024-08-12; did you mean",
        ),
        (lambda: search("SkysatVideos"), "SkysatVideos", "item_types='SkysatVideos' is no item type known"),
        (lambda: filters.asset_filter(["ortho_analytic_4"]), "ortho_analytic_4", "ortho_analytic_4b"),
    ],
)
@pytest.mark.guide("order-request")
def test_what_is_unknown_is_warned_of_and_sent(
    build: Callable[[], Any], kept: str, warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert f'"{kept}"' in json.dumps(build())
    [record] = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "planet_provider.builders.spec")
    assert warning in record.getMessage()
    assert record.getMessage().endswith("It is sent as it is.")


@pytest.mark.parametrize(
    ("build", "warning"),
    [
        (lambda: filters.range_filter("cloud_covr", lt=0.2), "'cloud_covr' is no field known in"),
        (lambda: filters.range_filter("Cloud_Cover", lt=0.2), "did you mean cloud_cover?"),
        (
            lambda: filters.range_filter("cloud_cover", lt=20),
            "config=20 is outside the range of cloud_cover, 0 to 1; did you mean 0.2?",
        ),
        (lambda: filters.number_in_filter("cloud_cover", [0, 50]), "config=50 is outside the range of"),
        (lambda: filters.range_filter("cloud_cover", gt=-0.5), "config=-0.5 is outside the range of"),
        (
            lambda: filters.range_filter("clear_percent", gte=0.9),
            "less than one percent, and clear_percent runs from 0 to 100; did you mean 90?",
        ),
        (
            lambda: filters.range_filter("sun_elevation", gte=100),
            "outside the range of sun_elevation, -90 to 90.",
        ),
        (
            lambda: filters.range_filter("acquired", gte=2024),
            "is a time, which a RangeFilter never matches; use a DateRangeFilter",
        ),
        (
            lambda: filters.date_range_filter("cloud_cover", gte="2024-01-01T00:00:00Z"),
            "is a number, which a DateRangeFilter never matches; use a RangeFilter or a NumberInFilter",
        ),
        (lambda: filters.string_in_filter("gsd", ["3"]), "which a StringInFilter never matches"),
        (lambda: filters.string_in_filter("quality_category", ["Standard"]), "did you mean standard?"),
        (lambda: filters.string_in_filter("publishing_stage", ["final"]), "did you mean finalized?"),
        (
            lambda: data.quick_search(["PSScene"], filters.asset_filter(["ortho_analytic_sr"])),
            "search_filter.config='ortho_analytic_sr' is no asset type that PSScene was known to have",
        ),
        (
            lambda: data.stats(
                ["PSScene"],
                filters.not_filter(filters.combine(filters.asset_filter(["ortho_analytic"]))),
                "year",
            ),
            "search_filter.config.config[0].config='ortho_analytic' is no asset type that PSScene",
        ),
    ],
)
def test_a_filter_that_finds_nothing_is_warned_of_and_sent(
    build: Callable[[], Any], warning: str, caplog: pytest.LogCaptureFixture
) -> None:
    built = build()
    assert built
    [record] = caplog.records
    assert warning in record.getMessage()
    assert record.getMessage().endswith("It is sent as it is.")


@pytest.mark.parametrize(
    "build",
    [
        order,
        lambda: filters.range_filter("cloud_cover", gte=0, lte=1),
        lambda: filters.range_filter("clear_percent", gte=0, lte=100),
        lambda: filters.range_filter("clear_percent", gte=90.5),
        lambda: filters.update_filter("cloud_cover", gte="2024-01-01T00:00:00Z"),
        lambda: filters.string_in_filter("ground_control", ["true"]),
        lambda: filters.string_in_filter("instrument", ["PSB.SD", "of tomorrow"]),
        filters.std_quality_filter,
        lambda: data.quick_search(["PSScene", "SkySatScene"], filters.asset_filter(["ortho_analytic_sr"])),
        lambda: data.quick_search(["PSScene"], filters.asset_filter(["ortho_analytic", "ortho_visual"])),
        lambda: data.quick_search(["SkySatVideo"], filters.asset_filter(["ortho_analytic_sr"])),
        lambda: order(bundle="analytic_8b_sr_udm2,analytic_udm2,visual"),
        lambda: order("Sentinel2L1C", "analytic"),
        lambda: search("SkySatVideo"),
        lambda: filters.asset_filter(["ortho_analytic_4b", "basic_udm2", "something_else_altogether"]),
    ],
)
def test_what_is_known_is_not_warned_of(build: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    build()
    assert caplog.records == []


def test_of_a_new_item_type_bundles_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    order("FutureSat9000", "visual")
    assert ["item_type" in record.getMessage() for record in caplog.records] == [True]


def test_a_warning_comes_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        filters.combine(filters.asset_filter(["ortho_analytic_4"]))
        order("psscene")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(set(messages))
    # An asset's field has another name inside of another filter.
    assert {message.partition("=")[0] for message in messages} >= {
        "asset_filter.config[0]",
        "products[0].item_type",
    }


def test_the_data_has_a_date_and_a_source() -> None:
    content = json.loads((ROOT / "planet_provider/builders/spec.json").read_text())
    assert date.fromisoformat(content["edition"]).isoformat() == spec.edition()
    assert "bundles/spec" in content["source"]
    assert len((ROOT / "planet_provider/builders/spec.json").read_bytes()) < 20_000


def test_the_data_is_of_the_apis_form() -> None:
    assert len(spec.product_bundles()) == 35
    assert len(spec.item_types()) == 17
    name = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
    for names in (spec.product_bundles(), spec.item_types(), spec.asset_types()):
        assert [one for one in names if not name.fullmatch(one)] == []
    assert "ortho_analytic_4b" in spec.asset_types("PSScene")
    assert "ortho_analytic_4b" not in spec.asset_types("SkySatScene")
    assert spec.item_types("analytic_8b_udm2") == {"PSScene"}
    assert "visual" in spec.product_bundles("PSScene")
    assert spec.product_bundles("FutureSat9000") == frozenset()
    assert spec.item_types("no_such") == frozenset()


def test_it_knows_the_fields_of_the_sandbox(caplog: pytest.LogCaptureFixture) -> None:
    now, times = (
        datetime(2026, 3, 10, tzinfo=timezone.utc),
        ("acquired", "published", "updated", "availability"),
    )
    for item in Catalogue(seed=5, items=500, now=now):
        for name, value in item.properties.items():
            if isinstance(value, (bool, str)) and name not in times:
                filters.string_in_filter(name, [str(value).lower() if isinstance(value, bool) else value])
            elif isinstance(value, str):
                filters.date_range_filter(name, gte=value)
            else:
                filters.range_filter(name, gte=value)
    assert caplog.messages == []


def test_it_agrees_with_the_sandbox() -> None:
    for bundle in BUNDLES:
        assert set(BUNDLES[bundle].assets) <= spec.item_types(bundle), bundle


def test_nothing_is_fetched_at_build_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    spec._spec.cache_clear()
    order("psscene", "visuall")
    search("PScene")
