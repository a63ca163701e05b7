"""Every builder of ``planet.order_request``: the request it builds is accepted and read as it was meant."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from planet import exceptions, order_request, specs
from planet.clients.destinations import DEFAULT_DESTINATION_REF
from sdk import BUNDLE, ITEM_TYPE, Clients, Feature, ids, order_of, unique, until_final
from shapely.geometry import box, mapping, shape

from planet_provider.sandbox import Sandbox

pytest_plugins = ("sdk",)


def inside(feature: Feature) -> dict[str, Any]:
    """A polygon well inside an item."""
    point = shape(feature["geometry"]).representative_point()
    return json.loads(json.dumps(mapping(point.buffer(0.01).envelope)))


TOOLS: dict[str, Callable[[list[Feature]], dict[str, Any]]] = {
    "clip": lambda items: order_request.clip_tool(inside(items[0])),
    "composite": lambda _: order_request.composite_tool("order"),
    "composite by strip": lambda _: order_request.composite_tool("strip_id"),
    "coregister": lambda items: order_request.coregister_tool(items[0]["id"]),
    "COG": lambda _: order_request.file_format_tool("COG"),
    "reproject": lambda _: order_request.reproject_tool("EPSG:4326", resolution=0.0001, kernel="cubic"),
    "tile": lambda _: order_request.tile_tool(
        1232, origin_x=-180, origin_y=-90, name_template="C_{tilex}_{tiley}"
    ),
    "toar": lambda _: order_request.toar_tool(scale_factor=10000),
    "bandmath": lambda _: order_request.band_math_tool("b1", b2="b2*2", pixel_type="32R"),
}

SLOW_TOOLS = {"composite", "composite by strip", "reproject", "tile"}

CLOUDS: dict[str, dict[str, Any]] = {
    "amazon_s3": order_request.amazon_s3("AKIAEXAMPLE", "hush-secret", "bucket", "us-east-2", "folder/"),
    "azure_blob_storage": order_request.azure_blob_storage(
        "account", "container", "hush-secret", "core.windows.net", "folder/"
    ),
    "google_cloud_storage": order_request.google_cloud_storage("bucket", "hush-secret", "folder/"),
    "google_earth_engine": order_request.google_earth_engine("project", "collection"),
    "oracle_cloud_storage": order_request.oracle_cloud_storage(
        "key", "hush-secret", "bucket", "us-sanjose-1", "namespace", "folder/"
    ),
    "s3_compatible": order_request.s3_compatible(
        "https://store.example", "bucket", "region", "key", "hush-secret", True, "folder/"
    ),
}


@pytest.mark.parametrize(
    "name",
    # Rendering these takes seconds.
    [pytest.param(name, marks=pytest.mark.ci if name in SLOW_TOOLS else ()) for name in TOOLS],
)
async def test_tools(clients: Clients, orderable: list[Feature], name: str) -> None:
    tool = TOOLS[name](orderable)
    # An area that misses an item fails the order, so one item is clipped.
    items = orderable[:1] if name == "clip" else orderable[:2]
    order = await clients.orders.create_order(order_of(items, unique(name), tools=[tool]))
    assert order["tools"] == [tool]
    assert await until_final(clients, order["id"]) == "success"
    assert (await clients.orders.get_order(order["id"]))["tools"] == [tool]


def square(x: float, y: float, size: float) -> list[list[float]]:
    return [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]


AREAS: dict[str, tuple[str, Callable[[float, float], list[Any]]]] = {
    "self-intersection": (
        "AOI is invalid: Self-intersection[",
        lambda x, y: [[[[x, y], [x + 0.01, y + 0.01], [x + 0.01, y], [x, y + 0.01], [x, y]]]],
    ),
    "hole before its shell": (
        "AOI is invalid: Hole lies outside shell[",
        lambda x, y: [[square(x + 0.002, y + 0.002, 0.002), square(x, y, 0.01)]],
    ),
    "overlapping parts": (
        "AOI is invalid: Self-intersection[",
        lambda x, y: [[square(x, y, 0.01)], [square(x + 0.005, y + 0.005, 0.01)]],
    ),
    "nested parts": (
        "AOI is invalid: Nested shells[",
        lambda x, y: [[square(x, y, 0.01)], [square(x + 0.002, y + 0.002, 0.002)]],
    ),
    "line": (
        "AOI is invalid: Self-intersection[",
        lambda x, y: [[[[x, y], [x + 0.01, y], [x + 0.02, y], [x, y]]]],
    ),
    "sliver": (
        "AOI is invalid: Sliver",
        lambda x, y: [
            [square(x, y, 0.01)],
            [[[x, y + 1], [x + 1, y + 1], [x + 1, y + 1.000001], [x, y + 1]]],
        ],
    ),
    "too many vertices": (
        "AOI is invalid: 1505 vertices are more than 1500",
        lambda x, y: [
            [
                [
                    *[[x - 0.01, y + step / 1e6] for step in range(1500, 0, -1)],
                    *square(x, y, 0.01)[1:],
                    [x - 0.01, y + 0.0015],
                ]
            ]
        ],
    ),
}


@pytest.mark.parametrize("name", AREAS)
async def test_areas_that_planet_refuses(clients: Clients, orderable: list[Feature], name: str) -> None:
    """In Planet's own words; a search takes the same area."""
    words, coordinates = AREAS[name]
    point = shape(orderable[0]["geometry"]).representative_point()
    parts = coordinates(point.x, point.y)
    kind, nested = ("Polygon", parts[0]) if len(parts) == 1 else ("MultiPolygon", parts)
    area = {"type": kind, "coordinates": nested}
    order = order_of(orderable[:1], unique("refused"), tools=[order_request.clip_tool(area)])
    with pytest.raises(exceptions.BadQuery) as caught:
        await clients.orders.create_order(order)
    [general] = json.loads(str(caught.value))["general"]
    assert general["message"].startswith(f"Unable to accept order: {words}")
    found = [item async for item in clients.data.search([ITEM_TYPE], geometry=area, limit=1)]
    assert len(found) == 1


