"""The first wait of a triggerer loads modules and certificates in a thread, not on the event loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow_support import CONNECTION, FAST, Scenes
from watch_support import place

from planet_provider.sandbox import Sandbox

#: Modules that a wait needs and that Airflow's triggerer has not loaded itself.
OURS = {"anyio", "certifi", "h11", "httpcore", "httpx", "pendulum", "planet_provider", "redis", "tenacity"}

SCRIPT = """
import asyncio, json, sys, threading

import airflow.jobs.triggerer_job_runner
import httpx
from airflow.sdk.execution_time import task_runner
from planet_provider.triggers.{module} import {kind}

if not hasattr(task_runner, "SUPERVISOR_COMMS"):
    task_runner.SUPERVISOR_COMMS = None  # Airflow 3.1 wants to see one, no matter who has the connection

loaded, opened = [], []


class Spy:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            loaded.append(name)
        return None


create = httpx.create_ssl_context


def creating(*given, **options):
    opened.append(threading.current_thread() is threading.main_thread())
    return create(*given, **options)


httpx.create_ssl_context = creating
sys.meta_path.insert(0, Spy())


async def main():
    trigger = {kind}(**json.loads(sys.argv[1]))
    [event] = [event.payload async for event in trigger.run()]
    return event


event = asyncio.run(main())
print(json.dumps({{"event": event, "loaded": loaded, "opened": opened}}))
"""


@pytest.mark.ci
@pytest.mark.parametrize(("kind", "store"), [("order", "redis"), ("asset", "file")])
def test_the_first_wait_loads_nothing_on_the_loop(
    planet: Sandbox, scenes: Scenes, tmp_path: Path, store: str, kind: str
) -> None:
    # A Redis that doesn't answer: what it takes to load the client is the same, and the limit goes on without.
    url = "redis://127.0.0.1:1/0" if store == "redis" else (tmp_path / "limits").as_uri()
    extra = FAST | {"coordination_store": url, "coordination_fallback": 1.0}
    connection = {"conn_type": "planet", "host": planet.url, "password": planet.api_key, "extra": extra}
    common = {"planet_conn_id": "planet_default", "poke_interval": 0.1}
    if kind == "order":
        [order_id] = place(planet, {"products": [scenes.items | {"product_bundle": "visual"}]}, 1)
        script = SCRIPT.format(module="orders", kind="PlanetOrderTrigger")
        given = {"order_id": order_id, "state": "queued", **common}
        ends = "done"
    else:
        script = SCRIPT.format(module="assets", kind="PlanetAssetTrigger")
        given = {"item_type": "PSScene", "item_id": scenes.item_ids[0], "asset_type": "nothing", **common}
        ends = "error"
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(given)],
        env=os.environ | {CONNECTION: json.dumps(connection)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=240,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["event"]["status"] == ends
    assert {name.partition(".")[0] for name in said["loaded"]}.isdisjoint(OURS)
    assert said["opened"] == [False], "the certificates are loaded in a thread"
