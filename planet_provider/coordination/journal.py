"""What became of an order that was about to be placed: what its next try, and its twins, have to know.

A record is written *before* an order is placed and completed after. One without an id, left by a killed
process or an answer that was not clear, makes the next one look for the order for longer, because
Planet's list lags behind; one with an id finds the order although the list doesn't show it yet.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from planet_provider.coordination.open import store_directory
from planet_provider.coordination.own_files import open_regular, sync_folder
from planet_provider.coordination.redis_url import REDIS_SCHEMES, redis_client, redis_label
from planet_provider.coordination.store import store_error

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

#: Seconds that a record is kept: long after Planet's list has caught up.
KEPT_SECONDS = 24 * 60 * 60.0

#: Seconds that a run's own records are kept: as long as Planet keeps orders.
RUN_KEPT_SECONDS = 90 * KEPT_SECONDS

#: Seconds since the epoch that no clock shows: what lies behind is no time that was noted.
_LATEST = 1e11

#: Characters of a record that are read: it has about a hundred.
_MAX_RECORD = 10_000

#: Share of the writes that look for files to forget: looking at all of them each time would add up.
SWEEPS = 0.02


@dataclass(frozen=True)
class Record:
    """What is known of an order.

    :param at: When it was about to be placed: UTC, as seconds since the epoch.
    :param order_id: Its id; ``None`` where it is not known whether it was placed.
    """

    at: float
    order_id: str | None = None

    @property
    def moment(self) -> datetime:
        """When it was about to be placed."""
        return datetime.fromtimestamp(self.at, timezone.utc)


class Journal(Protocol):
    """Records by key."""

    def read(self, key: str) -> list[Record]:
        """Return what is known, one record a place that knows; one without id where that can't be read."""
        ...

    def write(self, key: str, record: Record | None) -> None:
        """Note durably what is known; ``None`` where there surely is no order.

        :raises CoordinationStoreError: It can't be written.
        """
        ...

    def remembers_seconds(self) -> float:
        """Return how far back it surely has forgotten nothing, in seconds.

        :raises CoordinationStoreError: It can't be asked.
        """
        ...


def open_journal(url: str) -> Journal:
    """Return the journal that lies where a coordination store lies: what all who share it know of an order.

    :param url: ``memory://``: this process; ``file://``: this machine; ``redis://`` and its kin: the cluster.
    """
    return _open(url, "orders", KEPT_SECONDS) or _memory


def open_run_journal(url: str) -> Journal:
    """Return the journal of the orders that each DAG run placed. It is kept in the same store."""
    return _open(url, "run-orders", RUN_KEPT_SECONDS) or _run_memory


def _open(url: str, name: str, kept: float) -> Journal | None:
    scheme = urlsplit(url).scheme
    if scheme in REDIS_SCHEMES:
        return RedisJournal(redis_client(url), redis_label(url), f"planet-{name}", kept)
    if scheme == "file":
        return FileJournal(Path(store_directory(url)) / name, kept)
    return None


def encode(record: Record) -> str:
    """Return a record as JSON."""
    return json.dumps(asdict(record))


def decode(content: str) -> Record:
    """Read a record; one that is not whole tells at least that an order was about to be placed."""
    try:
        fields = json.loads(content)
        at, order_id = float(fields["at"]), fields["order_id"]
        if 0 <= at < _LATEST:
            return Record(at, None if order_id is None else str(UUID(str(order_id))))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        pass
    return Record(time.time())


class MemoryJournal:
    """Records of one process."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        record = self._records.get(key)
        return [] if record is None else [record]

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known."""
        if record is None:
            self._records.pop(key, None)
        else:
            self._records[key] = record

    def remembers_seconds(self) -> float:
        """Return how far back it has forgotten nothing."""
        return math.inf


_memory = MemoryJournal()
_run_memory = MemoryJournal()


