"""The hook's searches, saved ones, and their files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow_support import AOI, Scenes

from planet_provider.builders import filters
from planet_provider.exceptions import InvalidInputError, NotFoundError, OrderNotCancellableError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox

CLEAR = filters.range_filter("cloud_cover", lte=0.2)


@pytest.mark.guide("search-saved-create")
@pytest.mark.guide("search-saved-get")
@pytest.mark.guide("search-saved-update")
@pytest.mark.guide("search-saved-list")
@pytest.mark.guide("search-saved-run")
@pytest.mark.guide("search-saved-delete")
def test_a_saved_search_from_creation_to_deletion(planet: Sandbox) -> None:
    hook = PlanetHook()
    search_id = hook.create_search("weekly", ["PSScene"], CLEAR, geometry=AOI)["id"]
    assert hook.get_search(search_id)["name"] == "weekly"
    assert len(list(hook.run_search(search_id, limit=5))) == 5
    hook.update_search(search_id, "monthly", ["SkySatCollect"], enable_email=True)
    changed = hook.get_search(search_id)
    assert (changed["name"], changed["item_types"]) == ("monthly", ["SkySatCollect"])
    assert hook.upsert_search("monthly", ["SkySatCollect"], enable_email=True).action == "unchanged"
    assert hook.upsert_search("yearly", ["SkySatCollect"]).action == "created"
    assert [one["name"] for one in hook.list_searches(search_type="saved")] == ["yearly", "monthly"]
    assert [one["name"] for one in hook.list_searches(sort="created asc", limit=1)] == ["monthly"]
    planet.faults.add(Fault(kind="drop_after", method="DELETE"))
    hook.delete_search(search_id)
    with pytest.raises(NotFoundError):
        hook.delete_search(search_id)


@pytest.mark.guide("collect-list")
@pytest.mark.guide("collect-featurecollection")
def test_collecting(planet: Sandbox) -> None:
    from planet_provider.client import collect

    found = list(PlanetHook().search(["PSScene"], CLEAR, geometry=AOI))
    collection = collect.feature_collection(PlanetHook().search(["PSScene"], CLEAR, geometry=AOI))
    assert (collection["type"], collection["features"]) == ("FeatureCollection", found)
    assert json.loads(json.dumps(collection)) == collection


@pytest.mark.parametrize("suffix", [".geojson", ".ndjson", ".parquet"])
def test_a_search_into_a_file(planet: Sandbox, tmp_path: Path, suffix: str) -> None:
    import geopandas

    path = tmp_path / f"found{suffix}"
    result = PlanetHook().write_search(str(path), ["PSScene"], CLEAR, geometry=AOI, limit=20)
    assert result == {"path": str(path), "count": 20}
    if suffix == ".parquet":
        assert len(geopandas.read_parquet(path)) == 20
    else:
        assert path.read_text().count('"Feature"') == 20


def test_a_file_that_cannot_be_is_refused_before_anything_is_asked_for(planet: Sandbox) -> None:
    for path in ("/data/found.csv", "relative.geojson"):
        with pytest.raises(InvalidInputError, match="path"):
            PlanetHook().write_search(path, ["PSScene"])
    assert planet.requests == []


@pytest.mark.guide("item-coverage")
def test_coverage(planet: Sandbox, scenes: Scenes) -> None:
    hook = PlanetHook()
    item = hook.get_item(scenes.item_type, scenes.item_ids[0])
    for geometry in (item["geometry"], item, json.dumps(item["geometry"])):
        covered = hook.get_item_coverage(scenes.item_type, item["id"], geometry, mode="estimate")
        assert covered["status"] == "complete"
    before = len(planet.requests)
    with pytest.raises(InvalidInputError, match="geometry"):
        hook.get_item_coverage(scenes.item_type, item["id"], {"type": "Circle"})
    assert len(planet.requests) == before


@pytest.mark.guide("order-cancel")
@pytest.mark.guide("orders-cancel-many")
@pytest.mark.guide("order-list")
@pytest.mark.guide("orders-stats")
def test_orders_listed_counted_and_cancelled(planet: Sandbox, scenes: Scenes) -> None:
    hook = PlanetHook()
    products = [scenes.items | {"product_bundle": "visual"}]
    ids = [hook.create_order({"name": str(n), "products": products})["id"] for n in range(4)]
    assert [one["id"] for one in hook.list_orders(limit=3)] == ids[:0:-1]
    assert hook.get_order_stats()["organization"]["queued_orders"] == 4
    assert hook.cancel_order(ids[0])["state"] == hook.cancel_order(ids[0])["state"] == "cancelled"
    answer = hook.cancel_orders(ids[:2])
    assert [one["outcome"] for one in answer["orders"]] == ["cancelled", "cancelled"]
    assert answer["result"]["failed"]["count"] == 1
    planet.clock.advance(planet.config.queued_seconds + 1)
    with pytest.raises(OrderNotCancellableError):
        hook.cancel_order(ids[2])
