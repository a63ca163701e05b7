"""The SDK's downloads of an order: files, archives, checksums, and what it does when a body is cut."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from plain_http import in_one_piece
from planet import exceptions, order_request, specs
from rasterio.warp import transform_bounds
from sdk import (
    BUNDLE,
    ITEM_TYPE,
    Clients,
    Feature,
    downloadable,
    open_clients,
    order_of,
    unique,
    until_final,
    utm_zone,
)
from shapely.geometry import box, shape

from planet_provider.sandbox import (
    Fault,
    RecordedRequest,
    Sandbox,
    run,
)

pytest_plugins = ("sdk",)

ORDERED_BUNDLES = {
    "Landsat8L1G": "visual",
    "PSScene": "analytic_8b_sr_udm2",
    "REOrthoTile": "analytic_sr",
    "Sentinel2L1C": "visual",
    "SkySatCollect": "pansharpened_udm2",
    "SkySatScene": "panchromatic_udm2",
}


async def finished(clients: Clients, items: list[Feature], **details: Any) -> str:
    """Place an order and wait for its success.

    :return: the order's id.
    """
    order = await clients.orders.create_order(order_of(items, unique("download"), **details))
    assert await until_final(clients, order["id"]) == "success"
    return str(order["id"])


def storage_requests(server: Sandbox, since: int) -> Sequence[RecordedRequest]:
    return [request for request in list(server.requests)[since:] if request.origin == "storage"]


def rasters(paths: Sequence[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix == ".tif")


async def test_download_order(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    """Everything the manifest lists arrives where it says, with the right digests, sizes and media types."""
    items = orderable[:2]
    order_id = await finished(clients, items)
    paths = await clients.orders.download_order(order_id, tmp_path, progress_bar=True)
    folder = tmp_path / order_id
    assert {path.relative_to(tmp_path).parts[0] for path in paths} == {order_id}
    clients.orders.validate_checksum(folder, "MD5")
    clients.orders.validate_checksum(folder, "sha256")

    manifest = json.loads((folder / "manifest.json").read_text())
    assert {folder / entry["path"] for entry in manifest["files"]} == set(paths) - {folder / "manifest.json"}
    asset_types = specs.PRODUCT_BUNDLES["bundles"][BUNDLE]["assets"][ITEM_TYPE]
    assets = {
        (entry["annotations"]["planet/item_id"], entry["annotations"]["planet/asset_type"])
        for entry in manifest["files"]
        if "planet/asset_type" in entry["annotations"]
    }
    assert assets == {(item["id"], asset_type) for item in items for asset_type in asset_types}
    for entry in manifest["files"]:
        assert (folder / entry["path"]).stat().st_size == entry["size"]
        assert entry["media_type"]
        assert entry["annotations"]["planet/item_type"] == ITEM_TYPE


async def test_downloaded_rasters_are_georeferenced(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    """Four bands and a mask of eight, with data in them, on the ground where the item lies."""
    item = orderable[0]
    order_id = await finished(clients, [item])
    paths = rasters(await clients.orders.download_order(order_id, tmp_path))
    assert len(paths) == 2
    bands = set()
    for path in paths:
        with rasterio.open(path) as raster:
            assert raster.crs.to_epsg() == utm_zone(item)
            assert raster.crs.is_projected
            bands.add((raster.count, raster.dtypes[0]))
            pixels = raster.read()
            ground = box(*transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
        assert np.unique(pixels).size > 1
        footprint = shape(item["geometry"])
        assert ground.intersection(footprint).area / footprint.area > 0.9
        assert footprint.area / ground.area > 0.3
    assert bands == {(4, "uint16"), (8, "uint8")}


async def test_clip_and_reproject_show_in_the_rasters(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    """Tools are applied, not only accepted."""
    area = shape(orderable[0]["geometry"]).representative_point().buffer(0.02).envelope
    tools = [
        order_request.clip_tool({"type": "Polygon", "coordinates": [list(area.exterior.coords)]}),
        order_request.reproject_tool("EPSG:3857", kernel="near"),
    ]
    order_id = await finished(clients, orderable[:1], tools=tools)
    for path in rasters(await clients.orders.download_order(order_id, tmp_path)):
        with rasterio.open(path) as raster:
            assert raster.crs.to_epsg() == 3857
            ground = box(*transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
        assert ground.intersection(area).area / area.area > 0.9
        assert ground.area / area.area < 1.3
    clients.orders.validate_checksum(tmp_path / order_id, "MD5")


async def delivered(
    clients: Clients, items: list[Feature], folder: Path, tool: dict[str, Any]
) -> dict[str, Path]:
    """Order items with one tool and download them.

    :return: the rasters by name.
    """
    order_id = await finished(clients, items, tools=[tool])
    paths = await clients.orders.download_order(order_id, folder)
    clients.orders.validate_checksum(folder / order_id, "MD5")
    return {path.name: path for path in rasters(paths)}


async def test_band_math_shows_in_the_rasters(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    """Two bands of 32-bit reals, in a file whose name says so; the mask passes as it is."""
    tool = order_request.band_math_tool("b1", b2="(b4 - b3) / (b4 + b3)", pixel_type="32R")
    files = await delivered(clients, orderable[:1], tmp_path, tool)
    plain = await finished(clients, orderable[:1])
    plain_paths = rasters(await clients.orders.download_order(plain, tmp_path))
    (image,) = [path for name, path in files.items() if "_bandmath" in name]
    (mask,) = [path for name, path in files.items() if "udm2" in name]
    (plain_image,) = [path for path in plain_paths if "udm2" not in path.name]
    (plain_mask,) = [path for path in plain_paths if "udm2" in path.name]
    with rasterio.open(image) as made, rasterio.open(plain_image) as source:
        assert made.dtypes == ("float32", "float32")
        b1, ndvi = made.read()
        bands = source.read().astype("float64")
    # Pixels without data go through the expression like any other.
    assert np.array_equal(b1, bands[0])
    valid = bands[2] + bands[3] > 0
    expected = (bands[3] - bands[2])[valid] / (bands[3] + bands[2])[valid]
    assert np.allclose(ndvi[valid], expected, atol=1e-5)
    with rasterio.open(mask) as passed, rasterio.open(plain_mask) as source:
        assert np.array_equal(passed.read(), source.read())


async def test_file_format_shows_in_the_rasters(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    files = await delivered(clients, orderable[:1], tmp_path, order_request.file_format_tool("COG"))
    assert len(files) == 2
    for path in files.values():
        with rasterio.open(path) as raster:
            assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


async def test_composite_shows_in_the_rasters(
    clients: Clients, scenes: list[Feature], orderable: list[Feature], tmp_path: Path
) -> None:
    """Two frames of one strip become one image that covers both."""
    strips: dict[str, list[Feature]] = {}
    for scene in orderable:
        strips.setdefault(scene["properties"]["strip_id"], []).append(scene)
    items = next(frames[:2] for frames in strips.values() if len(frames) > 1)
    files = await delivered(clients, items, tmp_path, order_request.composite_tool("strip_id"))
    assert len(files) == 2
    footprint = shape(items[0]["geometry"]).union(shape(items[1]["geometry"]))
    for path in files.values():
        with rasterio.open(path) as raster:
            ground = box(*transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
        assert ground.intersection(footprint).area / footprint.area > 0.9


async def test_tiles_show_in_the_rasters(clients: Clients, orderable: list[Feature], tmp_path: Path) -> None:
    """Square tiles on the grid asked for, named after their place in it."""
    tool = order_request.tile_tool(64, pixel_size=200, name_template="T_{tilex:05d}_{tiley:05d}")
    files = await delivered(clients, orderable[:1], tmp_path, tool)
    images = {name: path for name, path in files.items() if "udm2" not in name}
    assert len(images) > 1
    for name, path in images.items():
        found = re.search(r"T_(\d{5})_(\d{5})", name)
        assert found, name
        with rasterio.open(path) as raster:
            assert raster.shape == (64, 64)
            assert raster.res == (200, 200)
            assert raster.bounds.left == int(found[1]) * 64 * 200


@pytest.mark.parametrize("item_type", sorted(ORDERED_BUNDLES))
async def test_every_item_type_delivers_rasters(
    clients: Clients, features: list[Feature], tmp_path: Path, item_type: str
) -> None:
    bundle = ORDERED_BUNDLES[item_type]
    wanted = specs.PRODUCT_BUNDLES["bundles"][bundle]["assets"][item_type]
    item = next(
        item
        for item in features
        if item["properties"]["item_type"] == item_type
        and in_one_piece(item)
        and all(f"assets.{asset}:download" in item["_permissions"] for asset in wanted)
    )
    product = order_request.product([item["id"]], bundle, item_type)
    order = await clients.orders.create_order(order_request.build_request(unique(item_type), [product]))
    assert await until_final(clients, order["id"]) == "success"
    paths = rasters(await clients.orders.download_order(order["id"], tmp_path))
    clients.orders.validate_checksum(tmp_path / order["id"], "SHA256")
    assert paths
    for path in paths:
        with rasterio.open(path) as raster:
            assert raster.crs.is_projected
            ground = box(*transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
        assert ground.intersects(shape(item["geometry"]))


async def test_download_redirects_without_the_key(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    """Links lead to another origin, which never sees the API key."""
    order_id = await finished(clients, orderable[:1])
    since = len(server.requests)
    paths = await clients.orders.download_order(order_id, tmp_path)
    stored = storage_requests(server, since)
    assert len(stored) == len(paths)
    for request in stored:
        assert "authorization" not in request.headers
        assert server.api_key not in json.dumps([request.path, dict(request.query), dict(request.headers)])
    redirects = [request for request in list(server.requests)[since:] if "/download/" in request.path]
    assert {request.status for request in redirects if request.origin == "api"} == {302}


async def test_download_order_keeps_or_overwrites(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    order_id = await finished(clients, orderable[:1])
    (path, *_) = rasters(await clients.orders.download_order(order_id, tmp_path))
    path.write_bytes(b"altered")
    await clients.orders.download_order(order_id, tmp_path)
    assert path.read_bytes() == b"altered"
    with pytest.raises(exceptions.ClientError, match="checksums do not match"):
        clients.orders.validate_checksum(tmp_path / order_id, "MD5")
    await clients.orders.download_order(order_id, tmp_path, overwrite=True)
    clients.orders.validate_checksum(tmp_path / order_id, "MD5")


async def test_download_order_of_a_queued_one(own_clients: Clients, tmp_path: Path) -> None:
    [item] = [item async for item in own_clients.data.search([ITEM_TYPE], downloadable(), limit=1)]
    product = order_request.product([item["id"]], BUNDLE, ITEM_TYPE)
    order = await own_clients.orders.create_order(order_request.build_request("queued", [product]))
    with pytest.raises(exceptions.ClientError, match="not a final state"):
        await own_clients.orders.download_order(order["id"], tmp_path)


async def test_download_of_a_failed_order_is_empty(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    name = unique("failed")
    server.outcomes.add(name_contains=name, state="failed", times=1)
    order = await clients.orders.create_order(order_of(orderable[:1], name))
    assert await until_final(clients, order["id"]) == "failed"
    assert await clients.orders.download_order(order["id"], tmp_path) == []


@pytest.mark.parametrize("single", [True, False])
async def test_download_order_in_archives(
    clients: Clients, orderable: list[Feature], tmp_path: Path, single: bool
) -> None:
    """One zip for the order or one an item; the manifest's digests are those of the archives."""
    items = orderable[:2]
    delivery = order_request.delivery("zip", single, archive_filename="{{name}}-{{order_id}}.zip")
    order_id = await finished(clients, items, delivery=delivery)
    paths = await clients.orders.download_order(order_id, tmp_path)
    archives = [path for path in paths if path.suffix == ".zip"]
    assert len(archives) == (1 if single else 2)
    assert {path.name for path in paths if path not in archives} == {"manifest.json"}
    if single:
        order = await clients.orders.get_order(order_id)
        assert archives[0].name == f"{order['name']}-{order_id}.zip"
    members = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            members += archive.namelist()
    for item in items:
        assert len([name for name in members if item["id"] in name and name.endswith(".tif")]) == 2
    clients.orders.validate_checksum(tmp_path / order_id, "SHA256")


