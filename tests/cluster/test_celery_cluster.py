"""The daily DAG on PostgreSQL, Redis, Celery and S3, while workers and a triggerer are killed with -9.

One course loses a worker while Planet answers its orders. The whole one loses a triggerer too while it holds
waits, and the other worker in the middle of its downloads.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cluster_support import Bucket, planet_connection, remember_for_an_hour, retry_soon, s3_bucket

from benchmarks.redis_server import redis_server
from demo.cluster_airflow import ClusterAirflow
from demo.metadata import Metadata, Recorder, TaskRow
from demo.postgres import postgres_server
from demo.processes import REPOSITORY, ended_by_signals
from planet_provider.coordination.redis_url import redis_client
from planet_provider.sandbox import (
    Fault,
    Sandbox,
    SandboxConfig,
    run,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

DAG_ID = "planet_daily_imagery"
ORDERS_A_DAY = 2
"""A day has three or four scenes, and an order takes two: in two days, each of four worker slots places one."""
STEP_SECONDS = 240.0
RUN_SECONDS = 420.0
# Orders end when the clock is moved on.
SETTINGS = SandboxConfig(running_seconds=1_000_000, scene_pixels=128)
HELD_SECONDS = 45.0
"""How long an answer hangs, so that a worker can be killed meanwhile; shorter than our time-out."""
BESIDE = {"manifest.json", "planet-transfer.json"}


@dataclass
class Course:
    """What happened, and what is left of it; Airflow is still up.

    :param whole: Whether it is the whole course, of two days.
    :param runs: Run ids.
    :param ordering: Order tasks that ran on the worker that was killed first.
    :param downloading: Download tasks that ran on the worker that was killed later.
    :param taken_over: Waits that the killed triggerer held: the triggers' ids.
    :param survivor: Job id of the other triggerer.
    """

    airflow: ClusterAirflow
    sandbox: Sandbox
    bucket: Bucket
    redis_url: str
    recorder: Recorder
    whole: bool
    runs: tuple[str, ...] = ()
    ordering: tuple[TaskRow, ...] = ()
    downloading: tuple[TaskRow, ...] = ()
    taken_over: frozenset[int] = frozenset()
    survivor: int = 0

    @property
    def days(self) -> int:
        """How many days' imagery is fetched."""
        return 2 if self.whole else 1

    @property
    def orders(self) -> int:
        """How many orders there are in the end."""
        return ORDERS_A_DAY * self.days

    @property
    def metadata(self) -> Metadata:
        return self.airflow.metadata

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        def reached() -> bool:
            states = {self.airflow.run_state(DAG_ID, run_id) for run_id in self.runs}
            assert "failed" not in states, "\n".join(map(self.airflow.describe, self.runs))
            return condition()

        self.airflow.processes.wait_until(reached, what, STEP_SECONDS)

    def tasks(self, task_id: str, state: str | None = None) -> list[TaskRow]:
        rows = [row for row in self.metadata.tasks() if row.task_id == task_id]
        return [row for row in rows if state in (None, row.state)]

    def outputs(self, task_id: str, key: str = "return_value") -> list[Any]:
        return [
            self.airflow.xcom(DAG_ID, row.run_id, task_id, key, row.map_index) for row in self.tasks(task_id)
        ]

    def start(self) -> None:
        self.airflow.wait_for_dag(DAG_ID)
        self.airflow.unpause(DAG_ID)
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        days = [midnight - timedelta(days=back) for back in range(3, 3 + self.days)]
        self.runs = tuple(
            self.airflow.trigger(DAG_ID, run_id=f"day-{day:%d}", interval=(day, day + timedelta(days=1)))
            for day in days
        )

    def lose_a_worker_that_orders(self) -> str:
        """Kill the worker with most orders between request and answer; return its name."""
        held = Fault(
            kind="delay", method="POST", path=r"/orders/v2$", seconds=HELD_SECONDS, times=self.orders
        )
        self.sandbox.faults.add(held)
        self.wait(
            lambda: len(self.sandbox.orders) == len(self.tasks("order", "running")) == self.orders,
            "not every order is held",
        )
        self.ordering, worker = self._lose_a_worker("order")
        return worker

    def defer_all(self) -> None:
        """Wait until a triggerer holds each wait."""
        self.wait(
            lambda: self._waits() and None not in self._waits().values(), "not every order is waited for"
        )

    def lose_a_triggerer(self) -> None:
        """Kill the triggerer with most waits, and see the other take them over."""
        [(victim, _)] = Counter(self._waits().values()).most_common(1)
        assert victim is not None
        self.taken_over = frozenset(one for one, holder in self._waits().items() if holder == victim)
        hosts = self.metadata.triggerer_hosts()
        self.airflow.kill(hosts.pop(victim))
        [self.survivor] = hosts
        self.wait(lambda: set(self._waits().values()) == {self.survivor}, "its waits were not taken over")

    def end_orders(self) -> None:
        """Let Planet have delivered every order."""
        self.sandbox.clock.advance(2 * SETTINGS.running_seconds)

    def lose_a_worker_that_downloads(self) -> None:
        """Kill a worker in the middle of its downloads."""
        held = Fault(
            kind="stall",
            origin="storage",
            path=r"\.tif$",
            seconds=HELD_SECONDS,
            after_bytes=500,
            times=self.orders,
        )
        self.sandbox.faults.add(held)
        images = lambda: sum(one.path.endswith(".tif") for one in self.sandbox.requests)  # noqa: E731
        self.end_orders()
        self.wait(
            lambda: images() >= self.orders and bool(self.tasks("download", "running")), "nothing is fetched"
        )
        self.downloading, _ = self._lose_a_worker("download")

    def _lose_a_worker(self, task_id: str) -> tuple[tuple[TaskRow, ...], str]:
        rows = self.tasks(task_id, "running")
        [(worker, _)] = Counter(row.hostname for row in rows).most_common(1)
        assert worker is not None
        self.airflow.kill(worker)
        return tuple(row for row in rows if row.hostname == worker), worker

    def _waits(self) -> dict[int, int | None]:
        """Return who holds each wait, by its trigger; empty while some order is not waited for."""
        waiting = self.tasks("wait", "deferred")
        holders = {trigger.id: trigger.triggerer_id for trigger in self.metadata.triggers()}
        return holders if len(waiting) == len(holders) == self.orders else {}


