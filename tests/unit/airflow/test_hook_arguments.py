"""The hook checks its arguments when it is called, before any request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow_support import Connect, Scenes

from planet_provider.builders import spec
from planet_provider.exceptions import AssetUnavailableError, InvalidInputError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox

SEARCH_ID = "286469f0b27c476e96c3c4e561f59664"
LIMITS = [0, -1, True, "5", 1.0]

#: What gathers pages, by its name.
LISTS: dict[str, Callable[..., Iterator[Any]]] = {
    "search": lambda hook, **rest: hook.search(["PSScene"], **rest),
    "run_search": lambda hook, **rest: hook.run_search(SEARCH_ID, **rest),
    "list_searches": lambda hook, **rest: hook.list_searches(**rest),
    "list_orders": lambda hook, **rest: hook.list_orders(**rest),
}


@pytest.mark.parametrize("conn_id", [None, 7, "", ["a"], b"a", "a\ud800"])
def test_an_id_that_no_connection_has(conn_id: Any) -> None:
    with pytest.raises(InvalidInputError, match="planet_conn_id="):
        PlanetHook(conn_id)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("name", LISTS)
def test_a_limit_that_is_none_is_refused_at_once(planet: Sandbox, name: str, limit: Any) -> None:
    with pytest.raises(InvalidInputError, match=f"limit={limit!r}: must be a whole number greater than 0"):
        LISTS[name](PlanetHook(), limit=limit)
    assert planet.requests == []


@pytest.mark.parametrize("limit", LIMITS)
def test_no_file_is_written_with_such_a_limit(planet: Sandbox, tmp_path: Path, limit: Any) -> None:
    with pytest.raises(InvalidInputError, match="limit="):
        PlanetHook().write_search(str(tmp_path / "found.geojson"), ["PSScene"], limit=limit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda hook: hook.search(5), "item_types"),
        (lambda hook: hook.search(["PSScene"], {"type": "nope"}), "search_filter.type"),
        (lambda hook: hook.search(["PSScene"], sort="up"), "sort"),
        (lambda hook: hook.run_search("mine"), "search_id"),
        (lambda hook: hook.run_search(SEARCH_ID, sort="up"), "sort"),
        (lambda hook: hook.list_searches(search_type="mine"), "search_type"),
        (lambda hook: hook.list_orders(state="lost"), "state"),
        (lambda hook: hook.create_search(None, ["PSScene"]), "name"),
        (lambda hook: hook.create_search("weekly", ["PSScene"], enable_email="no"), "enable_email"),
        (lambda hook: hook.update_search(SEARCH_ID, "", ["PSScene"]), "name"),
        (lambda hook: hook.cancel_orders(None), "order_ids"),
    ],
)
def test_refused_at_once(planet: Sandbox, call: Callable[[PlanetHook], object], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        call(PlanetHook())
    assert caught.value.field == field
    assert planet.requests == []


def test_nothing_is_sent_before_the_first_is_asked_for(planet: Sandbox) -> None:
    found = PlanetHook().search(["PSScene"], limit=2)
    assert planet.requests == []
    assert len(list(found)) == 2
    assert len(planet.requests) == 1


def test_orders_of_any_state(planet: Sandbox, scenes: Scenes) -> None:
    hook = PlanetHook()
    order = hook.create_order(
        {
            "name": "any",
            "products": [
                {"item_ids": [scenes.item_ids[0]], "item_type": "PSScene", "product_bundle": "visual"}
            ],
        }
    )
    assert [one["id"] for one in hook.list_orders(state=None)] == [order["id"]]


@pytest.mark.guide("asset-get")
@pytest.mark.guide("asset-activate")
@pytest.mark.planet_sandbox(scene_pixels=64)
def test_a_single_asset(planet: Sandbox, scenes: Scenes) -> None:
    hook, ids = PlanetHook(), ("PSScene", scenes.item_ids[0])
    assert hook.get_asset(*ids, "ortho_visual")["status"] == "inactive"
    activated = hook.activate_asset(*ids, "ortho_visual")
    assert activated == {
        "item_type": "PSScene",
        "item_id": scenes.item_ids[0],
        "asset_type": "ortho_visual",
        "status": "activating",
        "md5_digest": None,
    }
    planet.clock.advance(planet.config.activation_seconds + 1)
    active = hook.get_asset(*ids, "ortho_visual")
    assert (active["status"], active["location"].startswith(planet.url)) == ("active", True)
    for wrong, kind in (("ortho_infrared", AssetUnavailableError), ("../x", InvalidInputError)):
        for ask in (hook.get_asset, hook.activate_asset):
            with pytest.raises(kind):
                ask(*ids, wrong)


@pytest.mark.usefixtures("planet")
def test_a_search_takes_areas_of_any_number_of_vertices(
    connect: Connect, scenes: Scenes, caplog: pytest.LogCaptureFixture
) -> None:
    top = [[-179 + 358 * index / 1999, 85.0] for index in range(2000)]
    area = {"type": "Polygon", "coordinates": [[*top, [179.0, -85.0], [0.0, -85.0], [-179.0, -85.0], top[0]]]}
    uses: list[Callable[[PlanetHook], object]] = [
        lambda hook: list(hook.search(["PSScene"], geometry=area, limit=1)),
        lambda hook: hook.create_search("large", ["PSScene"], geometry=area),
        lambda hook: hook.upsert_search("larger", ["PSScene"], geometry=area),
        lambda hook: hook.get_stats(["PSScene"], None, "year", geometry=area),
        lambda hook: hook.get_item_coverage("PSScene", scenes.item_ids[0], area, mode="estimate"),
    ]
    spec.warn.cache_clear()
    for use in uses:
        use(PlanetHook())
    assert {"2004 is more vertices than the 1500" in message for message in caplog.messages} == {True}
    caplog.clear()
    connect(max_vertices=2004)
    for use in uses:
        use(PlanetHook())
    assert caplog.messages == []
