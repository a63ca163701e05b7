"""What one task remembers of its order over its tries, wherever they run."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any, Protocol

from planet_provider.coordination.journal import Record, decode, unreadable
from planet_provider.exceptions import CoordinationStoreError

_PLACE = "Airflow's task state store"


class TaskStore(Protocol):
    """A task's own store; Airflow's task state store is one."""

    def get(self, key: str) -> Any:
        """Return what was set under a key, or ``None``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        ...


class TaskJournal:
    """The records of a task's orders in its own store, which the task's next try finds on any machine.

    :param task_store: What the task remembers. It may raise anything.
    """

    def __init__(self, task_store: TaskStore) -> None:
        self._task_store = task_store

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        try:
            noted = self._task_store.get(_journal_key(key))
            # Airflow's store takes no None; an empty record says that there surely is no order.
            return [] if noted is None or noted == {} else [decode(json.dumps(noted))]
        except Exception as error:
            return unreadable(_PLACE, error)

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known."""
        try:
            self._task_store.set(_journal_key(key), {} if record is None else asdict(record))
        except Exception as error:
            raise CoordinationStoreError(
                f"{_PLACE}: what becomes of an order can't be noted, and an order is not placed without a note: "
                f"{type(error).__name__}: {error}. Check that Airflow's API server answers, and run this again."
            ) from error

    def remembers_seconds(self) -> float:
        """Return how far back it has forgotten nothing."""
        return math.inf


def _journal_key(key: str) -> str:
    # Without the account, whose key may be renewed between two tries.
    return f"planet_order_{key.partition('-')[2]}"
