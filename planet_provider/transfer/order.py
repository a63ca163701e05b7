"""Download an order: all of its files or, with an error, no manifest.json."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from planet_provider.builders import checks
from planet_provider.client.api import orders
from planet_provider.exceptions import TransferError, UnexpectedResponseError
from planet_provider.transfer.archive import folder_of, is_archive
from planet_provider.transfer.archive import unpack as unpack_archive
from planet_provider.transfer.digests import Checksum, Expected, check_checksum
from planet_provider.transfer.download.pool import DEFAULT_CONCURRENCY, Ranges
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.download.sources import OrderLinks, check_delivery
from planet_provider.transfer.files import FileTask, Transfers
from planet_provider.transfer.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    TRANSFER_RECORD,
    Entry,
    TransferRecord,
    merged_files,
    merged_members,
    parse_manifest,
    recorded_files,
)
from planet_provider.transfer.names import check_places
from planet_provider.transfer.parallel import PROGRESS_SECONDS
from planet_provider.transfer.plan import (
    Globs,
    PlannedFile,
    Selection,
    plan_files,
    recorded_selection,
)
from planet_provider.transfer.progress import ProgressCallback
from planet_provider.transfer.records import FileRecord, OrderTransfer
from planet_provider.transfer.stores.base import Store, read, write
from planet_provider.transfer.stores.errors import FileLocation
from planet_provider.transfer.stores.memory import MemoryStaging
from planet_provider.transfer.stores.open import Destination, open_store
from planet_provider.wording import counted, file_size

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)


def download_order(
    session: PlanetSession,
    order_id: str,
    destination: Destination,
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    overwrite: bool = False,
    include: Globs = None,
    exclude: Globs = None,
    unpack: bool = False,
    progress: ProgressCallback | None = None,
    progress_interval: float = PROGRESS_SECONDS,
    retry_policy: RetryPolicy | None = None,
    ranges: Ranges | None = None,
) -> OrderTransfer:
    """Download an order's files to ``<destination>/<order_id>/``, whole and verified.

    Files that are there already and agree in size and digest are not fetched again; one that differs is replaced,
    with a warning, once the new one has arrived whole. ``manifest.json`` is
    written last, so where it is, all files that were asked for are. ``planet-transfer.json`` beside it tells
    what was transferred.

    :param session: Session of the account that placed the order.
    :param order_id: Planet order UUID; the order must have ended as success or partial.
    :param destination: Folder; see :func:`~planet_provider.transfer.stores.open.open_store`.
    :param checksum: Digest to verify by; where the manifest lacks it, the other one is used.
    :param max_concurrency: Connections at once, for files and for parts of large files; >= 1. No more than the
        session has.
    :param overwrite: Fetch files again although they are there and agree.
    :param include: Globs on the path relative to the order's folder; by default every file.
    :param exclude: Globs of files to leave out.
    :param unpack: Unpack zips, each to the folder of its name; see :mod:`planet_provider.transfer.archive`. The
        zips stay. Globs choose among what was delivered, not among what is inside.
    :param progress: Called with a :class:`~planet_provider.transfer.progress.Progress` at intervals, and at
        the end.
    :param progress_interval: Seconds between two such calls.
    :param retry_policy: How often a file is tried.
    :param ranges: When a large file comes through several connections.
    :return: What is there now.
    :raises UnsafePathError: A delivered name leads out of the folder, or two clash. Nothing was fetched.
    :raises OrderError: The order has no results.
    :raises ChecksumError: A file was wrong twice.
    :raises IncompleteTransferError: A file's body was cut too often.
    :raises TransferError: A file was not delivered, or has no link.
    :raises StorageError: The disk is full, or may not be written to.
    :raises ArchiveError: A zip can't be read, or would unpack to more than it may.
    """
    order_id = checks.order_id(order_id)
    concurrency = checks.whole_number(max_concurrency, "max_concurrency")
    selection = Selection.of(include, exclude)
    folder = open_store(destination).child(order_id)
    transfers = Transfers(
        session=session,
        checksum=check_checksum(checksum),
        threads=min(concurrency, session.config.max_connections),
        progress=progress,
        progress_interval=progress_interval,
        retry_policy=retry_policy or RetryPolicy(),
        ranges=ranges or Ranges(),
    )
    unpack = checks.flag(unpack, "unpack")
    return _OrderDownload(transfers, order_id, folder, selection).run(overwrite=overwrite, unpack=unpack)


def fetch_again(
    session: PlanetSession,
    order_id: str,
    folder: Store,
    paths: Collection[str],
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    progress: ProgressCallback | None = None,
) -> OrderTransfer:
    """Bring some files of an order again into the folder that it was downloaded to; leave the others alone.

    :param folder: The order's own, whatever its name is by now.
    :param paths: Of files in it, whichever globs brought them; what was unpacked is unpacked again.
    """
    record = read(folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES)
    transfers = Transfers(
        session=session,
        checksum=check_checksum(checksum),
        threads=min(max_concurrency, session.config.max_connections),
        progress=progress,
        progress_interval=PROGRESS_SECONDS,
        retry_policy=RetryPolicy(),
    )
    archives = {path: str(file.get("archive")) for path, file in recorded_files(record, "unpacked").items()}
    only = frozenset(archives.get(path, path) for path in paths)
    selection = replace(recorded_selection(record), paths=only)
    download = _OrderDownload(transfers, checks.order_id(order_id), folder, selection)
    # A zip that is to be fetched again may hold what was unpacked and has to agree with it.
    return download.run(overwrite=False, unpack=not only.isdisjoint(archives.values()))


@dataclass(frozen=True)
class _OrderDownload:
    transfers: Transfers
    order_id: str
    folder: Store
    selection: Selection

    def run(self, *, overwrite: bool, unpack: bool) -> OrderTransfer:
        started_at = datetime.now(timezone.utc)
        order = self.transfers.session.send(orders.get(self.order_id))
        links = OrderLinks(self.transfers.session, order)
        content, manifest = self._manifest(links)
        archived = bool((order.get("delivery") or {}).get("archive_type"))
        plan = plan_files(self.order_id, links.results, manifest, self.selection, archived=archived)
        records = self._files(links, plan, overwrite=overwrite)
        unpacked = self._unpack(records, manifest, links, overwrite=overwrite) if unpack else []
        # Of a result that the manifest doesn't list, an earlier transfer's record is all that is known.
        unlisted = {path: Entry(path=path) for path in links.results if path not in manifest}
        self._finish(content, {**manifest, **unlisted}, records, unpacked, started_at)
        result = OrderTransfer(
            order_id=self.order_id,
            directory=self.folder.uri(),
            manifest=self.folder.uri(MANIFEST),
            manifest_sha256=hashlib.sha256(content).hexdigest(),
            files=records,
            unpacked=unpacked,
        )
        log.info(
            "Order %s is whole in %s: %s, %s; %d fetched, %d already there.",
            *(self.order_id, result.directory, counted(len(records), "file"), file_size(result.bytes)),
            *(result.downloaded, result.skipped),
        )
        return result

    def _manifest(self, links: OrderLinks) -> tuple[bytes, Mapping[str, Entry]]:
        if MANIFEST not in links.results:
            raise TransferError(
                f"Order {self.order_id} has no {MANIFEST} among its results, so nothing could be verified.",
                file=MANIFEST,
            )
        check_delivery(self.order_id, {MANIFEST: links.results[MANIFEST]})
        content = self._fetch_manifest(links)
        try:
            return content, parse_manifest(content)
        except UnexpectedResponseError as error:
            log.warning("Order %s: %s; fetching it afresh.", self.order_id, error)
        content = self._fetch_manifest(links)
        return content, parse_manifest(content)

    def _fetch_manifest(self, links: OrderLinks) -> bytes:
        staging = MemoryStaging(MANIFEST, MAX_MANIFEST_BYTES)
        self.transfers.fetch(links.file(MANIFEST), staging)
        return bytes(staging.content)

    def _files(self, links: OrderLinks, plan: Sequence[PlannedFile], *, overwrite: bool) -> list[FileRecord]:
        tasks = [FileTask(links.file(file.path), self.folder, file.entry, file.source) for file in plan]
        batch = self.transfers.batch(tasks)
        present = {} if overwrite else batch.present()
        if len(present) < len(tasks) and self.folder.size(MANIFEST) is not None:
            # From here on the order is not whole until all is fetched. The record stays: by it, the next try of a
            # task that repairs an order knows the files.
            self.folder.remove(MANIFEST)
        return batch.bring(present)

    def _unpack(
        self,
        records: Sequence[FileRecord],
        manifest: Mapping[str, Entry],
        links: OrderLinks,
        *,
        overwrite: bool,
    ) -> list[FileRecord]:
        archives = [record for record in records if is_archive(record)]
        # Each goes to a folder of its own, which no delivered file may need.
        check_places([TRANSFER_RECORD, *links.results, *(folder_of(record.name) for record in archives)])
        if archives and self.folder.size(MANIFEST) is not None:
            self.folder.remove(MANIFEST)
        inside = {path: entry for path, entry in manifest.items() if path not in links.results}
        unpacked: list[FileRecord] = []
        for record in archives:
            # What lies behind a bucket's or a disk's own errors: the copy that a zip in a bucket is read from.
            with FileLocation(record.name, f"{self.folder.uri()} or {tempfile.gettempdir()}").errors():
                unpacked += unpack_archive(
                    self.folder,
                    record.name,
                    known=inside,
                    expected=Expected(size=record.bytes, md5=record.md5, sha256=record.sha256),
                    checksum=self.transfers.checksum,
                    threads=self.transfers.threads,
                    overwrite=overwrite,
                    progress=self.transfers.progress,
                )
        log.info(
            "Order %s: %s in %s.",
            self.order_id,
            counted(len(unpacked), "file"),
            counted(len(archives), "archive"),
        )
        return unpacked

    def _finish(
        self,
        content: bytes,
        entries: Mapping[str, Entry],
        records: Sequence[FileRecord],
        unpacked: Sequence[FileRecord],
        started_at: datetime,
    ) -> None:
        before = read(self.folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES)
        earlier = recorded_files(before)
        record = TransferRecord(
            order_id=self.order_id,
            files=merged_files(records, earlier, entries),
            include=self.selection.include,
            exclude=self.selection.exclude,
            started_at=started_at,
            finished_at=datetime.now(timezone.utc),
            unpacked=merged_members(unpacked, recorded_files(before, "unpacked"), entries),
        )
        write(self.folder, TRANSFER_RECORD, record.encode())
        write(self.folder, MANIFEST, content)
