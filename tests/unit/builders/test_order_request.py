from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from planet_provider.builders import order_request, tools
from planet_provider.exceptions import InvalidInputError

REF = "pl:features/my/water-fields-RqB0NZ5/rmQEGqm"
UUID = "396da26c-56ec-415b-8343-9fcbec78c802"
SQUARE = {"type": "Polygon", "coordinates": [[[10, 50], [11, 50], [11, 51], [10, 51], [10, 50]]]}
PRODUCT = {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
REQUEST: dict[str, Any] = {"name": "weekly", "products": [PRODUCT]}
S3 = {
    "aws_access_key_id": "AKIA",
    "aws_secret_access_key": "hunter2",
    "bucket": "b",
    "aws_region": "eu-west-1",
}


def refused(call: Callable[[], Any], field: str, words: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        call()
    assert caught.value.field == field
    assert words in caught.value.remedy
    return caught.value


def changed(**fields: Any) -> dict[str, Any]:
    return copy.deepcopy({**REQUEST, **fields})


def test_items_of_a_search() -> None:
    batch = {"item_type": "PSScene", "item_ids": ["a", "b", "a"], "count": 3}
    expected = {**PRODUCT, "product_bundle": "analytic_udm2,visual"}
    for given_items in (
        {"items": batch},
        {"items": batch, "item_type": "PSScene"},
        {"items": ("a", "b"), "item_type": "PSScene"},
    ):
        built = order_request.build(
            "x", **given_items, product_bundle="analytic_udm2", fallback_bundles="visual"
        )
        assert built == {"name": "x", "products": [expected]}
    assert order_request.product(["a"], "PSScene", "visual", "x, y")["product_bundle"] == "visual,x,y"


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({}, "products", "pass products, or items"),
        ({"items": ["a"], "product_bundle": "visual"}, "item_type", "such as PSScene"),
        ({"items": ["a"], "item_type": "PSScene"}, "product_bundle", "such as analytic_udm2"),
        ({"items": "a", "item_type": "PSScene", "product_bundle": "visual"}, "items", "must be a list"),
        ({"items": {"item_type": "PSScene", "path": "/x.ndjson"}}, "items", "lacks item_ids"),
        ({"items": {"item_type": "PS Scene", "item_ids": ["a"]}}, "items.item_type", "item type"),
        ({"items": {"item_type": "PSScene", "item_ids": []}}, "items.item_ids", "empty"),
        (
            {"items": {"item_type": "PSScene", "item_ids": ["a"]}, "item_type": "REScene"},
            "item_type",
            "differs from that of the items, PSScene",
        ),
        (
            {"items": ["a"], "item_type": "PSScene", "product_bundle": "visual", "fallback_bundles": ["a b"]},
            "fallback_bundles[0]",
            "one product bundle",
        ),
        ({"products": [PRODUCT], "product_bundle": "visual"}, "product_bundle", "leave it out"),
        ({"products": [PRODUCT], "items": ["a"]}, "items", "leave it out"),
        ({"products": PRODUCT}, "products", "must be a list"),
        ({"products": ["a"]}, "products[0]", "dict"),
        ({"products": [PRODUCT], "order_type": ""}, "order_type", "one of full, partial"),
        ({"products": [PRODUCT], "hosting": "aws"}, "hosting", "one of sentinel_hub"),
        ({"products": [PRODUCT], "stac": {"stac": True}}, "stac.stac", "dict"),
        ({"products": [PRODUCT], "source_type": "video"}, "source_type", "one of scenes, basemaps"),
        ({"products": [PRODUCT], "tools": {"toar": {}}}, "tools", "must be a list"),
        ({"products": [PRODUCT], "max_items": 1}, "products", "2 items"),
        (
            {"products": [PRODUCT], "tools": [{"clip": {"aoi": SQUARE}}], "max_vertices": 4},
            "tools[0].clip.aoi.coordinates",
            "4",
        ),
    ],
)
def test_build_refuses_by_name(arguments: dict[str, Any], field: str, words: str) -> None:
    refused(lambda: order_request.build("x", **arguments), field, words)


def test_build_leaves_out_what_is_empty() -> None:
    built = order_request.build(
        "x", products=[PRODUCT], tools=[], delivery={}, notifications={}, stac=False, hosting={}
    )
    assert built == {"name": "x", "products": [PRODUCT]}


def test_build_takes_shorthands(tmp_path: Path) -> None:
    (tmp_path / "aoi.geojson").write_text(
        json.dumps({"type": "Feature", "properties": {}, "geometry": SQUARE})
    )
    built = order_request.build(
        "x",
        products=[MappingProxyType(PRODUCT)],
        tools=[{"toar": {}}, {"clip": {"aoi": str(tmp_path / "aoi.geojson")}}],
        hosting="sentinel_hub",
        stac=True,
        source_type="scenes",
    )
    assert built == {
        "name": "x",
        "products": [PRODUCT],
        "tools": [{"toar": {}}, {"clip": {"aoi": SQUARE}}],
        "hosting": {"sentinel_hub": {}},
        "metadata": {"stac": {}},
        "source_type": "scenes",
    }


