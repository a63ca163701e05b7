"""What OpenLineage's provider sends of the daily DAG, through its file transport."""

from __future__ import annotations

import json
from typing import Any

import pytest
from shared_airflow import DAILY, Examples, Finished

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def finished(examples: Examples) -> Finished:
    return examples.finished(DAILY)


@pytest.fixture(scope="module")
def events(finished: Finished) -> list[dict[str, Any]]:
    """The events of the run's tasks that have ended, oldest first."""
    every = map(json.loads, finished.airflow.lineage.read_text().splitlines())
    [run_id] = finished.runs.values()
    return [
        event
        for event in every
        if event["eventType"] == "COMPLETE"
        and event["run"]["facets"].get("airflow", {}).get("dagRun", {}).get("run_id") == run_id
    ]


def datasets(events: list[dict[str, Any]], task_id: str, side: str) -> set[tuple[str, str]]:
    found = [event for event in events if event["job"]["name"] == f"{DAILY}.{task_id}"]
    assert found, f"no event of {task_id}"
    return {(one["namespace"], one["name"]) for event in found for one in event[side]}


def test_from_item_to_order_to_file(events: list[dict[str, Any]], finished: Finished) -> None:
    items, orders = datasets(events, "order", "inputs"), datasets(events, "order", "outputs")
    assert items
    assert all(namespace == "planet" and name.startswith("PSScene/") for namespace, name in items)
    assert {name.removeprefix("orders/") for _, name in orders} <= finished.sandbox.orders.keys()
    assert orders == {one for one in datasets(events, "download", "inputs") if one[1].startswith("orders/")}
    files = datasets(events, "download", "outputs")
    assert len(files) > len(orders)
    assert all(
        namespace == "file" and name.startswith(str(finished.destination)) for namespace, name in files
    )


def test_files_come_with_size_and_digest(events: list[dict[str, Any]]) -> None:
    outputs = [
        output
        for event in events
        if event["job"]["name"] == f"{DAILY}.download"
        for output in event["outputs"]
    ]
    for output in outputs:
        assert output["outputFacets"]["outputStatistics"]["size"] > 0
        assert len(output["facets"]["version"]["datasetVersion"]) == 64
