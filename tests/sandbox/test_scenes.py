"""Rendered assets: real files, in the right place, with plausible pixels."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.io import DatasetReader, MemoryFile
from rasterio.warp import Resampling, reproject, transform_bounds
from shapely.geometry import Point, box, mapping

from planet_provider.sandbox import scenes
from planet_provider.sandbox.assets import (
    ASSETS,
    TIFF,
    UDM2_BANDS,
    UnknownAssetError,
)
from planet_provider.sandbox.catalogue import Catalogue, Item
from planet_provider.sandbox.raster import grid_of, utm_epsg

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc)
CATALOGUE = Catalogue(seed=5, items=900, now=NOW)
BY_TYPE = {item.item_type: item for item in CATALOGUE if item.permissions}
SCENE = next(
    item
    for item in CATALOGUE
    if item.item_type == "PSScene"
    and item.geometry["type"] == "Polygon"
    and item.properties["instrument"] == "PSB.SD"
    and 0.2 < item.properties["cloud_cover"] < 0.5
    and "ortho_analytic_8b_sr" in item.assets
)
CASES = [(item, asset_type) for item in BY_TYPE.values() for asset_type in item.assets]
SF = box(-122.52, 37.69, -122.35, 37.81)

DIGEST = """
from datetime import datetime, timezone
from planet_provider.sandbox.catalogue import Catalogue
from planet_provider.sandbox import scenes
now = datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc)
item = Catalogue(seed=5, items=900, now=now).get("PSScene", {item_id!r})
print(scenes.render(item, "ortho_analytic_8b_sr").sha256)
"""


Read = Callable[[bytes], tuple[DatasetReader, Any]]


@pytest.fixture
def read() -> Iterator[Read]:
    """Open files from memory, and keep them open until the test ends."""
    with ExitStack() as stack:

        def open_content(content: bytes) -> tuple[DatasetReader, Any]:
            image = stack.enter_context(stack.enter_context(MemoryFile(content)).open())
            return image, image.read()

        yield open_content


@pytest.mark.parametrize(("item", "asset_type"), CASES, ids=lambda value: getattr(value, "item_type", value))
def test_every_asset_is_a_file_with_true_digests(item: Item, asset_type: str, read: Read) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = scenes.render(item, asset_type, pixels=96)
    assert made.file_name.startswith(item.id)
    assert hashlib.md5(made.content).hexdigest() == made.md5
    assert hashlib.sha256(made.content).hexdigest() == made.sha256
    if made.media_type == "text/xml":
        assert ElementTree.fromstring(made.content).tag.endswith("EarthObservation")
    if made.media_type != TIFF:
        assert made.content.decode()
        return
    spec = ASSETS[item.item_type][asset_type]
    image, pixels = read(made.content)
    assert image.descriptions == spec.bands
    assert set(image.dtypes) == {spec.dtype}
    assert 90 <= max(image.shape) <= 96
    assert image.profile["compress"] == "deflate"
    assert image.profile["tiled"]
    assert pixels.any()


@pytest.mark.parametrize("item", BY_TYPE.values(), ids=BY_TYPE)
def test_orthorectified_images_lie_on_their_footprint(item: Item, read: Read) -> None:
    asset_type = next(name for name in item.assets if ASSETS[item.item_type][name].kind == "visual")
    image, pixels = read(scenes.render(item, asset_type).content)
    centre = item.shape.centroid
    assert image.crs.to_epsg() == utm_epsg(centre.x, centre.y)
    assert image.res[0] == image.res[1]
    bounds = box(*transform_bounds(image.crs, "EPSG:4326", *image.bounds))
    assert bounds.buffer(0.02).contains(item.shape)
    assert bounds.area < 2.5 * item.shape.area
    to_lonlat = Transformer.from_crs(image.crs, 4326, always_xy=True)
    edge = 2 * image.res[0] / 90_000
    for row in range(0, image.height, 9):
        for column in range(0, image.width, 9):
            place = Point(to_lonlat.transform(*image.xy(row, column)))
            if item.shape.boundary.distance(place) > edge:
                assert bool(pixels[3, row, column]) is item.shape.contains(place)


def test_analytic_nodata_is_where_the_mask_says_so(read: Read) -> None:
    image, pixels = read(scenes.render(SCENE, "ortho_analytic_8b_sr").content)
    _, mask = read(scenes.render(SCENE, "ortho_udm2").content)
    assert image.nodata == 0
    fill = mask[UDM2_BANDS.index("udm1")] == 1
    assert fill.any()
    assert ((pixels == 0).all(axis=0) == fill).all()
    assert ((pixels == 0).any(axis=0) == fill).all()


@pytest.mark.parametrize(
    "item",
    [
        item
        for item in CATALOGUE
        if item.item_type == "PSScene" and item.geometry["type"] == "Polygon" and "ortho_udm2" in item.assets
    ][::60],
    ids=lambda item: item.id,
)
def test_usable_data_mask_agrees_with_the_metadata(item: Item, read: Read) -> None:
    _, mask = read(scenes.render(item, "ortho_udm2").content)
    valid = (mask[7] & 1) == 0
    assert (mask[:6].sum(axis=0) == valid).all()
    for name, band in zip(
        ("clear", "snow_ice", "shadow", "light_haze", "heavy_haze", "cloud"), mask, strict=False
    ):
        share = 100 * band.sum() / valid.sum()
        assert share == pytest.approx(item.properties[f"{name}_percent"], abs=4), name


def test_clouds_are_bright_and_vegetation_shows_in_the_near_infrared(read: Read) -> None:
    _, pixels = read(scenes.render(SCENE, "ortho_analytic_8b_sr").content)
    _, mask = read(scenes.render(SCENE, "ortho_udm2").content)
    clear, cloud = mask[0] == 1, mask[5] == 1
    assert pixels[1][cloud].mean() > 2 * pixels[1][clear].mean()
    assert pixels.max() <= 10_000
    red, nir = (pixels[index][clear].astype(float) for index in (5, 7))
    ndvi = (nir - red) / (nir + red)
    assert -0.6 < ndvi.min() < ndvi.max() < 0.95


@pytest.mark.slow
def test_the_world_has_water_soil_and_vegetation() -> None:
    shares = np.zeros(3)
    for item in [item for item in CATALOGUE if item.item_type == "Landsat8L1G"][:12]:
        clear = replace(item, properties={**item.properties, "cloud_cover": 0.0})
        red, nir = (
            scenes.image(clear, f"analytic_b{band}", pixels=64).data[0].astype(float) for band in (4, 5)
        )
        valid = red > 0
        ndvi = (nir[valid] - red[valid]) / (nir[valid] + red[valid])
        shares += [
            (ndvi < 0).mean() / 12,
            ((ndvi >= 0) & (ndvi < 0.4)).mean() / 12,
            (ndvi >= 0.4).mean() / 12,
        ]
    assert (shares > 0.1).all(), shares


def test_images_are_smooth_in_space() -> None:
    image = scenes.image(SCENE, "ortho_analytic_4b_sr", pixels=256)
    nir = image.data[3].astype(float)
    inner = nir[nir.shape[0] // 3 : nir.shape[0] // 2, nir.shape[1] // 3 : nir.shape[1] // 2]
    neighbours = np.corrcoef(inner[:, 1:].ravel(), inner[:, :-1].ravel())[0, 1]
    assert neighbours > 0.6


def test_overlapping_scenes_agree_where_both_are_clear() -> None:
    """The ground belongs to the place, not to the scene, whatever the grid."""
    clear = {**SCENE.properties, "cloud_cover": 0.0, "cloud_percent": 0, "clear_percent": 100}
    clear |= dict.fromkeys(
        ("heavy_haze_percent", "light_haze_percent", "shadow_percent", "snow_ice_percent"), 0
    )
    west, south, east, north = SCENE.shape.bounds
    one = replace(SCENE, properties=clear)
    other = replace(
        SCENE,
        id="other",
        geometry=mapping(box(west + 0.07, south + 0.03, east + 0.07, north + 0.03)),
        properties={**clear, "strip_id": "other"},
    )
    first, second = (scenes.image(item, "ortho_analytic_4b_sr", pixels=512) for item in (one, other))
    moved = np.zeros_like(first.data[3])
    reproject(
        second.data[3],
        moved,
        src_transform=second.transform,
        src_crs=second.crs,
        dst_transform=first.transform,
        dst_crs=first.crs,
        resampling=Resampling.nearest,
    )
    both = (first.data[3] > 0) & (moved > 0)
    assert both.mean() > 0.3
    difference = np.abs(first.data[3][both].astype(float) - moved[both])
    assert np.median(difference) < 0.08 * np.median(moved[both])


def test_a_smaller_area_gets_finer_pixels_of_the_same_ground() -> None:
    whole = grid_of(SCENE, 256)
    centre = SCENE.shape.centroid
    area = box(centre.x - 0.01, centre.y - 0.01, centre.x + 0.01, centre.y + 0.01)
    cut = scenes.image(SCENE, "ortho_analytic_4b_sr", within=area)
    assert cut.transform.a < whole.transform.a / 5
    west, south, east, north = transform_bounds(cut.crs, "EPSG:4326", *cut.bounds)
    assert box(west, south, east, north).buffer(0.001).contains(area)
    assert (east - west) < 0.03


@pytest.mark.slow
def test_edge_grows_with_pixels(read: Read) -> None:
    edges = [
        max(read(scenes.render(SCENE, "ortho_visual", pixels=pixels).content)[0].shape)
        for pixels in (64, 300, 1500)
    ]
    assert edges[0] <= 64 < edges[1] <= 300 < edges[2] <= 1500
    assert edges[2] > 1300


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scenes.image(SCENE, "ortho_analytic_4b_sr", pixels=200).data
    monkeypatch.setattr(scenes, "_BLOCK", 700)
    assert np.array_equal(scenes.image(SCENE, "ortho_analytic_4b_sr", pixels=200).data, whole)


def test_unrectified_images_carry_ground_control_and_coefficients(read: Read) -> None:
    image, pixels = read(scenes.render(SCENE, "basic_analytic_8b").content)
    points, crs = image.gcps
    assert crs.to_epsg() == 4326
    assert pixels.all()
    corners = {(point.row, point.col): Point(point.x, point.y) for point in points}
    ring = SCENE.shape.exterior
    assert all(ring.distance(corner) < 1e-5 for corner in corners.values())
    height, width = image.shape
    assert corners[0, 0].y > corners[height, 0].y
    assert corners[0, 0].x < corners[0, width].x
    text = scenes.render(SCENE, "basic_analytic_4b_rpc").content.decode()
    values = {
        name: float(value.split()[0]) for name, value in (line.split(": ") for line in text.splitlines())
    }
    coefficients = rasterio.rpc.RPC(
        **{
            f"{kind}_{part}_coeff": [values[f"{kind}_{part}_COEFF_{n}".upper()] for n in range(1, 21)]
            for kind in ("line", "samp")
            for part in ("num", "den")
        },
        **{
            f"{name}_{part}": values[f"{name}_{part}".upper()]
            for name in ("line", "samp", "lat", "long", "height")
            for part in ("off", "scale")
        },
    )
    with rasterio.transform.RPCTransformer(coefficients) as transformer:
        for (row, column), place in corners.items():
            found = transformer.rowcol(place.x, place.y, op=float)
            assert found == pytest.approx((row, column), abs=2)


def test_reflectance_coefficients_of_the_metadata_turn_radiance_into_reflectance(read: Read) -> None:
    tree = ElementTree.fromstring(scenes.render(SCENE, "ortho_analytic_4b_xml").content)
    name = "{http://schemas.planet.com/ps/v1/planet_product_metadata_geocorrected_level}"
    coefficients = [float(str(node.text)) for node in tree.iter(f"{name}reflectanceCoefficient")]
    _, radiance = read(scenes.render(SCENE, "ortho_analytic_4b").content)
    _, surface = read(scenes.render(SCENE, "ortho_analytic_4b_sr").content)
    _, mask = read(scenes.render(SCENE, "ortho_udm2").content)
    clear = mask[0] == 1
    for index, coefficient in enumerate(coefficients):
        top = radiance[index][clear] * coefficient
        below = surface[index][clear] / 10_000
        assert np.corrcoef(top, below)[0, 1] > 0.99
        assert abs(top.mean() - below.mean()) < 0.08
    assert len(coefficients) == 4


@pytest.mark.ci
def test_another_process_renders_the_same_bytes() -> None:
    script = DIGEST.format(item_id=SCENE.id)
    there = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": "3"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert there == scenes.render(SCENE, "ortho_analytic_8b_sr").sha256


def test_seeds_change_the_world() -> None:
    other = replace(SCENE, seed=SCENE.seed + 1)
    assert scenes.render(other, "ortho_visual").content != scenes.render(SCENE, "ortho_visual").content


def test_the_cache_is_bounded_and_safe_to_share() -> None:
    small = scenes._Cache(100)
    for index in range(50):
        made = scenes.RenderedAsset.of(str(index), "text/plain", bytes(30))
        small.put((SCENE, str(index), 1), made)
    there = [index for index in range(50) if small.get((SCENE, str(index), 1)) is not None]
    assert there == [47, 48, 49], "of 30 bytes each, in 100"
    assert small.get((SCENE, "47", 1)) is not None
    small.put((SCENE, "50", 1), made)
    assert small.get((SCENE, "48", 1)) is None
    big = scenes.RenderedAsset.of("big", "text/plain", bytes(101))
    assert small.put((SCENE, "big", 1), big) is big
    assert small.get((SCENE, "big", 1)) is None
    assert small.get((SCENE, "50", 1)) is not None
    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(lambda _: scenes.render(SCENE, "ortho_udm2", pixels=80).sha256, range(16)))
    assert len(digests) == 1


@pytest.mark.parametrize("item", BY_TYPE.values(), ids=BY_TYPE)
def test_thumbnail_is_a_transparent_png(item: Item, read: Read) -> None:
    content = scenes.thumbnail(item, 128)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        image, pixels = read(content)
    assert image.count == 4
    assert max(image.shape) <= 128
    assert {0, 255} == set(np.unique(pixels[3]))


def test_an_unknown_asset_type_is_refused() -> None:
    with pytest.raises(UnknownAssetError, match="PSScene has no asset type 'analytic'"):
        scenes.render(SCENE, "analytic")


def test_scenes_over_the_antimeridian_are_whole(read: Read) -> None:
    item = next(
        item
        for item in CATALOGUE
        if item.geometry["type"] == "MultiPolygon"
        and item.item_type == "PSScene"
        and "ortho_udm2" in item.assets
    )
    image, mask = read(scenes.render(item, "ortho_udm2").content)
    assert image.crs.to_epsg() % 100 in {1, 60}
    assert max(image.bounds.right - image.bounds.left, image.bounds.top - image.bounds.bottom) < 45_000
    valid = (mask[7] & 1) == 0
    assert 0.5 < valid.mean() < 0.95
    clear = 100 * mask[0].sum() / valid.sum()
    assert clear == pytest.approx(item.properties["clear_percent"], abs=4)