def test_build_copies_what_it_was_given() -> None:
    given_products, given_delivery = [copy.deepcopy(PRODUCT)], {"amazon_s3": dict(S3)}
    built = order_request.build("x", products=given_products, delivery=given_delivery)
    built["products"][0]["item_ids"].append("c")
    built["delivery"]["amazon_s3"].clear()
    assert given_products == [PRODUCT]
    assert given_delivery == {"amazon_s3": S3}


def basemaps(*products: Any) -> dict[str, Any]:
    return {"name": "x", "source_type": "basemaps", "products": list(products)}


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        changed(source_type="scenes", order_type="partial", subscription_id=7, metadata={"stac": {}}),
        changed(notifications={"email": True, "webhook": {"url": "http://h:1/x", "per_order": False}}),
        changed(delivery={"archive_type": "zip"}),
        changed(hosting={"sentinel_hub": {"collection_id": UUID, "create_configuration": False}}),
        changed(tools=[{"clip": {"aoi": {"type": "ref", "content": REF}}}]),
        basemaps({"mosaic_name": "global_monthly_2024_01_mosaic", "quad_ids": ["1-2"]}),
        {**basemaps({"mosaic_name": "m", "geometry": SQUARE}), "tools": [{"merge": {}}, {"clip": {}}]},
    ],
)
def test_validate_takes(request_: dict[str, Any]) -> None:
    before = copy.deepcopy(request_)
    order_request.validate(request_)
    assert request_ == before


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        ("{}", "request", "dict"),
        ({}, "request", "lacks name, products"),
        (changed(tool=[]), "request", "tool is not known here"),
        (changed(name=" "), "name", "not empty"),
        (changed(products=[]), "products", "empty"),
        (changed(products=["a"]), "products[0]", "dict"),
        (changed(products=[{**PRODUCT, "items": 1}]), "products[0]", "items is not known"),
        (changed(products=[PRODUCT, {**PRODUCT, "item_ids": "a"}]), "products[1].item_ids", "must be a list"),
        (changed(products=[{**PRODUCT, "item_ids": ["a/b"]}]), "products[0].item_ids[0]", "item id"),
        (
            changed(products=[{**PRODUCT, "item_ids": ["a", "b", "a"]}]),
            "products[0].item_ids",
            "more than once",
        ),
        (changed(products=[{**PRODUCT, "item_type": None}]), "products[0].item_type", "PSScene"),
        (changed(products=[{**PRODUCT, "product_bundle": ""}]), "products[0].product_bundle", "not empty"),
        (
            changed(products=[{**PRODUCT, "product_bundle": "a,,b"}]),
            "products[0].product_bundle",
            "one product",
        ),
        (changed(order_type="FULL"), "order_type", "one of full, partial"),
        (changed(source_type=None), "source_type", "one of scenes"),
        (changed(subscription_id="7"), "subscription_id", "whole number"),
        (changed(metadata={}), "metadata", "lacks stac"),
        (changed(notifications={"mail": True}), "notifications", "mail is not known"),
        (changed(notifications={"email": "yes"}), "notifications.email", "true or false"),
        (changed(notifications={"webhook": {}}), "notifications.webhook", "lacks url"),
        (changed(notifications={"webhook": {"url": 3}}), "notifications.webhook.url", "string"),
        (
            changed(notifications={"webhook": {"url": "http://h", "per_order": 1}}),
            "notifications.webhook.per_order",
            "true or false",
        ),
        (changed(hosting="sentinel_hub"), "hosting", "dict"),
        (changed(hosting={"sentinel_hub": {"id": UUID}}), "hosting.sentinel_hub", "id is not known"),
        (
            changed(hosting={"sentinel_hub": {"collection_id": "x"}}),
            "hosting.sentinel_hub.collection_id",
            "UUID",
        ),
        (
            changed(hosting={"sentinel_hub": {"create_configuration": 1}}),
            "hosting.sentinel_hub.create_configuration",
            "true or false",
        ),
        (
            changed(hosting={"sentinel_hub": {"collection_id": UUID, "create_configuration": True}}),
            "hosting.sentinel_hub.create_configuration",
            "new collection",
        ),
        (
            {**basemaps({"mosaic_name": "m", "quad_ids": ["1-2"]}), "tools": [{"clip": {}}]},
            "tools.clip",
            "needs an aoi",
        ),
        (changed(tools=[{"clip": {}}]), "tools[0].clip", "lacks aoi"),
        (basemaps(PRODUCT), "products[0]", "lacks mosaic_name"),
        (basemaps({"mosaic_name": ""}), "products[0].mosaic_name", "not empty"),
        (basemaps({"mosaic_name": "m"}), "products[0]", "either quad_ids or a geometry"),
        (basemaps({"mosaic_name": "m", "quad_ids": []}), "products[0].quad_ids", "empty"),
        (basemaps({"mosaic_name": "m", "geometry": "aoi.geojson"}), "products[0].geometry", "dict"),
        (basemaps({"mosaic_name": "m", "geometry": {}}), "products[0].geometry.type", "one of"),
        (
            basemaps({"mosaic_name": "m", "geometry": {"type": "Feature", "geometry": SQUARE}}),
            "products[0].geometry.type",
            "one of Polygon, MultiPolygon, ref",
        ),
    ],
)
def test_validate_refuses_by_name(request_: Any, field: str, words: str) -> None:
    refused(lambda: order_request.validate(request_), field, words)


