"""All that is known of one order before it is asked for: what its twins know, and what its own run does."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import NamedTuple

from planet_provider.client.config import PlanetConfig
from planet_provider.coordination.journal import (
    Journal,
    Record,
    open_journal,
    open_run_journal,
)
from planet_provider.ordering.task_journal import TaskJournal, TaskStore

log = logging.getLogger(__name__)


class Note(NamedTuple):
    """A record and whose it is.

    :param record: What is known.
    :param own: Whether the run that asks has noted it, and not just any task that wants the same order.
    """

    record: Record
    own: bool


class Notes:
    """The records of one order, in all journals that know it.

    :param config: Names the store that twins share.
    :param key: The order's key there.
    :param task_store: What the task remembers.
    :param run: Names the run that asks.
    """

    def __init__(
        self, config: PlanetConfig, key: str, *, task_store: TaskStore | None, run: str | None
    ) -> None:
        self._shared = open_journal(config.coordination_store)
        self._key = key
        self._own: list[tuple[Journal, str]] = []
        if run is not None:
            run_key = f"{key}-{hashlib.sha256(run.encode()).hexdigest()[:12]}"
            self._own.append((open_run_journal(config.coordination_store), run_key))
        if task_store is not None:
            self._own.append((TaskJournal(task_store), key))

    def read(self) -> list[Note]:
        """Return what is known, the run's own first. Which is the latest can't be told: clocks may differ."""
        own = [Note(record, own=True) for journal, key in self._own for record in journal.read(key)]
        return own + [Note(record, own=False) for record in self._shared.read(self._key)]

    def remembers_seconds(self) -> float:
        """Return how far back twins have surely forgotten nothing, in seconds."""
        return self._shared.remembers_seconds()

    def write(self, record: Record) -> None:
        """Note what is about to happen, everywhere.

        :raises CoordinationStoreError: It can't be noted.
        """
        for journal, key in self._places():
            journal.write(key, record)

    def conclude(
        self, record: Record | None, check: Callable[[], None] = lambda: None, *, own: bool = True
    ) -> None:
        """Note what has come of it, where that can be noted: it is worth more than the note.

        :param record: ``None`` where there surely is no order.
        :param check: Called first; raises where the records may be another's by now.
        :param own: Whether the run may have placed the order itself.
        """
        for journal, key in self._places() if own else [(self._shared, self._key)]:
            try:
                check()
                journal.write(key, record)
            except Exception as error:
                known = "no order was placed" if record is None else f"order {record.order_id} is there"
                log.warning("That %s can't be noted: %s", known, error)

    def _places(self) -> list[tuple[Journal, str]]:
        return [(self._shared, self._key), *self._own]