async def test_toolchain_keeps_its_order(clients: Clients, orderable: list[Feature]) -> None:
    tools = [TOOLS[name](orderable) for name in ("toar", "clip", "reproject", "COG")]
    order = await clients.orders.create_order(order_of(orderable[:1], unique("chain"), tools=tools))
    assert order["tools"] == tools


async def test_harmonize_tool(clients: Clients, scenes: list[Feature]) -> None:
    """The tool is made for surface reflectance; what it worked on carries its name."""
    bundle = "analytic_sr_udm2"
    wanted = specs.PRODUCT_BUNDLES["bundles"][bundle]["assets"][ITEM_TYPE]
    item = next(
        scene
        for scene in scenes
        if {f"assets.{asset}:download" for asset in wanted} <= set(scene["_permissions"])
    )
    tool = order_request.harmonize_tool("sentinel-2")
    order = await clients.orders.create_order(order_of([item], unique("harmonize"), bundle, tools=[tool]))
    assert order["tools"] == [{"harmonize": {"target_sensor": "Sentinel-2"}}]
    assert await until_final(clients, order["id"]) == "success"
    results = (await clients.orders.get_order(order["id"]))["_links"]["results"]
    assert [result["name"] for result in results if "harmonized" in result["name"]]


async def test_file_format_tool_for_nitf(clients: Clients, orderable: list[Feature]) -> None:
    """The sandbox writes no NITF, and says so when the order is placed."""
    tool = order_request.file_format_tool("PL_NITF")
    with pytest.raises(exceptions.BadQuery, match="PL_NITF"):
        await clients.orders.create_order(order_of(orderable[:1], unique("nitf"), tools=[tool]))


