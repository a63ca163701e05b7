"""``dag.test()``: tasks that defer end there too, each with its trigger in an event loop of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_airflow import LONG_SECONDS, connection

from demo.local_airflow import LocalAirflow
from planet_provider.sandbox import Sandbox, SandboxConfig, run
from planet_provider.sandbox.bundles import choose

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG = """
import json
import os

from airflow.sdk import DAG

from planet_provider.operators.assets import PlanetActivateAssetOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.sensors.assets import PlanetAssetSensor
from planet_provider.sensors.orders import PlanetOrderSensor

ITEM = os.environ["ITEM"]
ORDER = {"items": {"item_type": "PSScene", "item_ids": [ITEM]}, "product_bundle": "visual"}
ASSET = {"item_type": "PSScene", "item_id": ITEM, "asset_type": "ortho_visual"}
WAIT = {"deferrable": True, "poke_interval": 0.5, "timeout": 1800}

with DAG(dag_id="waits", schedule=None) as dag:
    PlanetOrderSensor(task_id="fails_without_order", order_id="no order")
    waits = PlanetCreateOrderOperator(task_id="create", name="first", wait_for_completion=True, **ORDER, **WAIT)
    order = PlanetCreateOrderOperator(task_id="order", name="second", reuse="run", **ORDER)
    sensor = PlanetOrderSensor(task_id="order_sensor", order_id=order.output, **WAIT)
    activate = PlanetActivateAssetOperator(task_id="activate", **ASSET)
    asset = PlanetAssetSensor(task_id="asset_sensor", **ASSET, **WAIT)
    waits >> order >> sensor >> activate >> asset

if __name__ == "__main__":
    run = dag.test()
    states = {one.task_id: str(one.state) for one in run.get_task_instances()}
    found = {one.task_id: one.xcom_pull(task_ids=one.task_id) for one in run.get_task_instances()}
    print(json.dumps({"states": states, "found": found}))
"""


def changes(planet: Sandbox) -> int:
    """Count lists of changes: nobody but a trigger's poller asks for them."""
    queries = [one.query for one in planet.requests if one.path == "/compute/ops/orders/v2"]
    return sum("last_modified" in one or "last_modified" in one.get("sort_by", "") for one in queries)


def looks(planet: Sandbox) -> int:
    return sum(one.path.endswith("/assets") for one in planet.requests)


def test_deferred_tasks_end(tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "waits.py").write_text(DAG)
    settings = SandboxConfig(
        items=400,
        scene_pixels=16,
        queued_seconds=LONG_SECONDS,
        running_seconds=1.0,
        activation_seconds=LONG_SECONDS,
    )
    with run(settings) as planet:
        scenes = (item for item in planet.catalogue if item.item_type == "PSScene")
        item_id = next(item.id for item in scenes if choose(item, "visual") == "visual")
        airflow = LocalAirflow(
            tmp_path / "home",
            dags,
            connections={"planet_default": json.dumps(connection(planet.url, planet.api_key))},
            extra_environment={"HOME": str(tmp_path), "ITEM": item_id},
        )
        airflow.command("db", "migrate")
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, str(dags / "waits.py")],
                env=airflow.environment | {"PYTHONPATH": os.getcwd()},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

        def until(condition: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 300
            while not condition():
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.05)

        try:
            for number in (1, 2):
                until(lambda: len(planet.orders) == number)  # noqa: B023 - called at once
                asked = changes(planet)
                until(lambda: changes(planet) >= asked + 2)  # noqa: B023
                planet.clock.advance(LONG_SECONDS + 10)
            # The activation's, the sensor's first one, and those of its trigger.
            until(lambda: looks(planet) >= 4)
            planet.clock.advance(LONG_SECONDS + 10)
            output, _ = process.communicate(timeout=300)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, (tmp_path / "log").read_text()
    told = json.loads(output.splitlines()[-1])
    assert told["states"].pop("fails_without_order") == "failed"
    assert set(told["states"].values()) == {"success"}, told["states"]
    # At the end of each try Airflow asks for the link to the order; one that isn't there is no error.
    lines = [*output.splitlines(), *(tmp_path / "log").read_text().splitlines()]
    assert [line for line in lines if "_link_PlanetOrderLink" in line and "not found" in line] == []
    assert told["found"]["order_sensor"]["state"] == "success"
    assert told["found"]["order_sensor"]["order_id"] == told["found"]["order"]
    assert told["found"]["create"] != told["found"]["order"]
    assert told["found"]["asset_sensor"]["status"] == "active"
