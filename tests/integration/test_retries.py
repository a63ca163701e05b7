"""What Airflow does after a failure: fail at once where a retry is of no use, else come back when Planet said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from shared_airflow import RUN_SECONDS, SharedAirflow

from demo.local_airflow import RunFailedError
from demo.metadata import TaskRow
from planet_provider.sandbox import (
    Fault,
    Sandbox,
    SandboxConfig,
    run,
)
from planet_provider.sandbox.bundles import choose

pytestmark = [pytest.mark.integration, pytest.mark.ci]
pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Retry policies came with Airflow 3.3")

#: What Planet says with its 429 and 503, in seconds: longer than the tasks' own delay.
RETRY_AFTER = 6

DAG = """
from datetime import timedelta

from airflow.sdk import DAG

from planet_provider.operators.assets import PlanetActivateAssetOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator
from planet_provider.operators.retry_policy import PlanetRetryPolicy

ITEMS = __ITEMS__
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": False}
DEFAULTS = {"planet_conn_id": "retries", **RETRIES}


def order(task_id, items, **more):
    PlanetCreateOrderOperator(
        task_id=task_id,
        name=task_id,
        items={"item_type": "PSScene", "item_ids": items},
        product_bundle="visual",
        **more,
    )


def activate(task_id, item_id):
    PlanetActivateAssetOperator(
        task_id=task_id,
        item_type="PSScene",
        item_id=item_id,
        asset_type="ortho_visual",
        retry_policy=PlanetRetryPolicy(),
    )


with DAG("retries", schedule=None, default_args=DEFAULTS):
    order("quota", ITEMS[:1])
    order("key", ITEMS[:1], planet_conn_id="wrong_key")
    order("bad", ["20200101_000000_00_9999"])
    activate("limit", ITEMS[1])
    activate("server", ITEMS[2])
"""


@dataclass(frozen=True)
class Outcome:
    """What came of each task.

    :param items: Those of the tasks that are tried again.
    :param rows: By the task's name.
    :param logs: The end of each task's last log.
    """

    sandbox: Sandbox
    items: dict[str, str]
    rows: dict[str, TaskRow]
    logs: dict[str, str]


@pytest.fixture(scope="module")
def outcome(airflow: SharedAirflow) -> Iterator[Outcome]:
    # A quota that no order fits into.
    with run(SandboxConfig(quota_km2=0.001, scene_pixels=32, items=400)) as sandbox:
        items = [
            item.id
            for item in sandbox.catalogue
            if item.item_type == "PSScene" and choose(item, "visual") == "visual"
        ][:3]
        for item_id, status in zip(items[1:], (429, 503), strict=True):
            headers = {"Retry-After": str(RETRY_AFTER)}
            sandbox.faults.add(
                Fault(kind="status", origin="api", path=f"/{item_id}/assets", status=status, headers=headers)
            )
        airflow.add_connection("retries", sandbox.url, sandbox.api_key, max_attempts=1)
        airflow.add_connection("wrong_key", sandbox.url, "PLAK-that-nobody-has-0123", max_attempts=1)
        airflow.add_dags(DAG.replace("__ITEMS__", repr(items)), "retries")
        run_id = airflow.trigger("retries", run_id="once")
        with pytest.raises(RunFailedError, match="failed after"):
            airflow.wait_for_run("retries", run_id, RUN_SECONDS)
        rows = {row.task_id: row for row in airflow.metadata.tasks(run_id)}
        logs = {task_id: airflow.task_log(row, 400) for task_id, row in rows.items()}
        yield Outcome(sandbox, {"limit": items[1], "server": items[2]}, rows, logs)


@pytest.mark.parametrize(
    ("task_id", "said"),
    [
        ("quota", ("OverQuotaError", "403", "quota")),
        ("key", ("AuthenticationError", "401", "key")),
        ("bad", ("BadRequestError", "400", "20200101_000000_00_9999", "Correct the request")),
    ],
)
def test_what_no_retry_mends_fails_at_the_first_try(
    outcome: Outcome, task_id: str, said: tuple[str, ...]
) -> None:
    row = outcome.rows[task_id]
    assert (row.state, row.try_number) == ("failed", 1), outcome.logs[task_id]
    for part in said:
        assert part in outcome.logs[task_id]


@pytest.mark.parametrize("task_id", ["limit", "server"])
def test_what_planet_said_when_to_ask_again_is_asked_again_then(outcome: Outcome, task_id: str) -> None:
    row = outcome.rows[task_id]
    assert (row.state, row.try_number) == ("success", 2), outcome.logs[task_id]
    asked = [one for one in outcome.sandbox.requests if f"/{outcome.items[task_id]}/assets" in one.path]
    first, second = asked[0], asked[1]
    assert first.status in (429, 503)
    assert second.status == 200
    assert second.at - first.at >= RETRY_AFTER, "the task's own delay is a second"
