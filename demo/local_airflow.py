"""A real Airflow on this machine: api-servers, scheduler, dag-processor and triggerer, each its own process.

SQLite and the LocalExecutor, where nothing else is asked for; free ports of the loopback interface; nothing of
the user's own Airflow is read or written. Everything ends with the context.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_message, stop_after_attempt, wait_random

from demo.metadata import Metadata, SqliteMetadata, TaskRow
from demo.processes import ComponentError, ProcessGroup, free_ports, tail
from demo.settings import airflow_environment, as_environment

EXECUTION_API = "execution-api-server"
EXECUTION_API_URL = "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"
COMPONENTS: Mapping[str, Sequence[str]] = {
    # Apart from each other: a request that is noted in the audit log is written on the event loop, where
    # SQLite may let it wait for a task's request that can't end before that loop goes on.
    "api-server": ("api-server", "--apps", "core"),
    EXECUTION_API: ("api-server", "--apps", "execution"),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""What follows ``airflow`` on the command line, by the name of the component."""
HEALTH = ("metadatabase", "scheduler", "triggerer", "dag_processor")
START_SECONDS = 600.0
"""Airflow is healthy within 20 s on two idle cores; on a busy machine it took minutes."""
DAG_SECONDS = 600.0
COMMAND_SECONDS = 240.0
COMMAND_ATTEMPTS = 8
LOCKED = "database is locked"
"""Where a transaction reads before it writes, SQLite doesn't wait: it refuses if another wrote in between."""
REQUEST_SECONDS = 60.0
FINAL_STATES = ("success", "failed")


class RunFailedError(RuntimeError):
    """A DAG run failed, or didn't end in time."""


_again = retry(
    retry=retry_if_exception_message(match=f"(?s).*{LOCKED}"),
    stop=stop_after_attempt(COMMAND_ATTEMPTS),
    wait=wait_random(0.5, 2),
    reraise=True,
)


def _nothing() -> None:
    return None


