"""Many tasks and many deferred waits of one account at once."""

from __future__ import annotations

import json
import os

from airflow.sdk import DAG, task

from planet_provider.client.api import data, orders
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sensors.orders import PlanetOrderSensor

CROWD = json.loads(os.environ["PLANET_TEST_CROWD"])

with DAG(dag_id="planet_crowd", schedule=None, max_active_tasks=1000):
    PlanetOrderSensor.partial(task_id="wait", deferrable=True, poke_interval=2).expand(
        order_id=CROWD["order_ids"]
    )

    @task
    def ask(number: int) -> int:
        """Send requests as fast as they may go."""
        with PlanetHook().session() as session:
            for _ in range(10):
                session.send(data.item("PSScene", CROWD["item_id"]))
            for _ in range(3):
                session.send(orders.stats())
        return number

    ask.expand(number=list(range(CROWD["tasks"])))