async def test_clip_tool_that_misses_the_item(clients: Clients, orderable: list[Feature]) -> None:
    """The order is accepted, fails while it is processed, and says why."""
    west, south = -30.0, -80.0
    area = mapping(box(west, south, west + 0.1, south + 0.1))
    tool = order_request.clip_tool(json.loads(json.dumps(area)))
    order = await clients.orders.create_order(order_of(orderable[:1], unique("miss"), tools=[tool]))
    assert await until_final(clients, order["id"]) == "failed"
    order = await clients.orders.get_order(order["id"])
    assert orderable[0]["id"] in " ".join(order["error_hints"])
    assert not order["_links"]["results"]


async def test_clip_tool_by_feature_reference(clients: Clients, orderable: list[Feature]) -> None:
    """A reference to a feature that the account doesn't have is refused, not ignored."""
    tool = order_request.clip_tool("pl:features/my/no-such/feature")
    assert tool == {"clip": {"aoi": {"type": "ref", "content": "pl:features/my/no-such/feature"}}}
    with pytest.raises(exceptions.BadQuery, match="Unable to accept order"):
        await clients.orders.create_order(order_of(orderable[:1], unique("ref"), tools=[tool]))


async def test_unknown_tool_is_refused_by_the_server(clients: Clients, orderable: list[Feature]) -> None:
    request = order_of(orderable[:1], unique("tool"), tools=[{"sharpen": {}}])
    with pytest.raises(exceptions.BadQuery):
        await clients.orders.create_order(request)


@pytest.mark.parametrize("name", CLOUDS)
async def test_cloud_deliveries(
    clients: Clients, orderable: list[Feature], server: Sandbox, name: str
) -> None:
    """The order says where it is delivered; its credentials never come back."""
    request = order_of(
        orderable[:1], unique(name), delivery=order_request.delivery(cloud_config=CLOUDS[name])
    )
    order = await clients.orders.create_order(request)
    assert json.loads(server.requests[-1].body)["delivery"] == CLOUDS[name]
    assert await until_final(clients, order["id"]) == "success"
    order = await clients.orders.get_order(order["id"])
    assert set(order["delivery"]) == {name}
    assert "hush-secret" not in json.dumps(order)


@pytest.mark.parametrize(
    ("destination", "ref"),
    [
        (order_request.destination("pl:destinations/bucket-1", "folder"), "pl:destinations/bucket-1"),
        (order_request.default_destination("folder"), DEFAULT_DESTINATION_REF),
    ],
)
async def test_destinations(
    clients: Clients, orderable: list[Feature], destination: dict[str, Any], ref: str
) -> None:
    delivery = order_request.delivery(cloud_config=destination)
    order = await clients.orders.create_order(order_of(orderable[:1], unique("dest"), delivery=delivery))
    assert order["delivery"]["destination"] == {"ref": ref, "path_prefix": "folder"}


async def test_archive_delivery(clients: Clients, orderable: list[Feature]) -> None:
    delivery = order_request.delivery("zip", single_archive=True, archive_filename="{{name}}.zip")
    order = await clients.orders.create_order(order_of(orderable[:1], unique("zip"), delivery=delivery))
    assert order["delivery"] == {
        "archive_type": "zip", "single_archive": True, "archive_filename": "{{name}}.zip"
    }  # fmt: skip


async def test_notifications(clients: Clients, orderable: list[Feature], server: Sandbox) -> None:
    notifications = order_request.notifications(
        email=True, webhook_url="http://127.0.0.1:9/hook", webhook_per_order=True
    )
    name = unique("notify")
    order = await clients.orders.create_order(order_of(orderable[:1], name, notifications=notifications))
    assert order["notifications"]["email"] is True
    assert order["notifications"]["webhook"] == {"url": "http://127.0.0.1:9/hook", "per_order": True}
    assert json.loads(server.requests[-1].body)["notifications"] == notifications


async def test_build_request_with_everything(clients: Clients, orderable: list[Feature]) -> None:
    product = order_request.product(sorted(ids(orderable[:3])), BUNDLE.upper(), ITEM_TYPE.lower())
    request = order_request.build_request(
        unique("everything"),
        [product],
        subscription_id=7,
        order_type="partial",
        tools=[order_request.toar_tool()],
        stac={"stac": {}},
        hosting="sentinel_hub",
        collection_id="ba8f7274-aacc-425e-8a38-e21517bfbeff",
    )
    order = await clients.orders.create_order(request)
    for field in ("name", "products", "order_type", "tools", "metadata", "hosting"):
        assert order[field] == request[field], field
    assert order["products"][0]["product_bundle"] == BUNDLE
    assert order["products"][0]["item_type"] == ITEM_TYPE