def test_validate_bounds_the_vertices_of_areas() -> None:
    for request in (
        changed(tools=[{"clip": {"aoi": SQUARE}}]),
        basemaps({"mosaic_name": "m", "geometry": SQUARE}),
    ):
        order_request.validate(request, max_vertices=5)
        with pytest.raises(InvalidInputError, match="more vertices than the 4"):
            order_request.validate(request, max_vertices=4)


def test_validate_shows_which_items_are_repeated() -> None:
    request = changed(products=[{**PRODUCT, "item_ids": ["a", "b", "a", "c", "c"]}])
    error = refused(lambda: order_request.validate(request), "products[0].item_ids", "more than once")
    assert error.value == "['a', 'c']"


def test_validate_counts_the_items_of_all_products() -> None:
    halves = [{**PRODUCT, "item_ids": [f"{part}{index}" for index in range(250)]} for part in "ab"]
    order_request.validate(changed(products=halves))
    refused(lambda: order_request.validate(changed(products=[*halves, PRODUCT])), "products", "502 items")
    order_request.validate(changed(products=[*halves, PRODUCT]), max_items=502)


@pytest.mark.parametrize(
    ("tool", "field", "words"),
    [
        ("toar", "tools[0]", "dict"),
        ({}, "tools[0]", "must name one tool"),
        ({"toar": {}, "clip": {}}, "tools[0]", "an entry of its own"),
        ({"clp": {}}, "tools[0]", "must be one of bandmath, clip"),
        ({"Clip": {}}, "tools[0]", "did you mean clip?"),
        ({"sharpen it": {}}, "tools[0]", "must be one of bandmath, clip"),
        ({"sharpen": []}, "tools[0].sharpen", "must be an object"),
        ({"sharpen": {"at": {1, 2}}}, "tools[0].sharpen", "must be JSON"),
        ({"toar": {"tile_size": 3}}, "tools[0].toar", "tile_size is not known"),
        ({"file_format": "COG"}, "tools[0].file_format", "dict"),
        ({"file_format": {"format": "cog"}}, "tools[0].file_format.format", "one of COG, PL_NITF"),
        ({"clip": {}}, "tools[0].clip", "lacks aoi"),
        ({"clip": {"aoi": "aoi.geojson"}}, "tools[0].clip.aoi", "dict"),
        ({"clip": {"aoi": {"type": "Point"}}}, "tools[0].clip.aoi.type", "one of Polygon, MultiPolygon, ref"),
        ({"clip": {"aoi": {"type": "Polygon"}}}, "tools[0].clip.aoi.coordinates", "must be a list"),
        ({"coregister": {"anchor_item": ""}}, "tools[0].coregister.anchor_item", "item id"),
        ({"reproject": {"projection": "epsg:4326"}}, "tools[0].reproject.projection", "EPSG:32611"),
        ({"reproject": {"projection": 4326}}, "tools[0].reproject.projection", "EPSG:32611"),
        (
            {"reproject": {"projection": "EPSG:1", "resolution": 0}},
            "tools[0].reproject.resolution",
            "greater than 0",
        ),
        (
            {"reproject": {"projection": "EPSG:1", "kernel": "sinc"}},
            "tools[0].reproject.kernel",
            "one of near",
        ),
        ({"tile": {"tile_size": 0}}, "tools[0].tile.tile_size", "greater than 0"),
        (
            {"tile": {"tile_size": 9, "name_template": "{tilex}"}},
            "tools[0].tile.name_template",
            "lacks {tiley}",
        ),
        ({"toar": {"factor": 1}}, "tools[0].toar", "factor is not known"),
        ({"bandmath": {"b1": "b1", "b3": "b2"}}, "tools[0].bandmath", "from b1 to b2, without a gap"),
        ({"bandmath": {"b1": ""}}, "tools[0].bandmath.b1", "not empty"),
        ({"bandmath": {"b1": "b1", "b16": "b1"}}, "tools[0].bandmath", "b16 is not known"),
    ],
)
def test_tool_refused_by_name(tool: Any, field: str, words: str) -> None:
    refused(lambda: order_request.validate(changed(tools=[tool])), field, words)


def test_tool_builders_refuse_by_name() -> None:
    refused(tools.bandmath, "bandmath", "lacks b1")
    refused(lambda: tools.bandmath(*["b1"] * 16), "bandmath", "than the 15")
    refused(lambda: tools.clip({"type": "Point", "coordinates": [1, 2]}), "clip.aoi.type", "Polygon")
    refused(lambda: tools.clip(SQUARE, max_vertices=4), "clip.aoi.coordinates", "4")
    refused(lambda: tools.normalized({"clip": {}}, "tools[2]"), "tools[2].clip", "lacks aoi")


def test_a_projection_by_its_name() -> None:
    assert tools.reproject("WGS84") == {"reproject": {"projection": "WGS84"}}
