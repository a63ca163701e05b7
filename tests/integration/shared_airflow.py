"""The Airflow that all tests of a session share, and the runs of the example DAGs that they look at."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from demo.local_airflow import FINAL_STATES, LocalAirflow, RunFailedError
from demo.metadata import History, Recorder
from demo.processes import REPOSITORY
from planet_provider.sandbox import Sandbox, SandboxConfig

EXAMPLES = REPOSITORY / "example_dags"
DAILY, ASSETS, BACKFILL = "planet_daily_imagery", "planet_assets", "planet_backfill_month"
LATE, LATE_DAY = "planet_late_imagery", "planet_late_imagery_day"
NEW, PARTIAL = "planet_new_imagery", "planet_partial_orders"
DAY = timedelta(days=1)
RUN_SECONDS = 600.0
#: An order or an asset takes longer than any test: it ends when a test moves the sandbox's clock on.
LONG_SECONDS = 10_000.0
SETTINGS = SandboxConfig(
    # Not that of the sandboxes whose connections lie in the metadata database: tests look for it there.
    api_keys=("PLAK-of-the-examples-0123456789",),
    queued_seconds=LONG_SECONDS,
    running_seconds=1.0,
    activation_seconds=LONG_SECONDS,
    scene_pixels=64,
)
#: At this speed, an order takes some seconds.
FAST = 2_000.0


def connection(url: str, key: str, **extra: object) -> dict[str, str]:
    """Return an Airflow connection to a sandbox."""
    return {"conn_type": "planet", "host": url, "password": key, "extra": json.dumps(extra)}


def midnight(days_ago: int) -> datetime:
    """Return the beginning of a day (UTC), counted back from today."""
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - days_ago * DAY


@contextmanager
def fast(sandbox: Sandbox) -> Iterator[None]:
    """Let a sandbox's time fly, for tests that don't look at how their tasks wait."""
    sandbox.clock.speed = FAST
    try:
        yield
    finally:
        sandbox.clock.speed = 1.0


class SharedAirflow(LocalAirflow):
    """An Airflow to which tests add DAGs and connections.

    :param folder: For all its files. The examples deliver to the folder ``imagery``; OpenLineage's events go to
        ``lineage.jsonl``.
    :param sandbox: The Planet of the connection ``planet_default``.
    """

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.dags = folder / "dags"
        self.dags.mkdir()
        self.imagery = folder / "imagery"
        self.lineage = folder / "lineage.jsonl"
        self.sandbox = sandbox
        super().__init__(
            folder / "home",
            self.dags,
            connections={"planet_default": json.dumps(connection(sandbox.url, sandbox.api_key))},
            variables={"planet_destination": str(self.imagery)},
            extra_environment={
                "HOME": str(folder),
                "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                    {"type": "file", "log_file_path": str(self.lineage), "append": True}
                ),
                # A new file is found soon, and one that has not changed is not parsed again.
                "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
                "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
                "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "100000",
            },
        )

    def add_example(self, name: str, changes: Mapping[str, str] | None = None) -> None:
        """Add an example DAG, see :meth:`add_dags`.

        :param name: The name of its file, and of its first DAG.
        :param changes: Text to replace in the file.
        """
        code = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            assert old in code
            code = code.replace(old, new)
        self.add_dags(code, *((name, LATE_DAY) if name == LATE else (name,)))

    def add_dags(self, code: str, *dag_ids: str) -> None:
        """Write a DAG file, wait until its DAGs are known, and unpause them."""
        path = self.dags / f"{dag_ids[0]}.py"
        if not path.exists():
            part = path.with_suffix(".part")
            part.write_text(code, encoding="utf-8")
            part.rename(path)
        for dag_id in dag_ids:
            self.wait_for_dag(dag_id)
            self.unpause(dag_id)

    def parse_again(self, dag_id: str) -> None:
        """Have a DAG file parsed again."""
        os.utime(self.dags / f"{dag_id}.py")

    def pause_all(self) -> None:
        """Pause every DAG, so that nothing starts by itself."""
        for (dag_id,) in self.metadata.query("SELECT dag_id FROM dag WHERE NOT is_paused"):
            self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    def add_connection(self, conn_id: str, url: str, key: str, **extra: object) -> None:
        """Add a connection to a sandbox.

        :param extra: The connection's extras.
        """
        body = {"connection_id": conn_id, **connection(url, key, **extra)}
        self.request("POST", "/connections", json=body)

    def restart(self, component: str, settings: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Kill a component, with all it has forked, by SIGKILL, and start it again.

        :param settings: Airflow settings of the new one, by section and key.
        """
        self.kill(component)
        self.start(component, settings)


