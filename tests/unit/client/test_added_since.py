"""What Planet adds after this release can be sent, with a warning; what is misspelt or misplaced is refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from planet_provider.builders import filters, order_request, spec
from planet_provider.client.api import data
from planet_provider.exceptions import InvalidInputError

PRODUCT = {"item_ids": ["a"], "item_type": "PSScene", "product_bundle": "visual"}
REQUEST = {"name": "x", "products": [PRODUCT]}
S3 = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "bucket": "b", "aws_region": "eu-west-1"}


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """A warning comes once a process."""
    spec.warn.cache_clear()
    yield
    spec.warn.cache_clear()


@pytest.mark.parametrize(
    ("added", "field"),
    [
        ({"tools": [{"super_resolve": {"factor": 2, "bands": ["red"]}}]}, "tools[0]='super_resolve'"),
        ({"tools": [{"toar": {"sharpness": 2}}]}, "tools[0].toar='sharpness'"),
        ({"tools": [{"reproject": {"projection": "EPSG:4326", "resolution_x": 2}}]}, "'resolution_x'"),
        ({"delivery": {"moon_storage": {"crater": "tycho"}}}, "delivery='moon_storage'"),
        ({"delivery": {"amazon_s3": {**S3, "storage_class": "cold"}}}, "amazon_s3='storage_class'"),
        ({"priority": "high"}, "request='priority'"),
        ({"products": [{**PRODUCT, "resampling": "fine"}]}, "products[0]='resampling'"),
        ({"notifications": {"carrier_pigeon": True}}, "notifications='carrier_pigeon'"),
        ({"hosting": {"moon_hub": {"crater": "tycho"}}}, "hosting='moon_hub'"),
    ],
)
def test_of_an_order(added: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture) -> None:
    request = {**REQUEST, **added}
    before = copy.deepcopy(request)
    order_request.validate(request)
    assert request == before
    assert [field in message for message in caplog.messages] == [True]
    assert "is not known in 2024-08-12" in caplog.text
    if "priority" not in added:
        assert order_request.build("x", **{"products": [PRODUCT], **added}) == request


@pytest.mark.parametrize(
    "added",
    [
        {"type": "MoonPhaseFilter", "config": {"phase": ["full"]}},
        {"type": "RangeFilter", "field_name": "gsd", "config": {"gte": 3}, "tolerance": 0.1},
        {
            "type": "NotFilter",
            "config": {"type": "TideFilter", "field_name": "tide", "config": [1, {"a": None}]},
        },
    ],
)
def test_of_a_filter(added: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert filters.search_filter(added) == added
    assert filters.criteria(added)["search_filter"] == {"type": "AndFilter", "config": [added]}
    assert data.quick_search(["PSScene"], filters.and_filter(added)).json["filter"]["config"] == [added]
    assert "It is sent as it is." in caplog.text


@pytest.mark.parametrize(
    "misspelt",
    [
        {"type": "rangeFilter", "field_name": "gsd", "config": {"gte": 3}},
        {"type": "RangFilter", "field_name": "gsd", "config": {"gte": 3}},
        {"type": "Moon", "config": 1},
        {"type": "MoonPhaseFilter"},
        {"type": "MoonPhaseFilter", "config": {1, 2}},
        {"type": "RangeFilter", "field_nam": "gsd", "field_name": "gsd", "config": {"gte": 3}},
        {"type": "RangeFilter", "field_name": "gsd", "config": {"gte": 3, "maximum": 4}},
    ],
)
def test_a_misspelt_filter_is_refused(misspelt: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        filters.search_filter(misspelt)


@pytest.mark.parametrize(
    "misspelt",
    [
        {"tool": []},
        {"Tools": []},
        {"clip": {"aoi": {}}},
        {"item_ids": ["a"]},
        {"amazon_s3": S3},
        {"tools": [{"harmonise": {"target_sensor": "Sentinel-2"}}]},
        {"tools": [{"toar": {"scale_facto": 3}}]},
        {"delivery": {"s3": S3}},
        {"delivery": {"amazon-s3": S3}},
        {"delivery": {"bucket": "b"}},
        {"delivery": {"google_earth_engine": {"project": "p", "collection": "c", "bucket": "b"}}},
        {"notifications": {"e_mail": True}},
        {"hosting": {"sentinelhub": {}}},
        {"hosting": {}},
        {"priority": {1, 2}},
    ],
)
def test_a_misspelt_or_misplaced_part_of_an_order_is_refused(misspelt: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        order_request.validate({**REQUEST, **misspelt})
