"""The example for late imagery, started by the scheduler itself: windows of publication, and a run a day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from shared_airflow import DAY, LATE, LATE_DAY, RUN_SECONDS, SharedAirflow, fast, midnight

from example_dags.planet_late_imagery import AOI, OLDEST, SETTLED, has_partitions
from planet_provider.builders import filters
from planet_provider.client.api import data
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Sandbox

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAG_ID, DAY_DAG_ID = LATE, LATE_DAY


def when(item: dict[str, Any], name: str) -> datetime:
    """Return a time among an item's properties."""
    return datetime.fromisoformat(item["properties"][name].replace("Z", "+00:00"))


def catalogue(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return all scenes that the example would order, whatever their times."""
    config = PlanetConfig(api_key=sandbox.api_key, base_url=sandbox.url, coordination_store="memory://")
    wanted = filters.and_filter(
        filters.range_filter("cloud_cover", lte=0.5),
        filters.asset_filter(["ortho_visual"]),
        filters.permission_filter(),
    )
    with PlanetSession(config) as session:
        pages = session.pages(data.quick_search(["PSScene"], **filters.criteria(wanted, AOI)))
        return [item for page in pages for item in page]


@dataclass(frozen=True)
class Outcome:
    """What the scheduled run of yesterday, and the run of a day with a late scene, have left.

    :param items: All scenes there are.
    :param late: One that was published days after its acquisition.
    :param yesterday: When it began, when the DAG was unpaused.
    :param runs: Run ids by the start of the data interval.
    :param days: What the other DAG's runs returned.
    """

    airflow: SharedAirflow
    sandbox: Sandbox
    items: list[dict[str, Any]]
    late: dict[str, Any]
    yesterday: datetime
    runs: dict[datetime, str]
    days: list[dict[str, Any]]

    def found(self, run_id: str) -> list[str]:
        batches = self.airflow.xcom(DAG_ID, run_id, "search")
        return [item_id for batch in batches for item_id in batch["item_ids"]]


def run_ids(airflow: SharedAirflow, dag_id: str, *states: str) -> list[str]:
    rows = airflow.metadata.query("SELECT run_id, state FROM dag_run WHERE dag_id = ?", dag_id)
    return [run_id for run_id, state in rows if not states or state in states]


def scheduled(airflow: SharedAirflow) -> dict[datetime, str]:
    """Return the first run that the scheduler has made, by the start of its data interval."""
    rows = airflow.metadata.query(
        "SELECT date(data_interval_start), run_id FROM dag_run WHERE dag_id = ? AND run_type = 'scheduled' "
        "ORDER BY logical_date LIMIT 1",
        DAG_ID,
    )
    return {datetime.fromisoformat(f"{day}T00:00:00+00:00"): run_id for day, run_id in rows}


def collected(airflow: SharedAirflow) -> list[dict[str, Any]]:
    """Return what the runs that have succeeded gathered."""
    return [
        airflow.xcom(DAY_DAG_ID, row.run_id, "collect", map_index=row.map_index)
        for run_id in run_ids(airflow, DAY_DAG_ID, "success")
        for row in airflow.metadata.tasks(run_id)
        if row.task_id == "collect"
    ]


@pytest.fixture(scope="module")
def outcome(airflow: SharedAirflow, scheduling: None) -> Outcome:
    sandbox = airflow.sandbox
    items = catalogue(sandbox)
    yesterday = midnight(1)
    late = max(
        (
            item
            for item in items
            if DAY < when(item, "published") - when(item, "acquired") < OLDEST
            and when(item, "published") < yesterday - SETTLED
        ),
        key=lambda item: when(item, "published"),
    )
    with fast(sandbox):
        airflow.add_example(LATE)
        start = (when(late, "published") + SETTLED).replace(hour=0, minute=0, second=0, microsecond=0)
        by_hand = airflow.trigger(DAG_ID, run_id="late", interval=(start, start + DAY))
        airflow.processes.wait_until(lambda: bool(scheduled(airflow)), "no run was scheduled", RUN_SECONDS)
        runs = {start: by_hand, **scheduled(airflow)}
        for run_id in runs.values():
            airflow.wait_for_run(DAG_ID, run_id, RUN_SECONDS)
        days = {day for run_id in runs.values() for day in airflow.xcom(DAG_ID, run_id, "file_by_day")}
        airflow.processes.wait_until(
            lambda: (
                {one["day"] for one in collected(airflow)} == days
                and not run_ids(airflow, DAY_DAG_ID, "queued", "running")
            ),
            "not every day was worked on",
            RUN_SECONDS,
        )
    assert run_ids(airflow, DAY_DAG_ID, "failed") == []
    return Outcome(airflow, sandbox, items, late, yesterday, runs, collected(airflow))


def test_the_scheduler_makes_a_run_of_the_last_day(outcome: Outcome) -> None:
    assert max(outcome.runs) == outcome.yesterday


def test_a_run_finds_what_was_published_in_its_window(outcome: Outcome) -> None:
    for start, run_id in outcome.runs.items():
        expected = {
            item["id"]
            for item in outcome.items
            if start - SETTLED <= when(item, "published") < start + DAY - SETTLED
            and start - OLDEST <= when(item, "acquired")
        }
        found = outcome.found(run_id)
        assert expected
        assert len(found) == len(set(found))
        assert set(found) == expected


def test_a_late_scene_is_delivered_and_filed_under_its_day(outcome: Outcome) -> None:
    late_run = min(outcome.runs)
    assert outcome.late["id"] in outcome.found(outcome.runs[late_run])
    day = outcome.late["properties"]["acquired"][:10]
    assert day < f"{late_run:%Y-%m-%d}"
    [collected_day] = [one for one in outcome.days if one["day"] == day]
    assert outcome.late["id"] in collected_day["scenes"]
    assert collected_day["files"] >= len(collected_day["scenes"])


def test_no_scene_is_ordered_by_two_runs(outcome: Outcome) -> None:
    ordered = Counter(
        item_id
        for order in outcome.sandbox.orders.values()
        if order["name"].startswith("late-imagery ")
        for product in order["products"]
        for item_id in product["item_ids"]
    )
    assert ordered
    assert set(ordered.values()) == {1}


@pytest.mark.skipif(not has_partitions(), reason="tasks name partitions from Airflow 3.3 on")
def test_each_day_is_a_partition_with_a_run_of_its_own(outcome: Outcome) -> None:
    rows = outcome.airflow.metadata.query("SELECT partition_key FROM dag_run WHERE dag_id = ?", DAY_DAG_ID)
    assert sorted(key for (key,) in rows) == sorted(one["day"] for one in outcome.days)
