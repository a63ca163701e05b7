"""What became of an order that was about to be placed: what its next try, and its twins, have to know.

A record is written *before* an order is placed and completed after. One without an id, left by a killed
process or an answer that was not clear, makes the next one look for the order with more patience, because
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from planet_provider.client import checks
from planet_provider.client.ratelimit import Fallback
from planet_provider.client.ratelimit.open import store_directory
from planet_provider.client.redis_url import REDIS_SCHEMES, redis_client, redis_label
from planet_provider.exceptions import RateLimitStoreError

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

#: Seconds that a record is kept: long after Planet's list has caught up.
KEPT_SECONDS = 24 * 60 * 60.0

#: Share of the writes that look for files to forget: looking at all of them each time would add up.
_SWEEPS = 0.02


@dataclass(frozen=True)
class Record:
    """What is known of an order.

    :param at: When it was about to be placed: UTC, as seconds since the epoch.
    :param order_id: Its id; ``None`` where it is not known whether it was placed.
    """

    at: float
    order_id: str | None = None


class Ledger(Protocol):
    """Records by key."""

    def read(self, key: str) -> list[Record]:
        """Return what is known, one record a place that knows; one without id where that can't be read."""
        ...

    def write(self, key: str, record: Record | None) -> None:
        """Note durably what is known; ``None`` where there surely is no order.

        :raises RateLimitStoreError: It can't be written.
        """
        ...


def open_ledger(url: str, fallback: Fallback) -> Ledger:
    """Return the ledger that lies where a rate limit's store lies.

    :param url: ``memory://``: this process; ``file://``: this machine; ``redis://`` and its kin: the cluster.
    :param fallback: As for the rate limit: with ``fail``, what a cluster's store can't note is an error.
    """
    scheme = urlsplit(url).scheme
    if scheme in REDIS_SCHEMES:
        return RedisLedger(redis_client(url), redis_label(url), strict=fallback == "fail")
    if scheme == "file":
        return FileLedger(Path(store_directory(url)) / "orders")
    return _memory


def encode(record: Record) -> str:
    """Return a record as JSON."""
    return json.dumps(asdict(record))


def decode(content: str) -> Record:
    """Read a record; one that is not whole tells at least that an order was about to be placed."""
    try:
        fields = json.loads(content)
        at, order_id = float(fields["at"]), fields["order_id"]
        if math.isfinite(at):
            return Record(at, None if order_id is None else checks.order_id(order_id))
    except (ValueError, TypeError, KeyError, OverflowError):
        pass
    return Record(time.time())


class MemoryLedger:
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


_memory = MemoryLedger()


class FileLedger:
    """Records of one machine, a small file each.

    :param folder: Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        try:
            return [decode(self._file(key).read_text(encoding="utf-8", errors="replace"))]
        except FileNotFoundError:
            return []
        except OSError as error:
            return _unreadable(str(self._folder), error)

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known; whoever reads finds the old record or the new one, whole."""
        try:
            if record is None:
                self._file(key).unlink(missing_ok=True)
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self._file(key), encode(record))
        except OSError as error:
            raise _unwritable(str(self._folder), error) from error
        if random.random() < _SWEEPS:
            self._forget_old()

    def _file(self, key: str) -> Path:
        return self._folder / f"{key}.json"

    def _forget_old(self) -> None:
        since = time.time() - KEPT_SECONDS
        for file in self._folder.iterdir():
            with suppress(OSError):
                if file.stat().st_mtime < since:
                    file.unlink()


def _replace(file: Path, content: str) -> None:
    """Put a file's new content in its place at once, durably."""
    part = file.with_suffix(".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class RedisLedger:
    """Records of all machines that reach a Redis.

    :param client: Client that decodes responses, with timeouts.
    :param label: How to call the server in messages.
    :param strict: Whether it is an error that the server is away when something is to be noted. Otherwise
        that is a warning, and the lock says that it holds for one machine only.
    """

    def __init__(self, client: Redis, label: str, *, strict: bool) -> None:
        self._client = client
        self._label = label
        self._strict = strict

    def read(self, key: str) -> list[Record]:
        """Return what is known."""
        from redis import RedisError

        try:
            content: Any = self._client.get(f"planet-order:{key}")
        except (RedisError, OSError) as error:
            return _unreadable(self._label, error)
        return [] if content is None else [decode(content)]

    def write(self, key: str, record: Record | None) -> None:
        """Note what is known."""
        from redis import RedisError

        try:
            if record is None:
                self._client.delete(f"planet-order:{key}")
            else:
                self._client.set(f"planet-order:{key}", encode(record), ex=int(KEPT_SECONDS))
        except (RedisError, OSError) as error:
            failure = _unwritable(self._label, error)
            if self._strict:
                raise failure from error
            log.warning("%s", failure)


def _unreadable(where: str, error: Exception) -> list[Record]:
    log.warning("%s: what became of an order can't be read, so it is looked for at length: %s", where, error)
    return [Record(time.time())]


def _unwritable(where: str, error: Exception) -> RateLimitStoreError:
    return RateLimitStoreError(
        f"rate_limit_store: what becomes of an order can't be noted in {where}: {type(error).__name__}: {error}. "
        "An order is not placed without a note; make room for it, or choose another rate_limit_store."
    )