class FileJournal:
    """Records of one machine, a small file each.

    :param folder: Made where it is missing.
    :param kept: Seconds after which a record is forgotten.
    """

    def __init__(self, folder: Path, kept: float = KEPT_SECONDS) -> None:
        self._folder = folder
        self._kept = kept

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        try:
            with os.fdopen(open_regular(self._file(key)), encoding="utf-8", errors="replace") as stream:
                return [decode(stream.read(_MAX_RECORD))]
        except FileNotFoundError:
            return []
        except OSError as error:
            return unreadable(str(self._folder), error)

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known; a reader finds the old record or the new one, whole."""
        try:
            if record is None:
                self._file(key).unlink(missing_ok=True)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._file(key), encode(record))
        except OSError as error:
            raise store_error(f"file://{self._folder}", _UNWRITABLE, error) from error
        if random.random() < SWEEPS:
            self._forget_old()

    def remembers_seconds(self) -> float:
        """Return how far back it has forgotten nothing."""
        return math.inf  # a disk keeps what was written, unless somebody empties the folder on purpose

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _forget_old(self) -> None:
        since = time.time() - self._kept
        for file in self._folder.iterdir():
            with suppress(OSError):
                if file.stat().st_mtime < since:
                    file.unlink()


def _replace(file: Path, content: str) -> None:
    """Put a file's new content in its place at once, durably."""
    part = file.with_suffix(".part")
    descriptor = open_regular(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    sync_folder(file.parent)


class RedisJournal:
    """Records of all machines that reach a Redis.

    All of them are fields of one hash, and with them the epoch: since when, and in which run of the server, it
    has forgotten nothing. So a server that was flushed, or that evicts keys, loses both or none; and one that was
    restarted, maybe with an older state, or whose replica took over, is another run.

    :param client: Client that decodes responses, with timeouts.
    :param label: How to call the server in messages.
    :param name: Key of the hash.
    :param kept: Seconds after which a record is forgotten.
    """

    def __init__(
        self, client: Redis, label: str, name: str = "planet-orders", kept: float = KEPT_SECONDS
    ) -> None:
        self._client = client
        self._label = label
        self._name = name
        self._kept = kept

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        from redis import RedisError

        try:
            content: Any = self._client.hget(self._name, key)
        except (RedisError, OSError) as error:
            return unreadable(self._label, error)
        return [] if content is None else [decode(content)]

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known."""
        from redis import RedisError

        try:
            if record is None:
                self._client.hdel(self._name, key)
            else:
                self._client.hset(self._name, key, encode(record))
            if random.random() < SWEEPS:
                self._forget_old()
        except (RedisError, OSError) as error:
            raise store_error(self._label, _UNWRITABLE, error) from error

    def remembers_seconds(self) -> float:
        """Return how far back it surely has forgotten nothing, by the server's clock."""
        from redis import RedisError

        try:
            asked = self._client.pipeline(transaction=False)
            asked.time()
            asked.info("server")
            asked.hget(self._name, _EPOCH)
            (seconds, micros), server, epoch = asked.execute()
            run_id, now = server.get("run_id", ""), seconds + micros / 1e6
            passed = _passed(epoch, run_id, now)
            if passed is None:
                self._client.hset(self._name, _EPOCH, f"{run_id} {now!r}")
        except (RedisError, OSError) as error:
            raise store_error(self._label, "how long it has been running can't be told", error) from error
        return passed or 0.0

    def _forget_old(self) -> None:
        since = time.time() - self._kept
        for key, content in self._client.hscan_iter(self._name, count=1000):
            if key != _EPOCH and decode(content).at < since:
                self._client.hdel(self._name, key)


#: The hash's field that is no record.
_EPOCH = "epoch"

_UNWRITABLE = "what becomes of an order can't be noted, and an order is not placed without a note"


def _passed(epoch: str | None, run_id: str, now: float) -> float | None:
    """Return for how many seconds an epoch lasts; ``None`` where there is none of this run of the server."""
    noted_run, _, since = (epoch or "").rpartition(" ")
    try:
        passed = now - float(since)
    except ValueError:
        return None
    return passed if noted_run == run_id and passed >= 0 else None


def unreadable(where: str, error: Exception) -> list[Record]:
    """Return the doubt that stands for a record which can't be read."""
    log.warning("%s: what became of an order can't be read, so it is looked for at length: %s", where, error)
    return [Record(time.time())]
