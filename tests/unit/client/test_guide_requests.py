"""Each part of an order's request, built here and accepted by the sandbox."""

from __future__ import annotations

import json
from typing import Any

import pytest
from shapely.geometry import mapping, shape

from client_support import ORDERABLE, session_of
from planet_provider.builders import (
    delivery,
    filters,
    order_options,
    order_request,
    tools,
)
from planet_provider.client.api import data, orders
from planet_provider.client.parse import JSONObject
from planet_provider.sandbox import Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

SECRET = "hush-secret"

#: Scenes of San Francisco: none of them lies over the antimeridian, where half an item is no box.
THERE = filters.and_filter(
    ORDERABLE,
    filters.geometry_filter(
        {"type": "Point", "coordinates": [-122.435, 37.75]},
    ),
)
CLOUDS = [
    delivery.amazon_s3(
        aws_access_key_id="id", aws_secret_access_key=SECRET, bucket="b", aws_region="us-west-2"
    ),
    delivery.azure_blob_storage(account="a", container="c", sas_token=SECRET),
    delivery.google_cloud_storage(bucket="b", credentials=SECRET),
    delivery.google_earth_engine(project="p", collection="c"),
    delivery.oracle_cloud_storage(
        customer_access_key_id="id",
        customer_secret_key=SECRET,
        bucket="b",
        region="us-sanjose-1",
        namespace="n",
    ),
    delivery.s3_compatible(
        endpoint="https://s3.example.com",
        bucket="b",
        region="r",
        access_key_id="id",
        secret_access_key=SECRET,
    ),
]


def clip_of(item: JSONObject) -> Any:
    """The inner half of an item."""
    footprint = shape(item["geometry"])
    return json.loads(json.dumps(mapping(footprint.centroid.buffer(footprint.length / 30).envelope)))


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"name": "June, A/B"}, marks=pytest.mark.guide("order-request-name")),
        pytest.param({"fallback_bundles": ["visual"]}, marks=pytest.mark.guide("order-request-fallback")),
        pytest.param(
            {"delivery": delivery.zip_archive(single_archive=True)},
            marks=pytest.mark.guide("order-request-archive"),
        ),
        pytest.param(
            {"delivery": delivery.destination()}, marks=pytest.mark.guide("order-request-destination")
        ),
        pytest.param(
            {
                "notifications": order_options.notifications(
                    email=True, webhook_url="https://example.com/hook"
                )
            },
            marks=pytest.mark.guide("order-request-notifications"),
        ),
        pytest.param({"order_type": "partial"}, marks=pytest.mark.guide("order-request-type")),
        pytest.param({"stac": order_options.stac_metadata()}, marks=pytest.mark.guide("order-request-stac")),
        pytest.param(
            {"hosting": order_options.sentinel_hub(create_configuration=True)},
            marks=pytest.mark.guide("order-request-hosting"),
        ),
        pytest.param({"tools": [clip_of]}, marks=pytest.mark.guide("order-tool-clip")),
        pytest.param(
            {"tools": [tools.composite("strip_id")]}, marks=pytest.mark.guide("order-tool-composite")
        ),
        pytest.param({"tools": ["coregister"]}, marks=pytest.mark.guide("order-tool-coregister")),
        pytest.param(
            {"tools": [tools.file_format("COG")]}, marks=pytest.mark.guide("order-tool-file-format")
        ),
        pytest.param(
            {"tools": [tools.reproject("EPSG:4326", kernel="cubic")]},
            marks=pytest.mark.guide("order-tool-reproject"),
        ),
        pytest.param({"tools": [tools.tile(64)]}, marks=pytest.mark.guide("order-tool-tile")),
        pytest.param({"tools": [tools.toar(10000)]}, marks=pytest.mark.guide("order-tool-toar")),
        pytest.param(
            {"tools": [tools.harmonize("Sentinel-2")], "product_bundle": "analytic_sr_udm2"},
            marks=pytest.mark.guide("order-tool-harmonize"),
        ),
        pytest.param(
            {"tools": [tools.bandmath("b1", "(b4-b3)/(b4+b3)", pixel_type="32R")]},
            marks=pytest.mark.guide("order-tool-bandmath"),
        ),
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_part_of_an_order_request(planet_sandbox: Sandbox, given: dict[str, Any]) -> None:
    with session_of(planet_sandbox) as session:
        [item] = session.send(data.quick_search(["PSScene"], THERE, page_size=1))
        items = {"item_type": "PSScene", "item_ids": [item["id"]]}
        given = {"name": "guide", "product_bundle": "analytic_udm2", **given}
        made = {
            clip_of: lambda: tools.clip(clip_of(item)),
            "coregister": lambda: tools.coregister(item["id"]),
        }
        if "tools" in given:
            given["tools"] = [tool if isinstance(tool, dict) else made[tool]() for tool in given["tools"]]
        request = order_request.build(items=items, **given)
        order = session.send(orders.create(request))
        sent = json.loads(planet_sandbox.requests[-1].body)
        planet_sandbox.clock.advance(3600)
        ended = session.send(orders.get(order["id"]))
    assert sent == request
    assert ended["name"] == given["name"]
    assert (ended["state"], ended["error_hints"]) == ("success", [])
    for part in ("tools", "order_type", "hosting"):
        if part in given:
            assert ended[part] == given[part]


@pytest.mark.guide("order-request-products")
@pytest.mark.guide("order-create")
@pytest.mark.guide("order-get")
def test_several_products(planet_sandbox: Sandbox) -> None:
    with session_of(planet_sandbox) as session:
        found = session.send(data.quick_search(["PSScene"], THERE, page_size=2))
        products = [
            order_request.product([item["id"]], "PSScene", bundle)
            for item, bundle in zip(found, ("visual", "analytic_udm2"), strict=True)
        ]
        order = session.send(orders.create(order_request.build("two", products=products)))
        assert session.send(orders.get(order["id"]))["products"] == products


@pytest.mark.guide("order-request-delivery")
@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: next(iter(cloud)))
def test_a_delivery_into_a_cloud(planet_sandbox: Sandbox, cloud: dict[str, Any]) -> None:
    with session_of(planet_sandbox) as session:
        [item] = session.send(data.quick_search(["PSScene"], THERE, page_size=1))
        items = {"item_type": "PSScene", "item_ids": [item["id"]]}
        request = order_request.build("cloud", items=items, product_bundle="visual", delivery=cloud)
        order = session.send(orders.create(request))
        planet_sandbox.clock.advance(3600)
        order = session.send(orders.get(order["id"]))
    assert (order["state"], set(order["delivery"])) == ("success", set(cloud))
    assert SECRET not in json.dumps(order), "Planet never gives credentials back"
