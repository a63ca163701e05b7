"""One wait as a task's process has it: a sensor that pokes; run by :mod:`benchmarks.waits`."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace


def main() -> None:
    """Wait for one order until it has ended."""
    told = json.loads(sys.stdin.readline())
    connection = {"conn_type": "planet", "host": told["url"], "password": told["api_key"]}
    os.environ["AIRFLOW_CONN_PLANET_DEFAULT"] = json.dumps(connection)
    from planet_provider.sensors.orders import PlanetOrderSensor

    sensor = PlanetOrderSensor(
        task_id="wait", order_id=told["order_ids"][0], deferrable=False, poke_interval=30.0, timeout=1e6
    )
    task_instance = SimpleNamespace(xcom_push=lambda **_: None)
    sensor.execute({"ti": task_instance})  # type: ignore[arg-type,typeddict-item]


if __name__ == "__main__":
    main()
