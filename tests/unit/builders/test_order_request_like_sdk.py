from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import planet.exceptions
import planet.order_request as sdk
import planet.specs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.builders import (
    delivery as order_delivery,
)
from planet_provider.builders import (
    order_options,
    order_request,
)
from planet_provider.builders import (
    tools as order_tools,
)
from planet_provider.exceptions import InvalidInputError

BUNDLES = ("analytic_udm2", "analytic_8b_sr_udm2", "visual")
ITEM_TYPES = ("PSScene", "SkySatCollect")
REF = "pl:features/my/water-fields-RqB0NZ5/rmQEGqm"
UUID = "396da26c-56ec-415b-8343-9fcbec78c802"
PRODUCT = {"item_ids": ["a", "b"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
POINT = {"type": "Point", "coordinates": [1, 2]}


@pytest.fixture(scope="module", autouse=True)
def _bundles_spec() -> Iterator[None]:
    """What the SDK would fetch before it builds a product."""
    assets = {name: {"assets": {item_type: ["x"] for item_type in ITEM_TYPES}} for name in BUNDLES}
    cache = {"bundles": assets, "bundle_names": assets.keys(), "item_types": set(ITEM_TYPES)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planet.specs.PRODUCT_BUNDLES, "cache", cache, raising=False)
        yield


Pair = tuple[Any, Any]
word = st.text("abcXYZ019-_", min_size=1, max_size=12).filter(lambda text: text[0].isalnum())
size = st.floats(0.0001, 1e6) | st.integers(1, 10_000)
flags = st.booleans()


def drawn_options(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


def same(ours: Callable[..., Any], theirs: Callable[..., Any], options: Any) -> st.SearchStrategy[Pair]:
    return options.map(lambda drawn: (ours(**drawn), theirs(**drawn)))


def product_of(drawn: tuple[list[str], str, str, Any]) -> Pair:
    ids, item_type, bundle, fallbacks = drawn
    return (
        order_request.product(ids, item_type, bundle, fallbacks),
        sdk.product(ids, bundle, item_type, fallbacks),
    )


def band_math_of(drawn: tuple[list[str], str]) -> Pair:
    bands, pixel_type = drawn
    named = {f"b{index}": band for index, band in enumerate(bands, 1)}
    return order_tools.bandmath(*bands, pixel_type=pixel_type), sdk.band_math_tool(
        **named, pixel_type=pixel_type
    )


products = st.tuples(
    st.lists(word, min_size=1, max_size=8, unique=True),
    st.sampled_from(ITEM_TYPES),
    st.sampled_from(BUNDLES),
    st.none()
    | st.lists(st.sampled_from(BUNDLES), min_size=1, max_size=3)
    | st.sampled_from(["visual", "visual,analytic_udm2"]),
).map(product_of)

tools = st.one_of(
    st.tuples(st.floats(-170, 170), st.floats(-80, 80), st.floats(0.001, 9))
    .map(
        lambda box: {
            "type": "Polygon",
            "coordinates": [
                [[box[0], box[1]], [box[0] + box[2], box[1]], [box[0], box[1] + box[2]], list(box[:2])]
            ],
        }
    )
    .map(lambda shape: (order_tools.clip(shape), sdk.clip_tool(shape))),
    st.just((order_tools.clip(REF), sdk.clip_tool(REF))),  # type: ignore[arg-type]
    same(
        order_tools.composite,
        sdk.composite_tool,
        drawn_options({}, {"group_by": st.sampled_from(order_tools.GROUPINGS)}),
    ),
    same(order_tools.coregister, sdk.coregister_tool, drawn_options({"anchor_item": word}, {})),
    same(
        order_tools.file_format,
        sdk.file_format_tool,
        drawn_options({"file_format": st.sampled_from(["COG", "PL_NITF", "cog", "Pl_Nitf"])}, {}),
    ),
    same(
        order_tools.reproject,
        sdk.reproject_tool,
        drawn_options(
            {"projection": st.integers(1, 99999).map(lambda code: f"EPSG:{code}")},
            {"resolution": size, "kernel": st.sampled_from(order_tools.KERNELS)},
        ),
    ),
    same(
        order_tools.tile,
        sdk.tile_tool,
        drawn_options(
            {"tile_size": st.integers(1, 10_000)},
            {
                "origin_x": st.floats(1, 1e6),
                "origin_y": st.floats(-1e6, -1),
                "pixel_size": size,
                "name_template": st.just("{tilex:04d}_{tiley:04d}.tif"),
                "conformal_x_scaling": st.just(True),
            },
        ),
    ),
    same(order_tools.toar, sdk.toar_tool, drawn_options({}, {"scale_factor": st.integers(1, 70_000)})),
    same(
        order_tools.harmonize,
        sdk.harmonize_tool,
        drawn_options({"target_sensor": st.sampled_from(["Sentinel-2", "sentinel-2"])}, {}),
    ),
    st.tuples(
        st.lists(st.sampled_from(["b1", "arctan(b1)", "(b4 - b3) / (b4 + b3)"]), min_size=1, max_size=15),
        st.sampled_from([*order_tools.PIXEL_TYPES, "auto", "8u"]),
    ).map(band_math_of),
)

prefix = {"path_prefix": word}
clouds = st.one_of(
    same(
        order_delivery.amazon_s3,
        sdk.amazon_s3,
        drawn_options(
            dict.fromkeys(("aws_access_key_id", "aws_secret_access_key", "bucket", "aws_region"), word),
            prefix,
        ),
    ),
    same(
        order_delivery.azure_blob_storage,
        sdk.azure_blob_storage,
        drawn_options(
            dict.fromkeys(("account", "container", "sas_token"), word),
            {**prefix, "storage_endpoint_suffix": word},
        ),
    ),
    same(
        order_delivery.google_cloud_storage,
        sdk.google_cloud_storage,
        drawn_options(dict.fromkeys(("bucket", "credentials"), word), prefix),
    ),
    same(
        order_delivery.google_earth_engine,
        sdk.google_earth_engine,
        drawn_options(dict.fromkeys(("project", "collection"), word), {}),
    ),
    same(
        order_delivery.oracle_cloud_storage,
        sdk.oracle_cloud_storage,
        drawn_options(
            dict.fromkeys(
                ("customer_access_key_id", "customer_secret_key", "bucket", "region", "namespace"), word
            ),
            prefix,
        ),
    ),
    same(
        order_delivery.s3_compatible,
        sdk.s3_compatible,
        drawn_options(
            dict.fromkeys(("endpoint", "bucket", "region", "access_key_id", "secret_access_key"), word),
            {**prefix, "use_path_style": flags},
        ),
    ),
    st.tuples(word, st.none() | word).map(
        lambda drawn: (
            order_delivery.destination(f"pl:destinations/{drawn[0]}", path_prefix=drawn[1]),
            sdk.destination(f"pl:destinations/{drawn[0]}", drawn[1]),
        )
    ),
    (st.none() | word).map(
        lambda drawn: (order_delivery.destination(path_prefix=drawn), sdk.default_destination(drawn))
    ),
)
archives = drawn_options(
    {}, {"single_archive": flags, "archive_filename": word.map(lambda text: f"{text}.zip")}
)
deliveries = st.one_of(
    clouds.map(lambda cloud: (order_delivery.delivery(cloud[0]), sdk.delivery(cloud_config=cloud[1]))),
    archives.map(lambda drawn: (order_delivery.zip_archive(**drawn), sdk.delivery("zip", **drawn))),
    st.tuples(archives, clouds).map(
        lambda drawn: (
            order_delivery.delivery(order_delivery.zip_archive(**drawn[0]), drawn[1][0]),
            sdk.delivery("zip", **drawn[0], cloud_config=drawn[1][1]),
        )
    ),
)
notices = same(
    order_options.notifications,
    sdk.notifications,
    drawn_options(
        {"webhook_url": st.just("https://example.com/hook?key=1")},
        {"webhook_per_order": flags, "email": flags},
    )
    | drawn_options({}, {"email": flags}),
)
hostings = same(
    order_options.sentinel_hub,
    sdk.sentinel_hub,
    drawn_options({}, {"collection_id": st.just(UUID)}) | drawn_options({}, {"create_configuration": flags}),
)


@given(st.one_of(products, tools, clouds, deliveries, notices, hostings))
def test_each_part_is_the_same_json_as_the_sdks(pair: Pair) -> None:
    assert pair[0] == pair[1]


def test_the_sdk_has_no_builder_that_is_not_compared() -> None:
    theirs = {
        name
        for name, value in vars(sdk).items()
        if inspect.isfunction(value) and value.__module__ == sdk.__name__ and not name.startswith("_")
    }
    assert len(theirs) == 22
    source = Path(__file__).read_text(encoding="utf-8").partition("# Where we part " + "from the SDK")[0]
    assert {name for name in theirs if f"sdk.{name}" not in source} == set()


nothing: Pair = (None, None)


@pytest.mark.guide("order-request")
@given(
    word,
    st.lists(products, min_size=1, max_size=3),
    st.lists(tools, max_size=3),
    st.just(nothing) | deliveries,
    st.just(nothing) | notices,
    st.sampled_from([None, "full", "partial", "PARTIAL"]),
    st.booleans(),
    st.sampled_from([None, {}, {"collection_id": UUID}, {"create_configuration": True}]),
    st.none() | st.integers(1, 10**9),
)
def test_the_whole_request_is_the_same_json_as_the_sdks(
    name: str,
    products: list[Pair],
    tools: list[Pair],
    delivery: Pair,
    notices: Pair,
    order_type: str | None,
    stac: bool,
    hosting: dict[str, Any] | None,
    subscription_id: int | None,
) -> None:
    ours = order_request.build(
        name,
        products=[each[0] for each in products],
        tools=[each[0] for each in tools],
        delivery=delivery[0],
        notifications=notices[0],
        order_type=order_type,
        stac=stac,
        hosting=hosting if hosting is None else order_options.sentinel_hub(**hosting),
        subscription_id=subscription_id,
    )
    theirs = sdk.build_request(
        name,
        [each[1] for each in products],
        subscription_id=subscription_id or 0,
        delivery=delivery[1],
        notifications=notices[1],
        order_type=order_type,
        tools=[each[1] for each in tools],
        stac={"stac": {}} if stac else None,
        hosting=None if hosting is None else "sentinel_hub",
        **(hosting or {}),
    )
    assert ours == theirs
    assert json.loads(json.dumps(ours)) == ours
    order_request.validate(theirs)


# Where we part from the SDK: it drops without a word what does not fit or is 0, we send or refuse it.
def test_zero_is_sent_where_the_sdk_drops_it() -> None:
    assert order_tools.tile(8, origin_x=0, conformal_x_scaling=False) == {
        "tile": {"tile_size": 8, "origin_x": 0, "conformal_x_scaling": False}
    }
    assert sdk.tile_tool(8, origin_x=0, conformal_x_scaling=False) == {"tile": {"tile_size": 8}}


def test_repeated_items_are_ordered_once_where_the_sdk_sends_them_all() -> None:
    assert order_request.product(["b", "a", "b"], "PSScene", "visual")["item_ids"] == ["b", "a"]
    assert sdk.product(["b", "a", "b"], "visual", "PSScene")["item_ids"] == ["b", "a", "b"]


def test_capitals_are_left_alone_where_the_sdk_mends_them_from_its_spec() -> None:
    assert order_request.product(["a"], "psscene", "VISUAL")["item_type"] == "psscene"
    assert sdk.product(["a"], "VISUAL", "psscene")["item_type"] == "PSScene"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda: order_delivery.delivery({"archive_filename": "x.zip"}),
            lambda: sdk.delivery(archive_filename="x.zip"),
        ),
        (
            lambda: order_options.notifications(webhook_per_order=True),
            lambda: sdk.notifications(webhook_per_order=True),
        ),
        (
            lambda: order_options.sentinel_hub(collection_id=UUID, create_configuration=True),
            lambda: sdk.sentinel_hub(UUID, True),
        ),
        (
            lambda: order_request.build("x", products=[PRODUCT], hosting="aws"),
            lambda: sdk.build_request("x", [], hosting="aws"),
        ),
        (lambda: order_request.build("x", products=[]), lambda: sdk.build_request("x", [])),
        (
            lambda: order_request.build("x", products=[PRODUCT], subscription_id=0),
            lambda: sdk.build_request("x", [PRODUCT]),
        ),
        (lambda: order_delivery.destination("mine"), lambda: sdk.destination("mine")),
        (lambda: order_tools.reproject("web mercator"), lambda: sdk.reproject_tool("web mercator")),
        (lambda: order_tools.toar(-1), lambda: sdk.toar_tool(-1)),
        (
            lambda: order_tools.tile(8, name_template="{tilex}.tif"),
            lambda: sdk.tile_tool(8, name_template="x"),
        ),
    ],
)
def test_stricter_than_the_sdk(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    theirs()
    with pytest.raises(InvalidInputError):
        ours()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda: order_tools.clip(POINT), lambda: sdk.clip_tool(POINT)),
        (lambda: order_tools.composite("item"), lambda: sdk.composite_tool("item")),
        (lambda: order_tools.file_format("JPEG"), lambda: sdk.file_format_tool("JPEG")),
        (lambda: order_tools.harmonize("PS2"), lambda: sdk.harmonize_tool("PS2")),
        (
            lambda: order_tools.bandmath("b1", pixel_type="64R"),
            lambda: sdk.band_math_tool("b1", pixel_type="64R"),
        ),
        (
            lambda: order_request.build("x", products=[PRODUCT], order_type="most"),
            lambda: sdk.build_request("x", [], order_type="most"),
        ),
        (lambda: order_delivery.delivery({"archive_type": "tar"}), lambda: sdk.delivery("tar")),
    ],
)
def test_refused_as_by_the_sdk(ours: Callable[[], Any], theirs: Callable[[], Any]) -> None:
    with pytest.raises((planet.exceptions.ClientError, planet.specs.SpecificationException)):
        theirs()
    with pytest.raises(InvalidInputError):
        ours()