class LocalAirflow:
    """Context manager: a running Airflow.

    :param home: AIRFLOW_HOME; made if missing.
    :param dags: Folder with the DAG files.
    :param variables: Airflow variables, by environment: {name: value}.
    :param connections: Airflow connections, by environment: {conn_id: JSON or URI}.
    :param extra_environment: Further environment variables for every component.
    :param components: Which components to start, as :data:`COMPONENTS`; both api-servers must be among them.
    :param metadata: Database to use, empty; by default SQLite in ``home``.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        variables: Mapping[str, str] | None = None,
        connections: Mapping[str, str] | None = None,
        extra_environment: Mapping[str, str] | None = None,
        components: Mapping[str, Sequence[str]] = COMPONENTS,
        metadata: Metadata | None = None,
    ) -> None:
        self.home = home.resolve()
        self.metadata = metadata or SqliteMetadata(self.home / "airflow.db")
        port, self._execution_port, *unused = free_ports(4)
        self.url = f"http://127.0.0.1:{port}"
        self.environment = {
            **airflow_environment(
                self.home,
                dags.resolve(),
                database=self.metadata.settings,
                port=port,
                execution_port=self._execution_port,
                unused_ports=(unused[0], unused[1]),
            ),
            **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in (connections or {}).items()},
            **{f"AIRFLOW_VAR_{name.upper()}": value for name, value in (variables or {}).items()},
            **(extra_environment or {}),
        }
        self.processes = ProcessGroup(self.home / "components")
        self._components = dict(components)
        self._client: httpx.Client | None = None

    def __enter__(self) -> LocalAirflow:
        self.processes.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._client is not None:
                self._client.close()
            # Nothing is kept, and by SIGTERM it takes 5 s and some seconds of CPU to leave Airflow.
            self.processes.kill_all()
        finally:
            self.processes.__exit__(kind, error, trace)

    @property
    def log_folders(self) -> tuple[Path, Path]:
        """Folders with all logs: of the tasks, and what the components printed."""
        return self.home / "logs", self.processes.log_directory

    def _start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.command("db", "migrate")
        for name in self._components:
            self.start(name)
        # trust_env=False: no proxy of the user between us and the loopback interface.
        self._client = httpx.Client(base_url=self.url, timeout=REQUEST_SECONDS, trust_env=False)
        self.processes.wait_until(self._healthy, "Airflow was not healthy", START_SECONDS)
        token = self._client.get("/auth/token").raise_for_status().json()["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"

    def _healthy(self) -> bool:
        assert self._client is not None  # noqa: S101 - set by the caller
        try:
            answer = self._client.get("/api/v2/monitor/health")
            for_tasks = self._client.get(f"{self.environment[EXECUTION_API_URL]}health")
        except httpx.TransportError:
            return False
        running = {command[0] for command in self._components.values()}
        parts = [name for name in HEALTH if name == "metadatabase" or name.replace("_", "-") in running]
        return (
            for_tasks.is_success
            and answer.is_success
            and all((answer.json().get(part) or {}).get("status") == "healthy" for part in parts)
        )

    def start(self, name: str, settings: Mapping[str, Mapping[str, object]] | None = None) -> None:
        """Start one of the components, for example again after :meth:`kill`.

        :param name: Its name.
        :param settings: Airflow settings of this component alone, by section and key.
        """
        environment = {**self._environment(name), **as_environment(settings or {})}
        self.processes.start(name, [*_airflow(), *self._components[name]], environment)

    def kill(self, name: str) -> None:
        """End a component and everything it started by SIGKILL, as if its machine was lost.

        :param name: Its name.
        """
        self.processes.kill(name)

    def _environment(self, name: str) -> Mapping[str, str]:
        if name != EXECUTION_API:
            return self.environment
        return {**self.environment, **as_environment({"api": {"port": self._execution_port}})}

    @_again
    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command to its end; again where another process was writing to the database.

        :param arguments: What follows ``airflow`` on the command line.
        :return: What it printed.
        :raises ComponentError: It failed; the message holds what it printed.
        """
        return self._run(*arguments)

    @_again
    def create_backfill(self, dag_id: str, *options: str) -> str:
        """Run ``airflow backfill create``; again where another process was writing to the database.

        What is refused midway leaves a backfill without runs, beside which Airflow takes no other one of the
        DAG: it is cancelled before.

        :param dag_id: The DAG.
        :param options: What follows it on the command line.
        :return: What it printed.
        :raises ComponentError: It failed; the message holds what it printed.
        """
        for (backfill_id,) in self.metadata.query(
            "SELECT id FROM backfill WHERE dag_id = ? AND completed_at IS NULL AND id NOT IN "
            "(SELECT backfill_id FROM backfill_dag_run)",
            dag_id,
        ):
            self.request("PUT", f"/backfills/{backfill_id}/cancel")
        return self._run("backfill", "create", "--dag-id", dag_id, *options)

    def _run(self, *arguments: str) -> str:
        result = subprocess.run(
            [*_airflow(), *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if result.returncode:
            raise ComponentError(
                f"airflow {' '.join(arguments)} ended with exit code {result.returncode}:\n{result.stdout}"
            )
        return result.stdout

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Send one request to the REST API.

        :param method: HTTP method.
        :param path: Path below ``/api/v2``.
        :param arguments: As for :meth:`httpx.Client.request`.
        :return: The parsed answer.
        """
        if self._client is None:
            raise RuntimeError("request() works inside the with block only")
        answer = self._client.request(method, f"/api/v2{path}", **arguments)
        if answer.is_error:
            raise ComponentError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def wait_for_dag(self, dag_id: str, timeout: float = DAG_SECONDS) -> None:
        """Wait until the dag-processor has parsed a DAG.

        :param dag_id: The DAG.
        :param timeout: Seconds.
        :raises ComponentError: It didn't appear in time, or a DAG file doesn't import.
        """

        def parsed() -> bool:
            errors = self.request("GET", "/importErrors")["import_errors"]
            if errors:
                raise ComponentError(f"{errors[0]['filename']} doesn't import:\n{errors[0]['stack_trace']}")
            rows = self.metadata.query("SELECT 1 FROM serialized_dag WHERE dag_id = ?", dag_id)
            return bool(rows)

        self.processes.wait_until(parsed, f"DAG {dag_id} was not parsed", timeout)

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run a DAG's tasks.

        :param dag_id: The DAG.
        """
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(
        self,
        dag_id: str,
        *,
        run_id: str | None = None,
        interval: tuple[datetime, datetime] | None = None,
        conf: Mapping[str, object] | None = None,
    ) -> str:
        """Start a DAG run by hand.

        :param dag_id: The DAG; must be parsed and not paused.
        :param run_id: Its id; by default Airflow makes one.
        :param interval: Data interval, UTC; its start is the logical date. Default: none.
        :param conf: Run configuration (params).
        :return: The run's id.
        """
        body: dict[str, object] = {"logical_date": None, "conf": dict(conf or {})}
        if run_id:
            body["dag_run_id"] = run_id
        if interval:
            start, end = (each.isoformat() for each in interval)
            body |= {"logical_date": start, "data_interval_start": start, "data_interval_end": end}
        return str(self.request("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run: queued, running, success or failed."""
        rows = self.metadata.query(
            "SELECT state FROM dag_run WHERE dag_id = ? AND run_id = ?", dag_id, run_id
        )
        if not rows:
            raise ComponentError(f"DAG {dag_id} has no run {run_id}")
        return str(rows[0][0])

    def wait_for_run(
        self, dag_id: str, run_id: str, timeout: float, progress: Callable[[], None] = _nothing
    ) -> None:
        """Wait until a DAG run has succeeded.

        :param dag_id: The DAG.
        :param run_id: The run.
        :param timeout: Seconds.
        :param progress: Called several times a second meanwhile.
        :raises RunFailedError: The run failed, or the time is over; with the log tail of each failed task.
        """

        def ended() -> bool:
            progress()
            return self.run_state(dag_id, run_id) in FINAL_STATES

        started = time.monotonic()
        try:
            self.processes.wait_until(ended, f"run {run_id} of {dag_id} didn't end", timeout)
        except ComponentError as error:
            raise RunFailedError(f"{error}\n{self.describe(run_id)}") from error
        finally:
            progress()
        if self.run_state(dag_id, run_id) != "success":
            seconds = time.monotonic() - started
            raise RunFailedError(
                f"run {run_id} of {dag_id} failed after {seconds:.0f} s\n{self.describe(run_id)}"
            )

    def describe(self, run_id: str) -> str:
        """Return the tasks of a run with their states, and the end of the log of each that failed."""
        rows = self.metadata.tasks(run_id)
        lines = [f"  {_label(row)}: {row.state}" for row in rows]
        for row in rows:
            if row.state == "failed":
                lines += [f"--- log of {_label(row)}", self.task_log(row)]
        return "\n".join(lines)

    def task_log(self, row: TaskRow, lines: int = 40) -> str:
        """Return the end of the log of a task instance's latest try.

        :param row: The task instance.
        :param lines: How many lines at most.
        """
        folder = (
            self.home / "logs" / f"dag_id={row.dag_id}" / f"run_id={row.run_id}" / f"task_id={row.task_id}"
        )
        if row.map_index >= 0:
            folder /= f"map_index={row.map_index}"
        return tail(folder / f"attempt={row.try_number}.log", lines)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Return an XCom as a task pushed it.

        :param dag_id: The DAG.
        :param run_id: The run.
        :param task_id: The task that pushed it.
        :param key: Its key.
        :param map_index: Index of a mapped task; -1 if it isn't mapped.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.request("GET", path, params={"map_index": map_index, "deserialize": False})["value"]


def _label(row: TaskRow) -> str:
    return row.task_id if row.map_index < 0 else f"{row.task_id}[{row.map_index}]"


def _airflow() -> list[str]:
    return [sys.executable, "-m", "airflow"]
