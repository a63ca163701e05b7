"""The SDK's asset calls: list, get, activate, wait, download, validate."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
import rasterio
from planet import exceptions, specs
from planet.reporting import AssetStatusBar
from rasterio.warp import transform_bounds
from sdk import BUNDLE, ITEM_TYPE, Clients, Feature, timestamp, utm_zone

from planet_provider.sandbox import Fault, Sandbox

pytest_plugins = ("sdk",)

IMAGE = "ortho_analytic_4b"


async def activated(clients: Clients, item: Feature, asset_type: str = IMAGE) -> dict[str, Any]:
    asset = await clients.data.get_asset(ITEM_TYPE, item["id"], asset_type)
    await clients.data.activate_asset(asset)
    return await clients.data.wait_asset(asset, delay=0)


async def test_list_item_assets(clients: Clients, orderable: list[Feature], server: Sandbox) -> None:
    item = orderable[0]
    assets = await clients.data.list_item_assets(ITEM_TYPE, item["id"])
    assert set(assets) == set(item["assets"])
    assert set(assets) >= set(specs.PRODUCT_BUNDLES["bundles"][BUNDLE]["assets"][ITEM_TYPE])
    for asset_type, asset in assets.items():
        assert asset["type"] == asset_type
        assert asset["status"] in {"inactive", "activating", "active"}
        assert asset["_links"]["_self"].startswith(f"{server.url}/data/v1/assets/")
        assert asset["_links"]["activate"].startswith(f"{server.url}/data/v1/assets/")
        assert ("download" in asset["_permissions"]) == (
            f"assets.{asset_type}:download" in item["_permissions"]
        )


async def test_get_asset(clients: Clients, orderable: list[Feature]) -> None:
    item = orderable[0]
    assets = await clients.data.list_item_assets(ITEM_TYPE, item["id"])
    assert await clients.data.get_asset("psscene", item["id"], IMAGE) == assets[IMAGE]
    with pytest.raises(exceptions.ClientError, match="must be one of"):
        await clients.data.get_asset(ITEM_TYPE, item["id"], "no_such_asset")


async def test_activate_and_wait_asset(own_clients: Clients, own_server: Sandbox) -> None:
    """An asset is inactive, activates once it is asked to, and then has a link and a checksum."""
    item = await first_downloadable(own_clients)
    asset = await own_clients.data.get_asset(ITEM_TYPE, item["id"], IMAGE)
    assert asset["status"] == "inactive"
    assert asset["md5_digest"] is None
    assert "location" not in asset
    with pytest.raises(exceptions.ClientError, match="Is asset active"):
        await own_clients.data.download_asset(asset)

    await own_clients.data.activate_asset(asset)
    asset = await own_clients.data.get_asset(ITEM_TYPE, item["id"], IMAGE)
    assert asset["status"] == "activating"
    with pytest.raises(exceptions.ClientError, match="Maximum number of attempts"):
        await own_clients.data.wait_asset(asset, delay=0, max_attempts=2)

    statuses: list[str] = []

    def move_on(status: str) -> None:
        statuses.append(status)
        if len(statuses) == 2:
            own_server.clock.advance(3600)

    asset = await own_clients.data.wait_asset(asset, delay=0, callback=move_on)
    assert statuses == ["activating", "activating", "active"]
    assert asset["status"] == "active"
    assert asset["location"].startswith(f"{own_server.url}/data/v1/download?token=")
    assert len(asset["md5_digest"]) == 32
    assert timestamp(asset["expires_at"]) > own_server.clock.now()


async def first_downloadable(clients: Clients) -> Feature:
    async for item in clients.data.search([ITEM_TYPE], limit=0):
        if f"assets.{IMAGE}:download" in item["_permissions"]:
            return item
    raise AssertionError("no downloadable item in the catalogue")


async def test_activate_asset_twice(clients: Clients, orderable: list[Feature]) -> None:
    """The SDK itself skips what is active; asked all the same, the API answers 204."""
    asset = await activated(clients, orderable[1])
    await clients.data.activate_asset(asset)
    answer = await clients.session.request(method="GET", url=asset["_links"]["activate"])
    assert answer.status_code == 204


async def test_activate_asset_without_permission(clients: Clients, scenes: list[Feature]) -> None:
    """Planet documents 401 for an asset that may not be downloaded; the SDK reads it as a bad key."""
    item = next(scene for scene in scenes if not scene["_permissions"] and scene["assets"])
    assets = await clients.data.list_item_assets(ITEM_TYPE, item["id"])
    asset = next(iter(assets.values()))
    assert asset["_permissions"] == []
    with pytest.raises(exceptions.InvalidAPIKey):
        await clients.data.activate_asset(asset)


async def test_wait_asset_reports_to_the_status_bar(clients: Clients, orderable: list[Feature]) -> None:
    item = orderable[2]
    asset = await clients.data.get_asset(ITEM_TYPE, item["id"], IMAGE)
    await clients.data.activate_asset(asset)
    with AssetStatusBar(ITEM_TYPE, item["id"], IMAGE, disable=True) as bar:
        await clients.data.wait_asset(asset, delay=0, callback=bar.update)
    assert bar.status == "active"


async def test_download_asset_and_validate_checksum(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    """The file has the name and checksum of the asset, and rasterio reads it where the item lies."""
    item = orderable[3]
    asset = await activated(clients, item)
    path = await clients.data.download_asset(asset, directory=tmp_path / "new", progress_bar=True)
    assert path.parent == tmp_path / "new"
    assert item["id"] in path.name
    assert path.suffix == ".tif"
    clients.data.validate_checksum(asset, path)
    with rasterio.open(path) as raster:
        assert raster.count == 4
        assert raster.crs.to_epsg() == utm_zone(item)
        west, south, east, north = transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)
    longitude, latitude = ((west + east) / 2, (south + north) / 2)
    corners = item["geometry"]["coordinates"][0]
    assert min(x for x, _ in corners) < longitude < max(x for x, _ in corners)
    assert min(y for _, y in corners) < latitude < max(y for _, y in corners)


async def test_download_asset_of_each_type_in_the_bundle(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    item = orderable[4]
    for asset_type in specs.PRODUCT_BUNDLES["bundles"][BUNDLE]["assets"][ITEM_TYPE]:
        asset = await activated(clients, item, asset_type)
        path = await clients.data.download_asset(asset, directory=tmp_path, progress_bar=False)
        clients.data.validate_checksum(asset, path)


async def test_download_asset_keeps_or_overwrites(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    asset = await activated(clients, orderable[3])
    path = tmp_path / "scene.tif"
    path.write_bytes(b"already here")
    options = {"filename": path.name, "directory": tmp_path, "progress_bar": False}
    assert await clients.data.download_asset(asset, **options) == path
    assert path.read_bytes() == b"already here"
    with pytest.raises(exceptions.ClientError, match="checksums do not match"):
        clients.data.validate_checksum(asset, path)
    assert await clients.data.download_asset(asset, overwrite=True, **options) == path
    assert hashlib.md5(path.read_bytes()).hexdigest() == asset["md5_digest"]


async def test_validate_checksum_of_a_missing_file(
    clients: Clients, orderable: list[Feature], tmp_path: Path
) -> None:
    asset = await activated(clients, orderable[3])
    with pytest.raises(exceptions.ClientError, match="does not exist"):
        clients.data.validate_checksum(asset, tmp_path / "nothing.tif")


async def test_validate_checksum_finds_a_flipped_byte(
    clients: Clients, orderable: list[Feature], server: Sandbox, tmp_path: Path
) -> None:
    asset = await activated(clients, orderable[3])
    server.faults.add(Fault(kind="corrupt", origin="storage"))
    path = await clients.data.download_asset(asset, directory=tmp_path, progress_bar=False)
    with pytest.raises(exceptions.ClientError, match="checksums do not match"):
        clients.data.validate_checksum(asset, path)


async def test_assets_in_parallel(clients: Clients, orderable: list[Feature], tmp_path: Path) -> None:
    """Several assets at once, as in the SDK's guide."""

    async def fetch(item: Feature) -> Path:
        asset = await activated(clients, item)
        path = await clients.data.download_asset(asset, directory=tmp_path, progress_bar=False)
        clients.data.validate_checksum(asset, path)
        return path

    paths = await asyncio.gather(*(fetch(item) for item in orderable[5:9]))
    assert len(set(paths)) == 4
