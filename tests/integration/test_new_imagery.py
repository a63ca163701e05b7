"""The example that is started by new imagery: a watcher in the triggerer, an event, a run, an order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from shared_airflow import DAY, NEW, RUN_SECONDS, SharedAirflow

from example_dags.planet_new_imagery import AOI
from planet_provider.builders import filters
from planet_provider.client.api import data
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Sandbox, SandboxConfig, run

pytestmark = pytest.mark.integration

#: Longer than the watcher may take to start.
STARTING = timedelta(hours=1)
#: The sandbox's time is days ahead, which suits no other test: it has a connection of its own.
OWN_CONNECTION = {
    "PlanetImageryTrigger(": 'PlanetImageryTrigger(planet_conn_id="new", ',
    "default_args={": 'default_args={"planet_conn_id": "new", ',
}


def published_since(sandbox: Sandbox, begin: datetime) -> dict[str, Any]:
    """Return the scenes that the example's watcher should have found, by id."""
    config = PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url, coordination_store="memory://")
    wanted = filters.and_filter(
        filters.range_filter("cloud_cover", lte=0.5),
        filters.asset_filter(["ortho_visual"]),
        filters.permission_filter(),
    )
    with PlanetSession(config) as session:
        criteria = filters.criteria(wanted, AOI, published_start=begin)
        pages = session.pages(data.quick_search(["PSScene"], **criteria))
        return {item["id"]: item for page in pages for item in page}


def runs(airflow: SharedAirflow) -> dict[str, tuple[str, str]]:
    """Return type and state of each run, by id, the first one first."""
    rows = airflow.metadata.query(
        "SELECT run_id, run_type, state FROM dag_run WHERE dag_id = ? ORDER BY id", NEW
    )
    return {str(run_id): (str(kind), str(state)) for run_id, kind, state in rows}


def ordered(sandbox: Sandbox) -> Counter[str]:
    return Counter(
        item_id
        for order in sandbox.orders.values()
        for product in order["products"]
        for item_id in product["item_ids"]
    )


@dataclass(frozen=True)
class Watched:
    """What the first run that the watcher started has left; the watcher goes on.

    :param begin: From when on scenes were published that it should have found.
    :param expected: Scenes that it should have found by then.
    :param delivered: Paths by scene.
    """

    airflow: SharedAirflow
    sandbox: Sandbox
    begin: datetime
    expected: set[str]
    delivered: dict[str, list[str]]


@pytest.fixture(scope="module")
def watched(airflow: SharedAirflow, scheduling: None) -> Iterator[Watched]:
    # The watch begins when the watcher starts, by the real clock; Planet's is days ahead, and has published since.
    settings = SandboxConfig(queued_seconds=0, running_seconds=0, scene_pixels=32, items=400)
    # What it publishes while the watcher starts, by the clock that is not ahead, is none of its.
    begin = datetime.now(timezone.utc) + STARTING
    with run(settings) as sandbox:
        sandbox.clock.advance(3 * DAY.total_seconds())
        expected = set(published_since(sandbox, begin))
        airflow.add_connection("new", sandbox.url, sandbox.api_key)
        airflow.add_example(NEW, OWN_CONNECTION)
        # The watcher starts with the DAG's next parsing after it was unpaused.
        airflow.parse_again(NEW)
        airflow.processes.wait_until(lambda: bool(runs(airflow)), "new imagery started no run", RUN_SECONDS)
        [run_id] = runs(airflow)
        airflow.wait_for_run(NEW, run_id, RUN_SECONDS)
        yield Watched(airflow, sandbox, begin, expected, airflow.xcom(NEW, run_id, "scenes"))


@pytest.mark.ci
def test_new_imagery_starts_a_run(watched: Watched) -> None:
    assert watched.expected
    assert watched.expected <= set(watched.delivered) <= set(ordered(watched.sandbox))
    check(watched)
    assert all(Path(path).stat().st_size for paths in watched.delivered.values() for path in paths)


@pytest.mark.slow
def test_a_watcher_that_was_killed_goes_on_where_it_was(watched: Watched) -> None:
    airflow, sandbox = watched.airflow, watched.sandbox
    if "asset_state_store" not in airflow.metadata.tables():
        pytest.skip("watchers go on where they were from Airflow 3.3 on")
    airflow.kill("triggerer")
    sandbox.clock.advance(1.5 * DAY.total_seconds())
    expected = set(published_since(sandbox, watched.begin))
    assert not expected <= set(watched.delivered)
    # So that it takes over soon from the one that was killed.
    airflow.start("triggerer", {"triggerer": {"triggerer_health_check_threshold": 10}})
    airflow.processes.wait_until(
        lambda: set(ordered(sandbox)) >= expected, "the watch did not go on", RUN_SECONDS
    )
    for run_id in runs(airflow):
        airflow.wait_for_run(NEW, run_id, RUN_SECONDS)
    check(watched)


def check(watched: Watched) -> None:
    assert set(runs(watched.airflow).values()) == {("asset_triggered", "success")}
    assert set(ordered(watched.sandbox).values()) == {1}, "no scene is ordered twice"
