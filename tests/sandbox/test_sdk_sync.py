"""The SDK's synchronous client: the same calls, through ``planet.Planet``."""

from __future__ import annotations

import inspect
import threading
import uuid
from pathlib import Path

import planet
import pytest
import rasterio
from planet import data_filter, exceptions
from planet.sync.data import DataAPI
from planet.sync.orders import OrdersAPI
from sdk import ITEM_TYPE, Feature, close_sync, ids, order_of, unique, utm_zone

from planet_provider.sandbox import run

pytest_plugins = ("sdk",)

CLEAR = data_filter.range_filter("cloud_cover", lt=0.2)
IMAGE = "ortho_analytic_4b"


def test_search(pl: planet.Planet, scenes: list[Feature]) -> None:
    expected = [scene for scene in scenes if scene["properties"]["cloud_cover"] < 0.2]
    found = list(pl.data.search([ITEM_TYPE], CLEAR, sort="acquired asc", limit=0))
    assert ids(found) == ids(expected)
    assert len(list(pl.data.search([ITEM_TYPE], limit=3, geometry=scenes[0]["geometry"], name="x"))) > 0


def test_saved_search(pl: planet.Planet) -> None:
    name = unique("sync")
    created = pl.data.create_search([ITEM_TYPE], CLEAR, name)
    assert pl.data.get_search(created["id"])["name"] == name
    updated = pl.data.update_search(created["id"], [ITEM_TYPE], CLEAR, f"{name}-2", enable_email=True)
    assert updated["__daily_email_enabled"] is True
    assert created["id"] in ids(list(pl.data.list_searches(search_type="saved", limit=0)))
    assert len(list(pl.data.run_search(created["id"], limit=5))) == 5
    pl.data.delete_search(created["id"])
    with pytest.raises(exceptions.MissingResource):
        pl.data.get_search(created["id"])


def test_stats_and_item(pl: planet.Planet, scenes: list[Feature]) -> None:
    stats = pl.data.get_stats([ITEM_TYPE], data_filter.empty_filter(), "month")
    assert sum(bucket["count"] for bucket in stats["buckets"]) == len(scenes)
    assert pl.data.get_item(ITEM_TYPE, scenes[0]["id"]) == scenes[0]
    coverage = pl.data.get_item_coverage(ITEM_TYPE, scenes[0]["id"], scenes[0]["geometry"], mode="estimate")
    assert "status" in coverage


def test_asset(pl: planet.Planet, orderable: list[Feature], tmp_path: Path) -> None:
    item = orderable[10]
    assert IMAGE in pl.data.list_item_assets(ITEM_TYPE, item["id"])
    asset = pl.data.get_asset(ITEM_TYPE, item["id"], IMAGE)
    pl.data.activate_asset(asset)
    asset = pl.data.wait_asset(asset, delay=0)
    path = pl.data.download_asset(asset, directory=tmp_path, progress_bar=False)
    pl.data.validate_checksum(asset, path)
    with rasterio.open(path) as raster:
        assert raster.crs.to_epsg() == utm_zone(item)


def test_order(pl: planet.Planet, orderable: list[Feature], tmp_path: Path) -> None:
    name = unique("sync")
    order = pl.orders.create_order(order_of(orderable[:1], name))
    states: list[str] = []
    assert pl.orders.wait(order["id"], delay=0, callback=states.append) == "success"
    assert states[-1] == "success"
    done = pl.orders.get_order(order["id"])
    assert ids(list(pl.orders.list_orders(name=name, state="success"))) == {order["id"]}
    assert "user" in pl.orders.aggregated_order_stats()
    paths = pl.orders.download_order(order["id"], tmp_path)
    assert len(paths) == len(done["_links"]["results"])
    pl.orders.validate_checksum(tmp_path / order["id"], "SHA256")
    location = done["_links"]["results"][0]["location"]
    assert pl.orders.download_asset(location, "one", tmp_path, progress_bar=False).stat().st_size > 0


def test_cancel(orderable: list[Feature]) -> None:
    with run(rate_limits=False, queued_seconds=1000) as sandbox:
        session = planet.Session(auth=planet.Auth.from_key(sandbox.api_key))
        pl = planet.Planet(session=session, base_url=sandbox.url)
        orders = [pl.orders.create_order(order_of(orderable[:1], f"order-{number}")) for number in range(3)]
        pl.orders.cancel_order(orders[0]["id"])
        assert pl.orders.cancel_orders([orders[1]["id"]])["result"]["succeeded"]["count"] == 1
        assert pl.orders.cancel_orders()["result"]["succeeded"]["count"] == 1
        assert {order["state"] for order in pl.orders.list_orders()} == {"cancelled"}
        close_sync(session)


def test_errors_cross_the_thread(pl: planet.Planet) -> None:
    with pytest.raises(exceptions.MissingResource):
        pl.orders.get_order(str(uuid.uuid4()))


def test_iterators_can_be_used_from_several_threads(pl: planet.Planet) -> None:
    """Once the first call has started the client's event loop: the SDK takes no lock for that."""
    next(pl.data.search([ITEM_TYPE], limit=1))
    found: list[int] = []

    def count() -> None:
        found.append(len(list(pl.data.search([ITEM_TYPE], CLEAR, limit=300))))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [300] * 3


def test_synchronous_client_has_every_call_of_the_asynchronous_one() -> None:
    for sync, client in ((DataAPI, planet.DataClient), (OrdersAPI, planet.OrdersClient)):
        public = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if name[0] != "_"}
        assert public == {name for name, _ in inspect.getmembers(sync, inspect.isfunction) if name[0] != "_"}