async def test_hosting_creates_a_configuration(clients: Clients, orderable: list[Feature]) -> None:
    assert order_request.sentinel_hub(create_configuration=True) == {
        "sentinel_hub": {"create_configuration": True}
    }
    request = order_of(orderable[:1], unique("hosting"), hosting="sentinel_hub", create_configuration=True)
    order = await clients.orders.create_order(request)
    assert order["hosting"]["sentinel_hub"]["create_configuration"] is True


async def test_stac_metadata_is_delivered(clients: Clients, orderable: list[Feature]) -> None:
    request = order_of(orderable[:1], unique("stac"), stac={"stac": {}})
    order = await clients.orders.create_order(request)
    await until_final(clients, order["id"])
    results = [
        result["name"] for result in (await clients.orders.get_order(order["id"]))["_links"]["results"]
    ]
    item_id = orderable[0]["id"]
    assert [name for name in results if name.endswith("collection.json")]
    assert [name for name in results if name.endswith((f"{item_id}_metadata.json", f"{item_id}.json"))]


async def test_product_with_fallback_bundles(clients: Clients, scenes: list[Feature]) -> None:
    """A scene without the first bundle's assets is delivered in the second's."""
    bundles = specs.PRODUCT_BUNDLES["bundles"]
    first, second = (set(bundles[name]["assets"][ITEM_TYPE]) for name in ("analytic_8b_udm2", BUNDLE))
    item = next(
        scene
        for scene in scenes
        if second <= set(scene["assets"])
        and not first <= set(scene["assets"])
        and all(f"assets.{asset}:download" in scene["_permissions"] for asset in second)
    )
    product = order_request.product([item["id"]], "analytic_8b_udm2", ITEM_TYPE, fallback_bundle=[BUNDLE])
    assert product["product_bundle"] == f"analytic_8b_udm2,{BUNDLE}"
    order = await clients.orders.create_order(order_request.build_request(unique("fallback"), [product]))
    assert order["products"][0]["product_bundle"] == product["product_bundle"]
    assert await until_final(clients, order["id"]) == "success"
    results = [
        result["name"] for result in (await clients.orders.get_order(order["id"]))["_links"]["results"]
    ]
    files = [name for name in results if item["id"] in name and not name.endswith("_metadata.json")]
    assert len(files) == len(second)


async def test_product_without_its_bundle_is_refused(clients: Clients, scenes: list[Feature]) -> None:
    wanted = set(specs.PRODUCT_BUNDLES["bundles"]["analytic_8b_udm2"]["assets"][ITEM_TYPE])
    item = next(scene for scene in scenes if not wanted <= set(scene["assets"]))
    with pytest.raises(exceptions.BadQuery, match="Unable to accept order"):
        await clients.orders.create_order(order_of([item], unique("lacking"), "analytic_8b_udm2"))


async def test_product_of_an_unknown_item_is_refused(clients: Clients, orderable: list[Feature]) -> None:
    """The error has the form of Planet's: messages by field and in general."""
    request = order_of(orderable[:1], unique("unknown"))
    request["products"][0]["item_ids"].append("20010101_000000_00_0000")
    with pytest.raises(exceptions.BadQuery) as caught:
        await clients.orders.create_order(request)
    answer = json.loads(str(caught.value))
    assert "20010101_000000_00_0000" in answer["field"]["Details"][0]["message"]
    assert answer["general"] == [{"message": "Unable to accept order"}]


async def test_product_of_an_unknown_bundle_is_refused_by_the_sdk(orderable: list[Feature]) -> None:
    with pytest.raises(specs.SpecificationException):
        order_of(orderable[:1], "odd", "no_such_bundle")
