"""What the metadata database says: read straight from it, without disturbing Airflow."""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

WATCH_SECONDS = 0.25
"""Between two looks of the recorder; a task is deferred for several seconds."""
BUSY_SECONDS = 60.0
LOCK_SECONDS = 60
"""How long a process waits for its turn to write: on a busy machine, Python's default of 5 s is not enough."""


@dataclass(frozen=True)
class TaskRow:
    """A task instance as stored."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    trigger_id: int | None
    next_method: str | None
    next_kwargs: str | None
    hostname: str | None
    pid: int | None


@dataclass(frozen=True)
class TriggerRow:
    """A trigger as stored: it exists only while its task is deferred."""

    id: int
    classpath: str
    kwargs: str
    triggerer_id: int | None


class Metadata(ABC):
    """Read-only view of an Airflow's database.

    :param url: The database, as SQLAlchemy takes it.
    """

    creation_order: ClassVar[str]
    """Column by which task instances stand in the order in which they were made."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def settings(self) -> dict[str, object]:
        """Return Airflow's section ``[database]``."""
        return {"sql_alchemy_conn": self.url}

    @abstractmethod
    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, in which ``?`` stands for a parameter."""

    @abstractmethod
    def tables(self) -> list[str]:
        """Return the names of all tables."""

    def tasks(self, run_id: str | None = None) -> list[TaskRow]:
        """Return task instances, in the order in which they were made.

        :param run_id: Only those of this DAG run.
        """
        columns = (
            "dag_id, run_id, task_id, map_index, state, try_number, trigger_id, next_method, "
            "CAST(next_kwargs AS TEXT), hostname, pid"
        )
        condition, parameters = ("WHERE run_id = ?", (run_id,)) if run_id else ("", ())
        rows = self.query(
            f"SELECT {columns} FROM task_instance {condition} ORDER BY {self.creation_order}",  # noqa: S608
            *parameters,
        )
        return [TaskRow(*row) for row in rows]

    def triggers(self) -> list[TriggerRow]:
        """Return the triggers that wait right now."""
        return [
            TriggerRow(*row) for row in self.query("SELECT id, classpath, kwargs, triggerer_id FROM trigger")
        ]

    def triggerers(self) -> set[int]:
        """Return the job ids of all triggerers there ever were."""
        return {int(row) for (row,) in self.query("SELECT id FROM job WHERE job_type = 'TriggererJob'")}

    def triggerer_hosts(self) -> dict[int, str]:
        """Return the host names of all triggerers there ever were, by job id."""
        rows = self.query("SELECT id, hostname FROM job WHERE job_type = 'TriggererJob'")
        return {int(job_id): str(hostname) for job_id, hostname in rows}

    def failed(self, run_id: str) -> list[TaskRow]:
        """Return the task instances of a run that failed of themselves."""
        return [row for row in self.tasks(run_id) if row.state == "failed"]


class SqliteMetadata(Metadata):
    """Read-only view of a SQLite database.

    :param path: The database file.
    """

    creation_order = "rowid"

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}?timeout={LOCK_SECONDS}")
        self.path = path

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query, in which ``?`` stands for a parameter."""
        with self._connect() as connection:
            return connection.execute(sql, parameters).fetchall()

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        return [name for (name,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")]


@dataclass
class History:
    """What a recorder saw."""

    changes: list[TaskRow] = field(default_factory=list)
    """A row for each change of a task instance's state or trigger."""
    triggers: dict[int, TriggerRow] = field(default_factory=dict)
    """Every trigger that was seen, as last seen."""
    waits: dict[tuple[str, str, str, int, int], TriggerRow] = field(default_factory=dict)
    """Triggers by the task instance that waited, and their id: SQLite gives an id again, once it is free."""

    def states(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[str | None]:
        """Return the states that one task instance was seen in, in order."""
        key = (dag_id, run_id, task_id, map_index)
        return [
            row.state for row in self.changes if (row.dag_id, row.run_id, row.task_id, row.map_index) == key
        ]

    def deferrals(self, dag_id: str, run_id: str, task_id: str) -> list[tuple[TaskRow, TriggerRow]]:
        """Return each deferral of a task that was seen, with the trigger it waited on."""
        return [
            (row, self.waits[_wait(row)])
            for row in self.changes
            if (row.dag_id, row.run_id, row.task_id) == (dag_id, run_id, task_id)
            and row.state == "deferred"
            and _wait(row) in self.waits
        ]

    def summary(self) -> Counter[str]:
        """Return how often each state was entered."""
        return Counter(row.state or "none" for row in self.changes)


def _wait(row: TaskRow) -> tuple[str, str, str, int, int]:
    return row.dag_id, row.run_id, row.task_id, row.map_index, row.trigger_id or 0


class Recorder:
    """Context manager: watch the database from a thread and keep what passes by.

    Airflow deletes a trigger when it has fired and overwrites a task instance's state, so the proof that a
    task waited in a triggerer has to be taken while it does.

    :param metadata: The database to watch.
    """

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.history = History()
        self.error: Exception | None = None
        self._last: dict[tuple[str, str, str, int], TaskRow] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="metadata-recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.error is not None and error is None:
            raise self.error

    def _watch(self) -> None:
        try:
            while not self._stop.wait(WATCH_SECONDS):
                self._look()
            self._look()
        except Exception as error:  # raised by __exit__, in the thread that can act on it
            self.error = error

    def _look(self) -> None:
        # Tasks first: a trigger outlives the moment in which its task instance is seen deferred.
        tasks = self.metadata.tasks()
        triggers = {trigger.id: trigger for trigger in self.metadata.triggers()}
        self.history.triggers |= triggers
        for row in tasks:
            if row.state == "deferred" and row.trigger_id in triggers:
                self.history.waits[_wait(row)] = triggers[row.trigger_id]
            key = (row.dag_id, row.run_id, row.task_id, row.map_index)
            last = self._last.get(key)
            if last is None or (last.state, last.trigger_id) != (row.state, row.trigger_id):
                self.history.changes.append(row)
            self._last[key] = row
