"""Delivery of orders: names, tools, digests, manifests and archives."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planet import order_request
from rasterio.io import DatasetReader, MemoryFile
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping, shape

from planet_provider.sandbox import bandmath, bundles, products
from planet_provider.sandbox.assets import ASSETS, with_suffix
from planet_provider.sandbox.catalogue import Catalogue, Item
from planet_provider.sandbox.products import DeliveredFile, ProductError
from planet_provider.sandbox.warp import MAX_EDGE

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc)
CATALOGUE = Catalogue(seed=5, items=900, now=NOW)
AREA = box(-122.47, 37.73, -122.40, 37.78)
CLIP = {"clip": {"aoi": mapping(AREA)}}
OVER_AREA = sorted(
    (
        item
        for item in CATALOGUE
        if item.item_type == "PSScene"
        and item.shape.contains(AREA)
        and item.permissions
        and "ortho_analytic_8b_sr" in item.assets
        and item.properties["cloud_cover"] < 0.1
    ),
    key=lambda item: item.id,
)
ONE, TWO = OVER_AREA[:2]

Read = Callable[[bytes], tuple[DatasetReader, Any]]


@pytest.fixture
def read() -> Iterator[Read]:
    """Open files from memory, and keep them open until the test ends."""
    with ExitStack() as stack:

        def open_content(content: bytes) -> tuple[DatasetReader, Any]:
            image = stack.enter_context(stack.enter_context(MemoryFile(content)).open())
            return image, image.read()

        yield open_content


def order(
    *items: Item, bundle: str = "analytic_8b_sr_udm2", tools: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    item_ids = [item.id for item in items]
    product = {"item_type": items[0].item_type, "item_ids": item_ids, "product_bundle": bundle}
    return {"name": "an order", "products": [product], "tools": tools or [], **more}


def deliver(*items: Item, pixels: int = 128, **request: Any) -> dict[str, DeliveredFile]:
    files = products.deliver(order(*items, **request), CATALOGUE, pixels=pixels)
    assert len({file.path for file in files}) == len(files)
    for file in files:
        path = PurePosixPath(file.path)
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert hashlib.md5(file.content).hexdigest() == file.md5
        assert hashlib.sha256(file.content).hexdigest() == file.sha256
    return {file.path: file for file in files}


def test_a_plain_order_has_planets_names_and_annotations() -> None:
    files = deliver(ONE)
    stem = f"PSScene/{ONE.id}"
    assert list(files) == [
        f"{stem}_metadata.json",
        f"{stem}_3B_AnalyticMS_SR_8b.tif",
        f"{stem}_3B_AnalyticMS_8b_metadata.xml",
        f"{stem}_3B_udm2.tif",
    ]
    assert files[f"{stem}_3B_udm2.tif"].annotations == {
        "planet/asset_type": "ortho_udm2",
        "planet/bundle_type": "analytic_8b_sr_udm2",
        "planet/item_id": ONE.id,
        "planet/item_type": "PSScene",
    }
    assert files[f"{stem}_metadata.json"].annotations == {
        "planet/item_id": ONE.id,
        "planet/item_type": "PSScene",
    }
    metadata = json.loads(files[f"{stem}_metadata.json"].content)
    assert metadata["properties"] == ONE.properties
    assert metadata["geometry"] == ONE.geometry


@pytest.mark.slow
@pytest.mark.parametrize(
    ("item_type", "bundle"),
    [(item_type, name) for name, bundle in bundles.BUNDLES.items() for item_type in bundle.assets],
)
def test_every_bundle_can_be_delivered(item_type: str, bundle: str) -> None:
    item = next(
        item
        for item in CATALOGUE
        if item.item_type == item_type and item.permissions and bundles.supports(item, bundle)
    )
    files = deliver(item, bundle=bundle, pixels=48)
    delivered = [
        file.annotations["planet/asset_type"] for file in files.values() if "metadata.json" not in file.path
    ]
    assert delivered == bundles.assets_for(item_type, bundle)


def test_two_products_of_one_item_share_their_metadata() -> None:
    request = order(ONE)
    request["products"] += order(ONE, bundle="visual")["products"]
    paths = [file.path for file in products.deliver(request, CATALOGUE, pixels=48)]
    assert len(paths) == len(set(paths)) == 5


def test_clip_crops_masks_and_renames(read: Read) -> None:
    files = deliver(ONE, tools=[CLIP])
    stem = f"PSScene/{ONE.id}_3B"
    assert {
        f"{stem}_AnalyticMS_SR_8b_clip.tif",
        f"{stem}_udm2_clip.tif",
        f"{stem}_AnalyticMS_8b_metadata_clip.xml",
    } < set(files)
    triangle = {
        "type": "Polygon",
        "coordinates": [[[-122.47, 37.73], [-122.40, 37.73], [-122.40, 37.78], [-122.47, 37.73]]],
    }
    image, whole = read(files[f"{stem}_AnalyticMS_SR_8b_clip.tif"].content)
    bounds = box(*transform_bounds(image.crs, "EPSG:4326", *image.bounds))
    assert AREA.buffer(1e-9).within(bounds)
    assert bounds.area < 1.3 * AREA.area
    half = deliver(ONE, tools=[{"clip": {"aoi": triangle}}])
    _, masked = read(half[f"{stem}_AnalyticMS_SR_8b_clip.tif"].content)
    assert (masked[0] > 0).mean() == pytest.approx(0.5 * (whole[0] > 0).mean(), abs=0.06)
    _, mask = read(half[f"{stem}_udm2_clip.tif"].content)
    assert ((mask[7] & 1 == 1) == (masked == 0).all(axis=0)).all()


def test_clipped_metadata_describes_what_is_left(read: Read) -> None:
    cloudy = next(
        item
        for item in CATALOGUE
        if item.item_type == "PSScene"
        and item.permissions
        and 0.3 < item.properties["cloud_cover"] < 0.6
        and bundles.supports(item, "analytic_udm2")
        and item.geometry["type"] == "Polygon"
    )
    centre = cloudy.shape.centroid
    area = box(centre.x - 0.03, centre.y - 0.03, centre.x + 0.03, centre.y + 0.03)
    files = deliver(cloudy, bundle="analytic_udm2", tools=[{"clip": {"aoi": mapping(area)}}])
    metadata = json.loads(files[f"PSScene/{cloudy.id}_metadata.json"].content)
    assert shape(metadata["geometry"]).symmetric_difference(area).area < 1e-7
    _, mask = read(files[f"PSScene/{cloudy.id}_3B_udm2_clip.tif"].content)
    share = round(100 * mask[5].sum() / (mask[7] & 1 == 0).sum())
    assert metadata["properties"]["cloud_percent"] == share
    assert metadata["properties"]["cloud_cover"] == share / 100


def test_an_item_beside_the_clip_fails_a_full_order_and_is_left_out_of_a_partial_one() -> None:
    away = next(
        item
        for item in CATALOGUE
        if item.item_type == "PSScene" and bundles.choose(item, "analytic_udm2") and item.shape.disjoint(AREA)
    )
    request = order(ONE, away, bundle="analytic_udm2", tools=[CLIP])
    assert products.failures(request, CATALOGUE) == {away.id: "the clip geometry does not intersect the item"}
    with pytest.raises(ProductError, match=f"{away.id}: the clip geometry") as caught:
        products.deliver(request, CATALOGUE, pixels=48)
    assert len(caught.value.hints) == 1
    files = products.deliver({**request, "order_type": "partial"}, CATALOGUE, pixels=48)
    assert {file.annotations["planet/item_id"] for file in files} == {ONE.id}
    with pytest.raises(ProductError, match="No item"):
        products.deliver(
            {**order(away, tools=[CLIP], bundle="analytic_udm2"), "order_type": "partial"}, CATALOGUE
        )


def test_a_sliver_of_a_footprint_can_be_clipped(read: Read) -> None:
    west, south, east, north = ONE.shape.bounds
    for area in (
        box(west - 1, south - 1, west + 1e-5, north + 1),
        box(west - 1, north - 1e-6, east + 1, north + 1),
    ):
        files = deliver(ONE, bundle="visual", tools=[{"clip": {"aoi": mapping(area)}}])
        _, pixels = read(files[f"PSScene/{ONE.id}_3B_Visual_clip.tif"].content)
        assert pixels[3].any()


def test_a_clip_of_half_the_world_changes_nothing(read: Read) -> None:
    world = {
        "type": "Polygon",
        "coordinates": [[[-163, -44], [181, -44], [181, 78], [-163, 78], [-163, -44]]],
    }
    clipped = deliver(ONE, bundle="visual", tools=[{"clip": {"aoi": world}}])
    _, expected = read(deliver(ONE, bundle="visual")[f"PSScene/{ONE.id}_3B_Visual.tif"].content)
    image, pixels = read(clipped[f"PSScene/{ONE.id}_3B_Visual_clip.tif"].content)
    valid = pixels[3] > 0
    assert valid.sum() == pytest.approx((expected[3] > 0).sum(), rel=0.05)
    assert max(image.shape) <= 128


def test_failed_items_are_left_out() -> None:
    files = products.deliver(order(ONE, TWO), CATALOGUE, pixels=48, failed_items={ONE.id})
    assert {file.annotations["planet/item_id"] for file in files} == {TWO.id}


def test_what_cannot_be_delivered_is_told_by_item() -> None:
    forbidden = next(item for item in CATALOGUE if item.item_type == "PSScene" and not item.permissions)
    lacking = next(
        item
        for item in CATALOGUE
        if item.item_type == "PSScene"
        and item.permissions
        and not bundles.supports(item, "analytic_8b_sr_udm2")
    )
    request = order(ONE, forbidden, lacking)
    request["products"][0]["item_ids"].append("nobody")
    assert products.failures(request, CATALOGUE) == {
        forbidden.id: "no access to assets for product bundle 'analytic_8b_sr_udm2'",
        lacking.id: "missing assets for product bundle 'analytic_8b_sr_udm2'",
        "nobody": "PSScene has no item of this id",
    }
    fallback = order(lacking, bundle="analytic_8b_sr_udm2,analytic_udm2")
    assert products.failures(fallback, CATALOGUE) == {}
    bundle = {
        file.annotations.get("planet/bundle_type")
        for file in products.deliver(fallback, CATALOGUE, pixels=48)
    }
    assert bundle == {None, "analytic_udm2"}


@pytest.mark.parametrize(("epsg", "resolution"), [(4326, 0.001), (3857, 100.0), (32611, None)])
def test_reproject(read: Read, epsg: int, resolution: float | None) -> None:
    tool = order_request.reproject_tool(f"EPSG:{epsg}", resolution, "cubic")
    files = deliver(ONE, tools=[tool])
    image, pixels = read(files[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_reproject.tif"].content)
    assert image.crs.to_epsg() == epsg
    if resolution:
        assert image.res == pytest.approx((resolution, resolution))
    bounds = box(*transform_bounds(image.crs, "EPSG:4326", *image.bounds))
    assert bounds.buffer(0.01).contains(ONE.shape)
    assert 0.3 < (pixels[0] > 0).mean() < 0.95
    _, mask = read(files[f"PSScene/{ONE.id}_3B_udm2_reproject.tif"].content)
    assert set(np.unique(mask[:6])) <= {0, 1}
    assert (mask[:6].sum(axis=0) == (mask[7] & 1 == 0)).all()


def test_a_resolution_too_fine_is_coarsened_to_fit(read: Read) -> None:
    files = deliver(ONE, bundle="visual", tools=[order_request.reproject_tool("EPSG:32610", 0.5)])
    image, _ = read(files[f"PSScene/{ONE.id}_3B_Visual_reproject.tif"].content)
    assert max(image.shape) <= MAX_EDGE
    assert image.res[0] / 0.5 == pytest.approx(round(image.res[0] / 0.5))


@pytest.mark.slow
def test_cloud_optimized_files_are_so(read: Read) -> None:
    files = deliver(ONE, tools=[order_request.file_format_tool("COG")], pixels=1200)
    image, pixels = read(files[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_file_format.tif"].content)
    assert image.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert image.overviews(1)
    _, plain = read(deliver(ONE, pixels=1200)[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b.tif"].content)
    assert np.array_equal(pixels, plain)
    assert image.descriptions[7] == "nir"


def test_toar_makes_reflectance(read: Read) -> None:
    name = f"PSScene/{ONE.id}_3B_AnalyticMS_toar.tif"
    _, toar = read(
        deliver(ONE, bundle="analytic_udm2", tools=[order_request.toar_tool(10_000)])[name].content
    )
    _, surface = read(
        deliver(ONE, bundle="analytic_sr_udm2")[f"PSScene/{ONE.id}_3B_AnalyticMS_SR.tif"].content
    )
    valid = surface[3] > 0
    assert np.corrcoef(toar[3][valid], surface[3][valid])[0, 1] > 0.99
    assert np.abs(toar[3][valid].astype(float) - surface[3][valid]).mean() < 400
    assert (toar[:, ~valid] == 0).all()


def test_toar_needs_radiance() -> None:
    with pytest.raises(ProductError, match="toar"):
        products.deliver(order(ONE, tools=[{"toar": {}}]), CATALOGUE, pixels=48)


def test_band_math_computes_an_index(read: Read) -> None:
    tool = order_request.band_math_tool("(b8 - b6) / (b8 + b6)", pixel_type="32R")
    files = deliver(ONE, tools=[CLIP, tool])
    image, ndvi = read(files[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_clip_bandmath.tif"].content)
    _, bands = read(deliver(ONE, tools=[CLIP])[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_clip.tif"].content)
    assert image.dtypes == ("float32",)
    assert image.nodata is None
    red, nir = bands[5].astype(float), bands[7].astype(float)
    valid = nir > 0
    # As at Planet, pixels without data are computed too: here 0 / 0.
    assert (np.isnan(ndvi[0]) == ~valid).all()
    assert ndvi[0][valid] == pytest.approx((nir - red)[valid] / (nir + red)[valid], abs=1e-5)
    assert f"PSScene/{ONE.id}_3B_udm2_clip.tif" in files


def test_band_math_then_composite(read: Read) -> None:
    files = deliver(
        ONE, TWO, tools=[CLIP, {"bandmath": {"b1": "b1", "pixel_type": "16U"}}, {"composite": {}}]
    )
    image, pixels = read(files["composite.tif"].content)
    assert image.count == 1
    assert (pixels > 0).mean() > 0.9


def test_harmonize_keeps_the_pixels(read: Read) -> None:
    files = deliver(ONE, tools=[order_request.harmonize_tool("Sentinel-2"), CLIP])
    _, harmonized = read(files[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_harmonized_clip.tif"].content)
    _, plain = read(deliver(ONE, tools=[CLIP])[f"PSScene/{ONE.id}_3B_AnalyticMS_SR_8b_clip.tif"].content)
    assert np.array_equal(harmonized, plain)


def test_composite_joins_the_items(read: Read) -> None:
    files = deliver(ONE, TWO, tools=[{"composite": {}}])
    assert {
        "composite.tif",
        "composite_udm2.tif",
        f"{ONE.id}_metadata.json",
        f"{TWO.id}_metadata.json",
    } < set(files)
    assert not [path for path in files if "/" in path]
    image, pixels = read(files["composite.tif"].content)
    joined = ONE.shape.union(TWO.shape)
    bounds = box(*transform_bounds(image.crs, "EPSG:4326", *image.bounds))
    assert bounds.buffer(0.02).contains(joined)
    covered = (pixels[0] > 0).sum() * image.res[0] ** 2
    square_metres = joined.area * 111_195**2 * np.cos(np.radians(joined.centroid.y))
    assert covered == pytest.approx(square_metres, rel=0.03)
    _, mask = read(files["composite_udm2.tif"].content)
    assert ((mask[7] & 1 == 0) == (pixels[0] > 0)).mean() > 0.99
    assert files["composite.tif"].annotations == {
        "planet/asset_type": "ortho_analytic_8b_sr",
        "planet/bundle_type": "analytic_8b_sr_udm2",
        "planet/item_type": "PSScene",
    }


def test_composite_by_strip() -> None:
    files = deliver(ONE, TWO, bundle="visual", tools=[{"composite": {"group_by": "strip_id"}}])
    strips = {item.properties["strip_id"] for item in (ONE, TWO)}
    assert {path for path in files if path.endswith(".tif")} == {f"{strip}_composite.tif" for strip in strips}


def test_tiles_cover_the_image(read: Read) -> None:
    tool = order_request.tile_tool(32, name_template="x{tilex:04d}_y{tiley:04d}.tif")
    files = deliver(ONE, bundle="visual", tools=[CLIP, tool])
    whole = deliver(ONE, bundle="visual", tools=[CLIP])[f"PSScene/{ONE.id}_3B_Visual_clip.tif"]
    _, expected = read(whole.content)
    images = [read(file.content) for path, file in files.items() if path.endswith(".tif")]
    assert len(images) > 4
    assert {image.shape for image, _ in images} == {(32, 32)}
    assert sum((pixels[3] > 0).sum() for _, pixels in images) == (expected[3] > 0).sum()
    assert len({image.bounds for image, _ in images}) == len(images)


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([{"sharpen": {}}], "'sharpen' is not a tool"),
        ([{"clip": {}, "toar": {}}], "one key"),
        ([CLIP, CLIP], "used once"),
        ([{"clip": {}}], "Polygon or MultiPolygon"),
        ([{"clip": {"aoi": {"type": "Polygon", "coordinates": []}}}], "clip: tools.clip.aoi"),
        ([{"reproject": {"projection": "EPSG:1"}}], "not a projection"),
        ([{"reproject": {"projection": "EPSG:4326", "kernel": "sharp"}}], "kernel 'sharp'"),
        ([{"reproject": {"projection": "EPSG:4326", "resolution": 0}}], "resolution"),
        ([{"file_format": {"format": "PL_NITF"}}], "PL_NITF"),
        ([{"tile": {}}], "tile_size"),
        ([{"tile": {"tile_size": 10, "name_template": "{tilex.__class__}"}}], "name_template"),
        ([{"tile": {"tile_size": 10, "name_template": "{tilex:99999999d}"}}], "name_template"),
        ([{"tile": {"tile_size": 10, "name_template": "../{tilex}"}}], "name_template"),
        ([{"toar": {"scale_factor": "x"}}], "scale_factor"),
        ([{"harmonize": {"target_sensor": "Landsat"}}], "target_sensor"),
        ([{"coregister": {}}], "anchor_item"),
        ([{"coregister": {"anchor_item": "x"}}], "not an item of the order"),
        ([{"composite": {"group_by": "day"}}], "group_by"),
        ([{"bandmath": {"b2": "b1"}}], "without a gap"),
        ([{"bandmath": {"b1": "b1", "pixel_type": "64F"}}], "pixel_type"),
        ([{"bandmath": {"b1": "b9"}}], "not allowed in band math"),
        ("clip", "one key"),
    ],
)
def test_misused_tools_are_told(tools: Any, message: str) -> None:
    with pytest.raises(ProductError, match=message):
        products.deliver(order(ONE, tools=tools), CATALOGUE, pixels=48)


def test_unrectified_images_cannot_be_clipped() -> None:
    with pytest.raises(ProductError, match="orthorectified"):
        products.deliver(order(ONE, bundle="basic_analytic_udm2", tools=[CLIP]), CATALOGUE, pixels=48)


def test_products_of_a_composite_must_agree() -> None:
    request = order(ONE, tools=[{"composite": {}}])
    request["products"] += order(TWO, bundle="visual")["products"]
    with pytest.raises(ProductError, match="one product bundle"):
        products.check(request)


def test_stac_files_describe_the_delivery() -> None:
    files = deliver(ONE, TWO, tools=[CLIP], metadata={"stac": {}})
    catalog, collection = (
        json.loads(files[path].content) for path in ("catalog.json", "PSScene/PSScene_collection.json")
    )
    assert catalog["type"] == "Catalog"
    assert [link["href"] for link in catalog["links"] if link["rel"] == "child"] == [
        "./PSScene/PSScene_collection.json"
    ]
    assert [link["href"] for link in collection["links"] if link["rel"] == "item"] == [
        f"./{ONE.id}.json",
        f"./{TWO.id}.json",
    ]
    document = json.loads(files[f"PSScene/{ONE.id}.json"].content)
    own = {PurePosixPath(path).name for path in files if ONE.id in path} - {f"{ONE.id}.json"}
    assert {PurePosixPath(asset["href"]).name for asset in document["assets"].values()} == own
    image = document["assets"][f"{ONE.id}_3B_AnalyticMS_SR_8b_clip_tif"]
    assert image["pl:asset_type"] == "ortho_analytic_8b_sr"
    assert image["proj:epsg"] == 32610
    assert [band["name"] for band in image["eo:bands"]] == list(
        ASSETS["PSScene"]["ortho_analytic_8b_sr"].bands
    )
    west, south, east, north = document["bbox"]
    assert west < east
    assert south < north


def test_manifest_lists_every_file_truly() -> None:
    files = products.deliver(order(ONE, tools=[CLIP]), CATALOGUE, pixels=48)
    manifest = json.loads(products.manifest("", files))
    assert manifest["name"] == ""
    assert [entry["path"] for entry in manifest["files"]] == [file.path for file in files]
    for entry, file in zip(manifest["files"], files, strict=True):
        assert entry.keys() == {"path", "media_type", "size", "digests", "annotations"}
        assert entry["size"] == len(file.content)
        assert entry["digests"] == {
            "md5": hashlib.md5(file.content).hexdigest(),
            "sha256": hashlib.sha256(file.content).hexdigest(),
        }


def archive(files: list[DeliveredFile], **delivery: Any) -> list[DeliveredFile]:
    return products.archive(files, name="my order", order_id="1234", delivery=delivery)


def test_a_single_archive_holds_everything() -> None:
    files = products.deliver(order(ONE, TWO), CATALOGUE, pixels=48)
    (made,) = archive(
        files, archive_type="zip", single_archive=True, archive_filename="{{name}}_{{order_id}}.zip"
    )
    assert (made.path, made.media_type) == ("my order_1234.zip", "application/zip")
    assert hashlib.sha256(made.content).hexdigest() == made.sha256
    with zipfile.ZipFile(io.BytesIO(made.content)) as bundle:
        assert bundle.testzip() is None
        assert {name: bundle.read(name) for name in bundle.namelist()} == {
            file.path: file.content for file in files
        }
    again = archive(
        files, archive_type="zip", single_archive=True, archive_filename="{{name}}_{{order_id}}.zip"
    )
    assert again[0].sha256 == made.sha256


def test_else_there_is_an_archive_for_each_item_and_bundle() -> None:
    request = order(ONE, TWO)
    request["products"] += order(ONE, bundle="visual")["products"]
    files = products.deliver({**request, "metadata": {"stac": {}}}, CATALOGUE, pixels=48)
    made = archive(files, archive_type="zip")
    assert {file.path for file in made if file.path.endswith(".zip")} == {
        f"{ONE.id}_analytic_8b_sr_udm2.zip",
        f"{ONE.id}_visual.zip",
        f"{TWO.id}_analytic_8b_sr_udm2.zip",
    }
    inside = []
    for file in made:
        if file.path.endswith(".zip"):
            assert file.annotations["planet/item_id"] in file.path
            assert file.annotations["planet/bundle_type"] in file.path
            with zipfile.ZipFile(io.BytesIO(file.content)) as bundle:
                inside += bundle.namelist()
        else:
            inside.append(file.path)
    assert sorted(inside) == sorted(file.path for file in files)


def test_without_archive_type_files_stay() -> None:
    files = products.deliver(order(ONE, bundle="visual"), CATALOGUE, pixels=48)
    assert archive(files) == files


@pytest.mark.parametrize(
    "delivery",
    [
        {"archive_type": "tar"},
        {"archive_type": "zip", "single_archive": True, "archive_filename": "../x.zip"},
        {"archive_type": "zip", "single_archive": True, "archive_filename": "/x.zip"},
    ],
)
def test_bad_archives_are_refused(delivery: dict[str, Any]) -> None:
    files = products.deliver(order(ONE, bundle="visual"), CATALOGUE, pixels=48)
    with pytest.raises(ProductError):
        archive(files, **delivery)


def test_the_bundle_specification_names_known_assets() -> None:
    spec = bundles.spec()
    assert {"analytic_udm2", "analytic_8b_sr_udm2", "visual", "basic_analytic_udm2"} < spec["bundles"].keys()
    for bundle_id, bundle in spec["bundles"].items():
        for item_type, asset_types in bundle["assets"].items():
            assert set(asset_types) <= ASSETS[item_type].keys(), bundle_id
            assert bundles.assets_for(item_type, bundle_id) == asset_types
    assert json.loads(json.dumps(spec)) == spec


def test_bundles_choose_by_assets_and_permission() -> None:
    readable = tuple(name for name in ONE.permissions if "8b" not in name)
    partly = replace(ONE, permissions=readable)
    assert bundles.supports(partly, "analytic_8b_sr_udm2")
    assert bundles.choose(partly, "analytic_8b_sr_udm2") is None
    assert bundles.choose(partly, "analytic_8b_sr_udm2, analytic_udm2") == "analytic_udm2"
    assert not bundles.supports(ONE, "no_such_bundle")
    assert not bundles.supports(ONE, "pansharpened")


BANDS = np.arange(1, 13, dtype=np.uint16).reshape(3, 2, 2)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("b1 + 2 * b2", lambda a, b, c: a + 2 * b),
        ("(b3 - b1) / (b3 + b1)", lambda a, b, c: (c - a) / (c + a)),
        ("sqrt(abs(b1 - b3)) ** 2", lambda a, b, c: abs(a - c)),
        ("where((b1 > 2) & (b2 <= 7), b1, -b3)", lambda a, b, c: np.where((a > 2) & (b <= 7), a, -c)),
        ("maximum(b1, 3) % 2 // 1", lambda a, b, c: np.maximum(a, 3) % 2 // 1),
        ("7", lambda a, b, c: np.full(a.shape, 7.0)),
    ],
)
def test_band_math_is_arithmetic(expression: str, expected: Any) -> None:
    values = bandmath.evaluate(expression, BANDS)
    assert np.allclose(values, expected(*BANDS.astype(float)))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').getcwd()",
        "b1.__class__",
        "(lambda: 1)()",
        "[b for b in b1]",
        "b1 if b2 else b3",
        "open('x')",
        "b4",
        "b1 +",
        "'b1'",
        "sqrt(b1, out=b2)",
        "sum(b1)",
        "b1[0]",
        "1 < b1 < 2",
        "(" * 300 + "b1" + ")" * 300,
        "b1" + "+1" * 600,
        7,
    ],
)
def test_band_math_is_nothing_else(expression: Any) -> None:
    with pytest.raises(bandmath.ExpressionError):
        bandmath.evaluate(expression, BANDS)


@given(st.text(alphabet="b123+-*/%().,<>=&|~ sqrtwhee_[]{}'", max_size=40))
def test_band_math_either_computes_or_refuses(expression: str) -> None:
    with suppress(bandmath.ExpressionError):
        assert bandmath.evaluate(expression, BANDS).shape == (2, 2)


def test_integers_are_rounded_and_clipped() -> None:
    values = np.array([-5.0, 0.6, 300.0, np.nan, np.inf])
    assert bandmath.convert(values, "8U").tolist() == [0, 1, 255, 0, 255]
    assert bandmath.convert(values, "16S").tolist() == [-5, 1, 300, 0, 32767]
    assert bandmath.convert(values, "Auto").dtype == np.float32


def test_suffixes_go_before_the_extension() -> None:
    assert with_suffix("a_3B.tif", "clip", "bandmath") == "a_3B_clip_bandmath.tif"
    assert with_suffix("a", "clip") == "a_clip"
