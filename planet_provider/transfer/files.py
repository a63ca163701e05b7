"""Bring files into a store: skip those that are there and agree, fetch the others, publish what is whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from planet_provider.exceptions import StorageError
from planet_provider.transfer.digests import (
    Checksum,
    Expected,
    Verified,
    hash_stream,
)
from planet_provider.transfer.download.pool import DownloadPool, Ranges
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.download.single import Fetch, Fetched
from planet_provider.transfer.download.sources import Source
from planet_provider.transfer.manifest import Entry
from planet_provider.transfer.parallel import in_parallel
from planet_provider.transfer.progress import ProgressCallback, TransferProgress
from planet_provider.transfer.records import FileRecord
from planet_provider.transfer.stores.base import Staging, Store
from planet_provider.transfer.stores.errors import FileLocation, reason_of
from planet_provider.wording import counted, file_size

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileTask:
    """A file to be in place.

    :param source: Where it is.
    :param store: Where it goes.
    :param entry: What it has to be, and its path in the store.
    :param delivered_name: The name that Planet gives it.
    """

    source: Source
    store: Store
    entry: Entry
    delivered_name: str


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """How files are brought.

    :param session: Sends the requests.
    :param checksum: The digest to verify by where there is a choice.
    :param threads: Connections at once, for files and for parts of files; >= 1.
    :param progress: Told how far it is.
    :param progress_interval: Seconds between two such calls.
    :param retry_policy: How often a file is tried.
    :param ranges: When a file is fetched through several connections.
    """

    session: PlanetSession
    checksum: Checksum
    threads: int
    progress: ProgressCallback | None
    progress_interval: float
    retry_policy: RetryPolicy
    ranges: Ranges = field(default_factory=Ranges)

    def fetch(
        self,
        source: Source,
        staging: Staging,
        expected: Expected | None = None,
        watch: TransferProgress | None = None,
        pool: DownloadPool | None = None,
    ) -> Fetched:
        """Bring one file into a staging."""
        return Fetch(
            self.session,
            source,
            staging,
            expected or Expected(),
            checksum=self.checksum,
            watch=watch or TransferProgress(),
            retry_policy=self.retry_policy,
            pool=pool,
        ).run()

    def batch(self, tasks: Sequence[FileTask]) -> Batch:
        """Begin to bring several files."""
        return Batch(self, tasks)


class Batch:
    """Several files that are brought together.

    :param transfers: How.
    :param tasks: What.
    """

    def __init__(self, transfers: Transfers, tasks: Sequence[FileTask]) -> None:
        self._transfers = transfers
        self._tasks = tasks
        total = sum(task.entry.expected.size or 0 for task in tasks)
        self._watch = TransferProgress(len(tasks), total)

    def present(self) -> Mapping[str, FileRecord]:
        """Return records of the files that are there already and agree in size and digest, by path."""
        found = self._parallel(self._present, self._tasks)
        return {record.name: record for record in found if record is not None}

    def bring(self, present: Mapping[str, FileRecord]) -> list[FileRecord]:
        """Fetch and publish the files that are not there.

        :return: Records of all files, in the tasks' order.
        """
        wanted = [task for task in self._tasks if task.entry.path not in present]
        threads = self._transfers.threads
        log.info(
            "To fetch: %s, %s. Already there: %s, %s.",
            *(counted(len(wanted), "file"), file_size(sum(task.entry.expected.size or 0 for task in wanted))),
            *(counted(len(present), "file"), file_size(sum(record.bytes for record in present.values()))),
        )
        pool = DownloadPool(self._watch, threads, len(wanted), self._transfers.ranges)
        with closing(pool):
            jobs: list[Callable[[], FileRecord | None]] = [
                partial(self._bring, pool, task) for task in wanted
            ]
            # Threads that find no file left help those that have one.
            jobs += [pool.help] * (threads - 1 if wanted else 0)
            brought = self._parallel(lambda job: job(), jobs)
        fetched = {record.name: record for record in brought if record is not None}
        if self._transfers.progress is not None:
            self._transfers.progress(self._watch.progress())
        records = {**present, **fetched}
        return [records[task.entry.path] for task in self._tasks]

    def _parallel(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        return in_parallel(
            work,
            items,
            threads=self._transfers.threads,
            watch=self._watch,
            progress=self._transfers.progress,
            interval=self._transfers.progress_interval,
        )

    def _present(self, task: FileTask) -> FileRecord | None:
        agreed = agrees_in_place(task.store, task.entry, self._transfers.checksum, self._watch)
        if agreed is None:
            return None
        size, verified = agreed
        task.store.settled(task.entry.path)
        self._watch.moved(size, reused=True)
        self._watch.file_done()
        log.debug("%s is there already and agrees.", task.entry.path)
        return _record(task, size, verified, {}, downloaded=False)

    def _bring(self, pool: DownloadPool, task: FileTask) -> FileRecord:
        name, expected = task.entry.path, task.entry.expected
        with task.store.stage(name, expected) as staging:
            try:
                fetched = self._transfers.fetch(task.source, staging, expected, self._watch, pool)
            finally:
                pool.file_done()
            self._watch.check()
            staging.publish()
        self._watch.file_done()
        log.debug("%s arrived whole: %s.", name, file_size(fetched.size))
        measured = {fetched.checksum: fetched.digest}
        return _record(task, fetched.size, fetched.verified, measured, downloaded=True)


def agrees_in_place(
    store: Store, entry: Entry, checksum: Checksum, watch: TransferProgress
) -> tuple[int, Verified] | None:
    """Compare a file in its store with what it has to be.

    :return: Its size and what was compared; ``None`` if the file is not there, can't be read, differs, or Planet
        gives neither its size nor a digest.
    """
    try:
        return _agreement(store, entry, checksum, watch)
    except _DiffersError as difference:
        log.warning(
            "%s differs from what Planet has now: %s. It is replaced once the new file has arrived whole.",
            *(store.uri(entry.path), difference),
        )
    except (FileNotFoundError, StorageError) as error:
        log.warning("%s can't be read: %s.", store.uri(entry.path), reason_of(error))
    return None


class _DiffersError(Exception):
    """A file is there and is not what it has to be."""


def _agreement(
    store: Store, entry: Entry, checksum: Checksum, watch: TransferProgress
) -> tuple[int, Verified] | None:
    expected = entry.expected
    size = store.size(entry.path)
    digest = expected.digest(checksum)
    if size is None:
        return None
    if expected.size is not None and size != expected.size:
        raise _DiffersError(f"it has {size:,} bytes, not {expected.size:,}")
    if digest is None:
        if expected.size is None:
            raise _DiffersError("Planet gives neither size nor digest, so it can't be compared")
        return size, "size"
    name, value = digest
    with store.open(entry.path) as stream, FileLocation(entry.path, store.uri()).errors():
        measured = hash_stream(stream, name, moved=lambda _: watch.check())
    if measured != (size, value):
        raise _DiffersError(f"its {name} is {measured[1]}, not {value}")
    return size, name


def _record(
    task: FileTask, size: int, verified: Verified, measured: Mapping[Checksum, str], *, downloaded: bool
) -> FileRecord:
    entry = task.entry
    return FileRecord(
        path=task.store.uri(entry.path),
        name=entry.path,
        source=task.delivered_name,
        item_id=entry.item_id,
        item_type=entry.item_type,
        asset_type=entry.asset_type,
        media_type=entry.media_type,
        bytes=size,
        md5=entry.expected.md5 or measured.get("md5"),
        sha256=entry.expected.sha256 or measured.get("sha256"),
        verified=verified,
        downloaded=downloaded,
    )
