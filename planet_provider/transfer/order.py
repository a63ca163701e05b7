"""Download an order: all of its files or, with an error, no manifest.json."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from planet_provider.client import checks, orders
from planet_provider.exceptions import TransferError, UnexpectedResponseError
from planet_provider.transfer.destination import Destination, open_store
from planet_provider.transfer.digests import Checksum, check_checksum
from planet_provider.transfer.fetch import Patience
from planet_provider.transfer.files import FileTask, Transfers
from planet_provider.transfer.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    TRANSFER_RECORD,
    Entry,
    TransferRecord,
    merged_files,
    parse_manifest,
    recorded_files,
)
from planet_provider.transfer.memory import MemoryStaging
from planet_provider.transfer.parallel import PROGRESS_SECONDS
from planet_provider.transfer.plan import Globs, PlannedFile, Selection, plan_files
from planet_provider.transfer.progress import ProgressCallback
from planet_provider.transfer.records import FileRecord, OrderTransfer
from planet_provider.transfer.sources import OrderLinks, check_delivery
from planet_provider.transfer.store import Store, read, write

if TYPE_CHECKING:
    from planet_provider.client.session import PlanetSession

log = logging.getLogger(__name__)

#: Files at once. Planet's limit of 5 downloads/s makes more of little use for small files.
DEFAULT_CONCURRENCY = 4


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
    progress: ProgressCallback | None = None,
    progress_interval: float = PROGRESS_SECONDS,
    patience: Patience | None = None,
) -> OrderTransfer:
    """Download an order's files to ``<destination>/<order_id>/``, whole and verified.

    Files that are there already and agree in size and digest are not fetched again. ``manifest.json`` is
    written last, so where it is, all files that were asked for are. ``planet-transfer.json`` beside it tells
    what was transferred.

    :param session: Session of the account that placed the order.
    :param order_id: Planet order UUID; the order must have ended as success or partial.
    :param destination: Folder; see :func:`~planet_provider.transfer.destination.open_store`.
    :param checksum: Digest to verify by; where the manifest lacks it, the other one is used.
    :param max_concurrency: Files at once; >= 1. No more than the session has connections.
    :param overwrite: Fetch files anew although they are there and agree.
    :param include: Globs on the path relative to the order's folder; by default every file.
    :param exclude: Globs of files to leave out.
    :param progress: Called with a :class:`~planet_provider.transfer.progress.Progress` at intervals, and at
        the end.
    :param progress_interval: Seconds between two such calls.
    :param patience: How often a file is tried.
    :return: What is there now.
    :raises UnsafePathError: A delivered name leads out of the folder, or two clash. Nothing was fetched.
    :raises OrderError: The order has no results.
    :raises ChecksumError: A file was wrong twice.
    :raises IncompleteTransferError: A file's body was cut too often.
    :raises TransferError: A file was not delivered, or has no link.
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
        patience=patience or Patience(),
    )
    return _OrderDownload(transfers, order_id, folder, selection).run(overwrite=overwrite)


@dataclass(frozen=True)
class _OrderDownload:
    transfers: Transfers
    order_id: str
    folder: Store
    selection: Selection

    def run(self, *, overwrite: bool) -> OrderTransfer:
        started_at = datetime.now(timezone.utc)
        order = self.transfers.session.send(orders.get(self.order_id))
        links = OrderLinks(self.transfers.session, order)
        content, manifest = self._manifest(links)
        archived = bool((order.get("delivery") or {}).get("archive_type"))
        plan = plan_files(self.order_id, links.results, manifest, self.selection, archived=archived)
        records = self._files(links, plan, overwrite=overwrite)
        self._finish(content, manifest, records, started_at)
        result = OrderTransfer(
            order_id=self.order_id,
            directory=self.folder.uri(),
            manifest=self.folder.uri(MANIFEST),
            files=records,
        )
        log.info(
            "Order %s is whole in %s: %d files, %d bytes; %d fetched, %d were there.",
            *(self.order_id, result.directory, len(records), result.bytes),
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
            # From here on the order is not whole until all is fetched.
            self.folder.remove(MANIFEST)
        return batch.bring(present)

    def _finish(
        self,
        content: bytes,
        manifest: Mapping[str, Entry],
        records: Sequence[FileRecord],
        started_at: datetime,
    ) -> None:
        earlier = recorded_files(read(self.folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES))
        record = TransferRecord(
            order_id=self.order_id,
            files=merged_files(records, earlier, manifest),
            include=self.selection.include,
            exclude=self.selection.exclude,
            started_at=started_at,
            finished_at=datetime.now(timezone.utc),
        )
        write(self.folder, TRANSFER_RECORD, record.encode())
        write(self.folder, MANIFEST, content)
