"""What one task remembers of its order over its tries, wherever they run."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Protocol

from planet_provider.ordering.ledger import Ledger, Record, decode


class Journal(Protocol):
    """A task's own store; Airflow's task state store is one."""

    def get(self, key: str) -> Any:
        """Return what was set under a key, or ``None``."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Remember a JSON value."""
        ...


class JournalLedger:
    """A ledger that a task's journal stands behind: it survives where the task's next try runs elsewhere.

    :param ledger: What twins share.
    :param journal: What the task remembers.
    """

    def __init__(self, ledger: Ledger, journal: Journal) -> None:
        self._ledger = ledger
        self._journal = journal

    def read(self, key: str) -> list[Record]:
        """Return what both know. Which is the later one can't be told: two machines' clocks may differ."""
        noted = self._journal.get(_journal_key(key))
        # Airflow's store takes no None; an empty record says that there surely is no order.
        own = [] if noted is None or noted == {} else [decode(json.dumps(noted))]
        return self._ledger.read(key) + own

    def write(self, key: str, record: Record | None) -> None:
        """Note it in both."""
        self._ledger.write(key, record)
        self._journal.set(_journal_key(key), {} if record is None else asdict(record))


def _journal_key(key: str) -> str:
    # Without the account, whose key may be renewed between two tries.
    return f"planet_order_{key.partition('-')[2]}"