ONE_WORKER = pytest.param(False, id="one worker", marks=pytest.mark.ci)
WHOLE = pytest.param(True, id="whole", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[ONE_WORKER, WHOLE])
def course(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    whole: bool = request.param
    folder = tmp_path_factory.mktemp("celery")
    retry_soon(folder / "home")
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        sandbox = stack.enter_context(run(SETTINGS))
        redis = stack.enter_context(redis_server())
        remember_for_an_hour(redis.url)
        bucket = stack.enter_context(s3_bucket("imagery"))
        airflow = ClusterAirflow(
            folder / "home",
            REPOSITORY / "example_dags",
            metadata=stack.enter_context(postgres_server()),
            broker=redis.url.replace("/0", "/1"),
            connections={
                "planet_default": planet_connection(sandbox, coordination_store=redis.url),
                "planet_s3": bucket.connection(),
            },
            variables={"planet_destination": f"s3://planet_s3@{bucket.name}/planet"},
            extra_environment={"HOME": str(folder)},
            triggerers=2 if whole else 1,
        )
        stack.enter_context(airflow)
        recorder = stack.enter_context(Recorder(airflow.metadata))
        course = Course(airflow, sandbox, bucket, redis.url, recorder, whole)
        course.start()
        lost = course.lose_a_worker_that_orders()
        course.defer_all()
        if whole:
            course.lose_a_triggerer()
            airflow.start(lost)
            course.lose_a_worker_that_downloads()
        else:
            course.end_orders()
        for run_id in course.runs:
            airflow.wait_for_run(DAG_ID, run_id, RUN_SECONDS)
        yield course


def test_what_ran_on_a_lost_worker_ran_again(course: Course) -> None:
    tries = {(row.run_id, row.task_id, row.map_index): row.try_number for row in course.metadata.tasks()}
    assert course.ordering
    assert course.downloading or not course.whole
    for row in (*course.ordering, *course.downloading):
        assert row.try_number == 1
        assert tries[row.run_id, row.task_id, row.map_index] > 1
    assert {row.state for row in course.metadata.tasks()} == {"success"}


def test_no_order_was_placed_twice(course: Course) -> None:
    placed = course.outputs("order")
    assert len(placed) == course.orders
    assert set(course.sandbox.orders) == set(placed)
    posts = [
        one for one in course.sandbox.requests if one.method == "POST" and one.path.endswith("/orders/v2")
    ]
    assert len(posts) == course.orders


@pytest.mark.parametrize("course", [WHOLE], indirect=True)
def test_the_waits_of_the_lost_triggerer_were_taken_over(course: Course) -> None:
    assert course.taken_over
    history = course.recorder.history
    assert {history.triggers[one].triggerer_id for one in course.taken_over} == {course.survivor}
    assert {row.try_number for row in course.tasks("wait")} == {1}


def test_every_object_is_whole(course: Course) -> None:
    objects = course.bucket.objects()
    expected = {f"planet/{row['day']}/scenes.geojson" for row in days(course)}
    for folder in (key.removesuffix("/manifest.json") for key in objects if key.endswith("/manifest.json")):
        manifest = json.loads(objects[f"{folder}/manifest.json"])
        assert manifest["files"]
        for file in manifest["files"]:
            content = objects[f"{folder}/{file['path']}"]
            assert len(content) == file["size"]
            assert hashlib.sha256(content).hexdigest() == file["digests"]["sha256"]
            expected.add(f"{folder}/{file['path']}")
        expected |= {f"{folder}/{name}" for name in BESIDE}
    assert set(objects) == expected
    delivered = course.outputs("download")
    assert len({delivery["directory"] for delivery in delivered}) == course.orders
    assert sum(delivery["files"] for delivery in delivered) == len(expected) - course.days - 2 * course.orders


def days(course: Course) -> list[dict[str, str]]:
    rows = course.metadata.query(
        "SELECT CAST(date(data_interval_start AT TIME ZONE 'UTC') AS TEXT) FROM dag_run"
    )
    return [{"day": day} for (day,) in rows]


def test_statistics_are_of_every_scene(course: Course) -> None:
    found = [
        item_id for batches in course.outputs("search") for batch in batches for item_id in batch["item_ids"]
    ]
    statistics = [scene for scenes in course.outputs("ndvi") for scene in scenes]
    assert {scene["item_id"] for scene in statistics} == set(found)
    assert all(scene["clear_pixels"] for scene in statistics)


def test_limits_were_kept_by_redis(course: Course) -> None:
    answers = Counter(request.status for request in course.sandbox.requests)
    assert answers[429] == 0, answers
    assert redis_client(course.redis_url).keys("planet-rate-limit:*")
