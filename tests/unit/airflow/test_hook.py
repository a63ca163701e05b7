"""The hook: Test button, sessions, and one method an endpoint."""

from __future__ import annotations

import socket
import time

import pytest
from airflow_support import AOI, Connect, Scenes

from planet_provider.client import data, orders
from planet_provider.exceptions import BadRequestError, InvalidInputError, NotFoundError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Fault, Sandbox


def order(scenes: Scenes, name: str = "hook") -> dict[str, object]:
    return {"name": name, "products": [scenes.items | {"product_bundle": "visual"}]}


def test_the_test_button_with_a_good_key(planet: Sandbox, scenes: Scenes) -> None:
    PlanetHook().create_order(order(scenes))
    ok, said = PlanetHook().test_connection()
    assert ok
    assert said == f"{planet.url} accepts the API key: 1 orders queued, 0 running."


def test_the_test_button_with_a_bad_key(connect: Connect) -> None:
    connect({"password": "PLAK-nobodys-0123456789"})
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "401" in said
    assert "Check the API key" in said
    assert "PLAK" not in said


def test_the_test_button_with_nobody_there(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    # Patient settings, which the button must not wait for.
    connect({"host": f"http://127.0.0.1:{port}"}, backoff_seconds=2.0, max_attempts=10)
    started = time.monotonic()
    ok, said = PlanetHook().test_connection()
    assert time.monotonic() - started < 8
    assert not ok
    assert f"127.0.0.1:{port}" in said


def test_the_test_button_with_a_server_in_trouble(planet: Sandbox) -> None:
    planet.faults.add(Fault(kind="status", status=503, times=None))
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "503" in said
    assert len(planet.requests) == 2


def test_the_test_button_with_a_bad_connection(connect: Connect, planet_sandbox: Sandbox) -> None:
    connect(timout=5)
    ok, said = PlanetHook().test_connection()
    assert not ok
    assert "unknown extra 'timout'" in said
    ok, said = PlanetHook("elsewhere").test_connection()
    assert not ok
    assert "elsewhere" in said
    assert planet_sandbox.requests == []


def test_sessions(planet: Sandbox, scenes: Scenes) -> None:
    with PlanetHook().session() as session:
        placed = session.send(orders.create(order(scenes)))
        assert session.send(orders.get(placed["id"]))["id"] == placed["id"]
    with PlanetHook().get_conn() as session:
        assert [len(page) for page in session.pages(orders.list_orders())] == [1]
    assert all(request.authorized for request in planet.requests)


async def test_async_session(planet: Sandbox, scenes: Scenes) -> None:
    async with await PlanetHook().async_session() as session:
        item = await session.send(data.item(scenes.item_type, scenes.item_ids[0]))
    assert item["id"] == scenes.item_ids[0]


def test_search(planet: Sandbox) -> None:
    found = list(PlanetHook().search(["PSScene"], geometry=AOI, limit=3, sort="acquired asc"))
    assert len(found) == 3
    times = [item["properties"]["acquired"] for item in found]
    assert times == sorted(times)
    assert len(planet.requests) == 1, "no page beyond the limit"


def test_search_refuses_bad_input(planet: Sandbox) -> None:
    swapped = {"type": "Point", "coordinates": [37.7, -122.4]}
    with pytest.raises(InvalidInputError, match="swap"):
        next(PlanetHook().search(["PSScene"], geometry=swapped))
    assert planet.requests == []


def test_items_and_assets(planet: Sandbox, scenes: Scenes) -> None:
    item = PlanetHook().get_item(scenes.item_type, scenes.item_ids[0])
    assert item["properties"]["item_type"] == scenes.item_type
    assets = PlanetHook().get_assets(scenes.item_type, scenes.item_ids[0])
    assert set(assets) == set(item["assets"])
    stats = PlanetHook().get_stats(["PSScene"], {"type": "AndFilter", "config": []}, "month")
    assert sum(bucket["count"] for bucket in stats["buckets"]) > 0
    with pytest.raises(NotFoundError):
        PlanetHook().get_item(scenes.item_type, "20010101_000000_00_0000")


def test_orders(planet: Sandbox, scenes: Scenes) -> None:
    hook = PlanetHook()
    placed = [hook.create_order(order(scenes, name))["id"] for name in ("a", "b", "c")]
    assert hook.get_order(placed[0])["name"] == "a"
    assert [found["id"] for found in hook.list_orders(name="b")] == [placed[1]]
    assert hook.get_order_stats()["user"]["queued_orders"] == 3
    assert hook.cancel_order(placed[0])["state"] == "cancelled"
    hook.cancel_orders(placed[1:])
    assert {order["state"] for order in planet.orders.values()} == {"cancelled"}
    with pytest.raises(InvalidInputError, match="order_ids"):
        hook.cancel_orders([])
    with pytest.raises(BadRequestError, match="400"):
        hook.create_order({"name": "empty", "products": []})