async def test_download_asset_takes_the_name_from_the_answer(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    order_id = await finished(clients, orderable[:1])
    results = (await clients.orders.get_order(order_id))["_links"]["results"]
    result = next(result for result in results if result["name"].endswith(".tif"))
    path = await clients.orders.download_asset(result["location"], directory=tmp_path, progress_bar=False)
    assert path == tmp_path / Path(result["name"]).name
    named = await clients.orders.download_asset(
        result["location"], filename="other.tif", directory=tmp_path, progress_bar=False
    )
    assert named.read_bytes() == path.read_bytes()


async def test_expired_link_is_refused(orderable: list[Feature], tmp_path: Path) -> None:
    """A known shortcoming of the SDK: it never renews a link. A new GET of the order repairs it."""
    with run(rate_limits=False, speed=1000.0) as sandbox:
        clients = open_clients(sandbox)
        async with clients.session:
            order_id = await finished(clients, orderable[:1])
            old = (await clients.orders.get_order(order_id))["_links"]["results"][0]
            sandbox.clock.advance(sandbox.config.link_seconds)
            with pytest.raises(exceptions.APIError, match="expired"):
                await clients.orders.download_asset(old["location"], directory=tmp_path)
            new = (await clients.orders.get_order(order_id))["_links"]["results"][0]
            path = await clients.orders.download_asset(new["location"], directory=tmp_path)
            assert path.stat().st_size > 0


async def test_cut_download_leaves_a_short_file(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    """A known shortcoming of the SDK: the short file stays in place and is taken as done next time."""
    order_id = await finished(clients, orderable[:1])
    server.faults.add(Fault(kind="truncate", origin="storage", path=r"\.tif", after_bytes=1000))
    with pytest.raises(Exception, match="peer closed connection"):
        await clients.orders.download_order(order_id, tmp_path)
    await clients.orders.download_order(order_id, tmp_path)
    with pytest.raises(exceptions.ClientError, match="checksums do not match"):
        clients.orders.validate_checksum(tmp_path / order_id, "MD5")


async def test_flipped_byte_is_found_by_the_checksum(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    order_id = await finished(clients, orderable[:1])
    server.faults.add(Fault(kind="corrupt", origin="storage", path=r"\.tif"))
    await clients.orders.download_order(order_id, tmp_path)
    for checksum in ("MD5", "SHA256"):
        with pytest.raises(exceptions.ClientError, match="checksums do not match"):
            clients.orders.validate_checksum(tmp_path / order_id, checksum)


async def test_download_without_a_length(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    """A known shortcoming of the SDK: it needs ``Content-Length``, which HTTP doesn't promise."""
    order_id = await finished(clients, orderable[:1])
    server.faults.add(Fault(kind="no_length", origin="storage"))
    with pytest.raises(KeyError, match="Content-Length"):
        await clients.orders.download_order(order_id, tmp_path)


async def test_validate_checksum_refuses_what_it_cannot_check(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    order_id = await finished(clients, orderable[:1])
    with pytest.raises(exceptions.ClientError, match="does not exist"):
        clients.orders.validate_checksum(tmp_path / order_id, "MD5")
    paths = await clients.orders.download_order(order_id, tmp_path)
    with pytest.raises(exceptions.ClientError, match="must be one of MD5 or SHA256"):
        clients.orders.validate_checksum(tmp_path / order_id, "CRC32")
    rasters(paths)[0].unlink()
    with pytest.raises(exceptions.ClientError, match="does not exist"):
        clients.orders.validate_checksum(tmp_path / order_id, "MD5")
