"""A month of days by ``airflow backfill create``: a run and an order a day, and none of them twice.

The scheduler is killed with -9 midway, with all the tasks it runs; then the same month is asked for again.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cluster_support import planet_connection, retry_soon

from demo.local_airflow import LocalAirflow
from demo.metadata import TaskRow
from demo.postgres import postgres_server
from demo.processes import REPOSITORY, ended_by_signals
from planet_provider.sandbox import (
    Fault,
    Sandbox,
    SandboxConfig,
    run,
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
]

DAG_ID = "planet_backfill_month"
DAYS = 31
ACTIVE = 8
"""Days in flight at a time."""
MIDWAY = 10
"""So many orders have been placed when the scheduler is killed; the answer to the last is on its way then."""
HELD_SECONDS = 45.0
PASS_SECONDS = 600.0
# An order is done when it is looked at first: what is waited for here is Airflow.
SETTINGS = SandboxConfig(queued_seconds=0, running_seconds=1, scene_pixels=16)


@dataclass
class Month:
    """Both passes over a month; Airflow is still up.

    :param days: The days.
    :param lost: Tasks that ran when the scheduler was killed.
    :param most_active: Most runs that were seen running at a time.
    :param placed: Ids of the orders after the first pass.
    :param fetched: Requests for files until then.
    """

    airflow: LocalAirflow
    sandbox: Sandbox
    destination: Path
    days: tuple[date, ...]
    lost: tuple[TaskRow, ...] = ()
    most_active: int = 0
    placed: frozenset[str] = frozenset()
    fetched: int = 0
    tries: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def create(self, *options: str) -> None:
        span = ["--from-date", self.days[0].isoformat(), "--to-date", self.days[-1].isoformat()]
        active = ["--max-active-runs", str(ACTIVE)]
        self.airflow.create_backfill(DAG_ID, *span, *active, *options)

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        def reached() -> bool:
            states = Counter(state for (state,) in self.airflow.metadata.query("SELECT state FROM dag_run"))
            self.most_active = max(self.most_active, states["running"])
            assert not states["failed"], self._failures()
            return condition()

        self.airflow.processes.wait_until(reached, what, PASS_SECONDS)

    def wait_for_all(self) -> None:
        """Wait until Airflow says that the backfill is over."""
        open_ones = "SELECT 1 FROM backfill WHERE completed_at IS NULL"
        self.wait(lambda: not self.airflow.metadata.query(open_ones), "the backfill is not over")

    def lose_the_scheduler(self) -> None:
        """Kill the scheduler and its tasks while the answer to an order is on its way; start it again."""
        self.wait(lambda: len(self.sandbox.orders) >= MIDWAY, "no order midway")
        self.airflow.kill("scheduler")
        # What still says so now can't come to its end any more; before, it might have.
        self.lost = tuple(row for row in self.airflow.metadata.tasks() if row.state == "running")
        self.airflow.start("scheduler")

    def files_fetched(self) -> int:
        """Count requests for files; a manifest is asked for again to know what an order holds."""
        paths = [one.path for one in self.sandbox.requests if one.origin == "storage"]
        return sum(not path.endswith("manifest.json") for path in paths)

    def runs(self) -> list[tuple[str, str, str]]:
        """Return type, state and day of each run."""
        day = "CAST(CAST(data_interval_start AT TIME ZONE 'UTC' AS DATE) AS TEXT)"
        return self.airflow.metadata.query(
            f"SELECT run_type, state, {day} FROM dag_run ORDER BY logical_date"
        )

    def _failures(self) -> str:
        failed = self.airflow.metadata.query("SELECT run_id FROM dag_run WHERE state = 'failed'")
        return "\n".join(self.airflow.describe(run_id) for (run_id,) in failed)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    folder = tmp_path_factory.mktemp("month")
    retry_soon(folder / "home")
    yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
    days = tuple(yesterday - timedelta(days=back) for back in range(DAYS, 0, -1))
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        sandbox = stack.enter_context(run(SETTINGS))
        sandbox.faults.add(
            Fault(kind="delay", method="POST", path=r"/orders/v2$", seconds=HELD_SECONDS, skip=MIDWAY - 1)
        )
        airflow = LocalAirflow(
            folder / "home",
            REPOSITORY / "example_dags",
            metadata=stack.enter_context(postgres_server()),
            connections={"planet_default": planet_connection(sandbox)},
            variables={"planet_destination": str(folder / "imagery")},
            extra_environment={
                "HOME": str(folder),
                "AIRFLOW__CORE__PARALLELISM": "6",
                # So that a new scheduler looks soon for what the one that was killed has left.
                "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            },
        )
        stack.enter_context(airflow)
        month = Month(airflow, sandbox, folder / "imagery", days)
        airflow.wait_for_dag(DAG_ID)
        airflow.unpause(DAG_ID)
        month.create()
        month.lose_the_scheduler()
        month.wait_for_all()
        month.placed, month.fetched = frozenset(sandbox.orders), month.files_fetched()
        month.tries = {
            (row.run_id, row.task_id, row.map_index): row.try_number for row in airflow.metadata.tasks()
        }
        month.create("--reprocess-behavior", "completed")
        month.wait_for_all()
        yield month


def test_every_day_has_one_run_and_one_order(month: Month) -> None:
    assert month.runs() == [("backfill", "success", day.isoformat()) for day in month.days]
    assert len(month.placed) == DAYS
    names = Counter(order["name"].partition(" [")[0] for order in month.sandbox.orders.values())
    assert names == Counter(f"month {day}" for day in month.days)


def test_what_ran_when_the_scheduler_was_killed_ran_again(month: Month) -> None:
    assert "order" in {row.task_id for row in month.lost}
    for row in month.lost:
        assert month.tries[row.run_id, row.task_id, row.map_index] > row.try_number


def test_the_same_month_again_places_and_fetches_nothing(month: Month) -> None:
    [(backfills,)] = month.airflow.metadata.query("SELECT count(*) FROM backfill")
    assert backfills == 2
    rows = month.airflow.metadata.tasks()
    assert {row.state for row in rows} == {"success"}
    assert all(row.try_number > month.tries[row.run_id, row.task_id, row.map_index] for row in rows)
    assert set(month.sandbox.orders) == month.placed
    posts = [
        one for one in month.sandbox.requests if one.method == "POST" and one.path.endswith("/orders/v2")
    ]
    assert len(posts) == DAYS
    assert month.files_fetched() == month.fetched > DAYS


def test_limits_were_kept(month: Month) -> None:
    assert 1 < month.most_active <= ACTIVE
    answers = Counter(request.status for request in month.sandbox.requests)
    assert answers[429] == 0, answers


def test_every_file_is_whole(month: Month) -> None:
    manifests = sorted((month.destination / "month").glob("*/*/manifest.json"))
    assert [manifest.parts[-3] for manifest in manifests] == [day.isoformat() for day in month.days]
    for manifest in manifests:
        for file in json.loads(manifest.read_text())["files"]:
            content = (manifest.parent / file["path"]).read_bytes()
            assert len(content) == file["size"]
            assert hashlib.sha256(content).hexdigest() == file["digests"]["sha256"]