@dataclass(frozen=True)
class Finished:
    """What the runs of an example DAG have left; Airflow is still up.

    :param airflow: The Airflow they ran in.
    :param dag_id: The DAG.
    :param runs: Run ids by the data interval's day.
    :param history: States and triggers that passed by in the metadata database.
    :param destination: Folder that the imagery was delivered to.
    """

    airflow: SharedAirflow
    dag_id: str
    runs: dict[date, str]
    history: History
    destination: Path

    @property
    def sandbox(self) -> Sandbox:
        """The Planet they used, with every request it got."""
        return self.airflow.sandbox


class Examples:
    """Runs each example when a test first asks for it.

    :param airflow: The Airflow they run in.
    """

    def __init__(self, airflow: SharedAirflow) -> None:
        self.airflow = airflow
        self._finished: dict[str, Finished] = {}

    def finished(self, dag_id: str) -> Finished:
        """Run an example: the daily one and the asset one by hand, the month by a backfill of two days."""
        if dag_id not in self._finished:
            self._finished[dag_id] = self._run(dag_id)
        return self._finished[dag_id]

    def _run(self, dag_id: str) -> Finished:
        self.airflow.add_example(dag_id)
        with Recorder(self.airflow.metadata) as recorder:
            runs = self._backfill() if dag_id == BACKFILL else self._by_hand(dag_id)
            self._see_through(dag_id, runs, recorder.history)
        folders = {DAILY: f"{min(runs)}", ASSETS: "assets", BACKFILL: "month"}
        return Finished(self.airflow, dag_id, runs, recorder.history, self.airflow.imagery / folders[dag_id])

    def _by_hand(self, dag_id: str) -> dict[date, str]:
        start = midnight(2)  # everything of that day has been published
        run_id = self.airflow.trigger(dag_id, run_id=f"test-{dag_id}", interval=(start, start + DAY))
        return {start.date(): run_id}

    def _backfill(self) -> dict[date, str]:
        days = midnight(4).date(), midnight(3).date()
        span = ["--from-date", days[0].isoformat(), "--to-date", days[1].isoformat()]
        self.airflow.create_backfill(BACKFILL, *span, "--max-active-runs", "2")
        rows = self.airflow.metadata.query(
            "SELECT run_id FROM dag_run WHERE dag_id = ? AND run_type = 'backfill' ORDER BY logical_date",
            BACKFILL,
        )
        return dict(zip(days, (str(run_id) for (run_id,) in rows), strict=True))

    def _see_through(self, dag_id: str, runs: Mapping[date, str], history: History) -> None:
        """Let the orders end once every wait was seen in the triggerer."""
        airflow = self.airflow

        def all_wait() -> bool:
            for run_id in runs.values():
                if airflow.run_state(dag_id, run_id) in FINAL_STATES:
                    raise RunFailedError(f"{run_id} didn't wait in the triggerer\n{airflow.describe(run_id)}")
            return all(self._waits(dag_id, run_id, history) for run_id in runs.values())

        airflow.processes.wait_until(all_wait, f"{dag_id} doesn't wait in the triggerer", RUN_SECONDS)
        airflow.sandbox.clock.advance(LONG_SECONDS + 10)
        for run_id in runs.values():
            airflow.wait_for_run(dag_id, run_id, RUN_SECONDS)

    def _waits(self, dag_id: str, run_id: str, history: History) -> bool:
        rows = [row for row in self.airflow.metadata.tasks(run_id) if row.task_id == "wait"]
        held = {
            row.map_index
            for row, trigger in history.deferrals(dag_id, run_id, "wait")
            if trigger.triggerer_id is not None
        }
        return bool(held) and held == {row.map_index for row in rows}
