"""A sandbox in a process of its own, whose orders end spread over a time; run by :mod:`benchmarks.waits`."""

from __future__ import annotations

import json
import random
import sys
from datetime import timedelta
from typing import Any

from planet_provider.client.api.orders import create
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose
from planet_provider.sandbox.order import Transition

#: Seconds until the first order changes, in which the clients start.
LEAD_SECONDS = 20.0


def main() -> None:
    """Serve until standard input is closed; then print what was asked."""
    count, seconds, seed = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    settings = SandboxConfig(items=400, scene_pixels=16, orders_page_size=20, recorded_requests=1_000_000)
    with run(settings) as sandbox:
        order_ids = place(sandbox, count, seconds, random.Random(seed))
        told = {"url": sandbox.url, "api_key": sandbox.api_key, "order_ids": order_ids}
        print(json.dumps(told), flush=True)
        sys.stdin.read()
        asked = [[one.at, one.method, one.path, one.status] for one in sandbox.requests]
        print(json.dumps(asked), flush=True)


def place(sandbox: Sandbox, count: int, seconds: float, rng: random.Random) -> list[str]:
    """Place orders that begin to run and end at times spread evenly; all of the same scene."""
    scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
    item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
    product = {"item_type": "PSScene", "item_ids": [item_id], "product_bundle": "visual"}
    request: dict[str, Any] = {"name": "waits", "products": [product]}
    config = PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url)
    with PlanetSession(config) as session:
        session.send(create(request))
    book = sandbox._state.orders
    [first] = book.snapshot()
    orders = [
        book.place(first.user_id, {**request, "name": f"waits {number}"}, failures={}, area_km2=0.0)
        for number in range(count)
    ]
    start = sandbox.clock.now() + timedelta(seconds=LEAD_SECONDS)
    for order in orders:
        end = rng.uniform(0.02, 1.0) * seconds
        order.transitions = [
            order.transitions[0],
            Transition(start + timedelta(seconds=rng.uniform(0.0, 1.0) * end), "running"),
            Transition(start + timedelta(seconds=end), "success"),
        ]
    book._orders.pop(first.id)
    sandbox._state.recorder.clear()
    return [order.id for order in orders]


if __name__ == "__main__":
    main()
