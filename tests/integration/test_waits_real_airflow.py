"""Two hundred deferred waits in a real Airflow whose triggerer is killed midway: all end, with few requests."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from shared_airflow import LONG_SECONDS, RUN_SECONDS, SharedAirflow

from planet_provider.client.api.orders import create
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose
from planet_provider.triggers.order_watch import SINGLE_LOOKS_PER_MINUTE

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WAITS = 200
POKE_SECONDS = 5.0

DAG = """
from airflow.sdk import DAG

from planet_provider.sensors.orders import PlanetOrderSensor

with DAG(dag_id="waits", schedule=None, max_active_tasks=300):
    PlanetOrderSensor.partial(
        task_id="wait", deferrable=True, poke_interval=__POKE_SECONDS__, timeout=3600, planet_conn_id="waits"
    ).expand(order_id=__ORDER_IDS__)
"""


def place(sandbox: Sandbox, count: int) -> list[str]:
    scenes = (item for item in sandbox.catalogue if item.item_type == "PSScene")
    item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
    products = [{"item_type": "PSScene", "item_ids": [item_id], "product_bundle": "visual"}]
    config = PlanetConfig(
        api_key=sandbox.api_key, base_url=sandbox.url, rate_limits={"orders.create": 1000.0}
    )
    with PlanetSession(config) as session:
        return [session.send(create({"name": f"{n}", "products": products}))["id"] for n in range(count)]


def states(airflow: SharedAirflow) -> Counter[str]:
    return Counter(str(row.state) for row in airflow.metadata.tasks("waits"))


def test_a_triggerer_killed_midway(airflow: SharedAirflow) -> None:
    settings = SandboxConfig(
        items=400, scene_pixels=16, queued_seconds=LONG_SECONDS, rates={"orders.create": 1000.0}
    )
    with run(settings) as sandbox:
        first = place(sandbox, WAITS // 2)
        sandbox.clock.advance(LONG_SECONDS / 2)
        order_ids = first + place(sandbox, WAITS // 2)
        airflow.add_connection("waits", sandbox.url, sandbox.api_key)
        code = DAG.replace("__ORDER_IDS__", repr(order_ids)).replace("__POKE_SECONDS__", repr(POKE_SECONDS))
        airflow.add_dags(code, "waits")
        airflow.trigger("waits", run_id="waits")
        started = time.monotonic()
        airflow.processes.wait_until(
            lambda: states(airflow)["deferred"] == WAITS, "not all were deferred", RUN_SECONDS
        )
        sandbox.clock.advance(LONG_SECONDS / 2 + 60)
        airflow.processes.wait_until(
            lambda: states(airflow)["success"] >= WAITS // 8, "none ended", RUN_SECONDS
        )
        # So that the new one takes over soon from the one that was killed.
        airflow.restart("triggerer", {"triggerer": {"triggerer_health_check_threshold": 10}})
        sandbox.clock.advance(LONG_SECONDS)
        airflow.wait_for_run("waits", "waits", RUN_SECONDS)
        minutes = (time.monotonic() - started) / 60
        rows = airflow.metadata.tasks("waits")
        assert {(row.state, row.try_number) for row in rows} == {("success", 1)}
        assert len(rows) == WAITS
        asked = [one for one in sandbox.requests if one.method == "GET"]
        # Each sensor looks once on its worker, before it defers; the rest is the two triggerers' budget.
        singles = Counter(one.path.rpartition("/")[2] for one in asked if "/orders/v2/" in one.path)
        by_triggerers = sum(singles.values()) - WAITS
        assert set(singles) == set(order_ids)
        assert by_triggerers <= SINGLE_LOOKS_PER_MINUTE * (minutes + 2)
        assert max(singles.values()) <= 1 + 2, "a triggerer asks for an order once, and then lists show it"
        lists = len(asked) - sum(singles.values())
        assert lists <= 2 * 60 * minutes / (0.8 * POKE_SECONDS)
        assert not [one for one in asked if one.status == 429]
