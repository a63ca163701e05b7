"""What tests of many waits share: starting them, and counting what Planet was asked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from airflow_support import first_event, revived

from planet_provider.client.api import orders
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox
from planet_provider.triggers.assets import PlanetAssetTrigger
from planet_provider.triggers.orders import PlanetOrderTrigger

LIST = "/compute/ops/orders/v2"
LIST_ONLY = r"^/compute/ops/orders/v2(?!/)"
NOWHERE = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"

Wait = asyncio.Task[dict[str, Any]]


def order_trigger(order_id: str, **settings: Any) -> PlanetOrderTrigger:
    values = {"order_id": order_id, "planet_conn_id": "planet_default", "poke_interval": 0.2, **settings}
    return revived(PlanetOrderTrigger(**values))  # type: ignore[no-any-return]


def order_waits(order_ids: Iterable[str], **settings: Any) -> list[Wait]:
    return [asyncio.create_task(first_event(order_trigger(one, **settings))) for one in order_ids]


def asset_waits(item_ids: Iterable[str], **settings: Any) -> list[Wait]:
    values = {
        "item_type": "PSScene",
        "asset_type": "ortho_visual",
        "planet_conn_id": "planet_default",
        "poke_interval": 0.2,
        **settings,
    }
    return [
        asyncio.create_task(first_event(revived(PlanetAssetTrigger(item_id=one, **values))))
        for one in item_ids
    ]


def lists(planet: Sandbox) -> int:
    """Count lists of orders that were asked for."""
    return sum(one.path == LIST and one.method == "GET" for one in planet.requests)


def singles(planet: Sandbox) -> Counter[str]:
    """Count what was asked for of single orders."""
    return Counter(one.path.rpartition("/")[2] for one in planet.requests if one.path.startswith(f"{LIST}/"))


def looks(planet: Sandbox) -> Counter[str]:
    """Count looks at items' assets."""
    return Counter(one.path.split("/")[-2] for one in planet.requests if one.path.endswith("/assets"))


async def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def end(waits: list[Wait]) -> None:
    """Cancel waits that are not to end by themselves."""
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def place(planet: Sandbox, request: dict[str, Any], count: int) -> list[str]:
    """Place orders; nothing that was asked for this is counted."""
    with PlanetHook().session() as session:
        made = [
            session.send(orders.create({**request, "name": f"{number}"}))["id"] for number in range(count)
        ]
    planet._state.recorder.clear()
    return made


def place_at_once(planet: Sandbox, request: dict[str, Any], count: int, **more: Any) -> list[str]:
    """Place one order, and copies of it past the API.

    :param more: What the copies have beside the request.
    """
    place(planet, request, 1)
    book = planet._state.orders
    [first] = book.snapshot()
    made = [
        book.place(first.user_id, {**request, "name": f"{number}", **more}, failures={}, area_km2=0.0).id
        for number in range(count)
    ]
    book._orders.pop(first.id)
    return made
