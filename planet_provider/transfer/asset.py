"""Download one asset of an item."""

from __future__ import annotations

import logging
import mimetypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError, LinkExpiredError, UnexpectedResponseError
from planet_provider.transfer.digests import (
    Checksum,
    Expected,
    check_checksum,
    is_digest,
)
from planet_provider.transfer.download.headers import content_length, content_range
from planet_provider.transfer.download.pool import DEFAULT_CONCURRENCY, Ranges
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.download.sources import AssetSource
from planet_provider.transfer.files import FileTask, Transfers
from planet_provider.transfer.manifest import Entry
from planet_provider.transfer.names import check_component, disposition_name, safe_component
from planet_provider.transfer.parallel import PROGRESS_SECONDS
from planet_provider.transfer.progress import ProgressCallback
from planet_provider.transfer.records import FileRecord
from planet_provider.transfer.stores.open import Destination, open_store
from planet_provider.wording import file_size

if TYPE_CHECKING:
    import httpx

    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)

#: Suffixes by media type, where Planet gives no file name. Most assets are GeoTIFFs.
_SUFFIXES = {
    "image/tiff": ".tif",
    "application/json": ".json",
    "application/geo+json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/zip": ".zip",
}

#: What stores say where they don't know.
_UNTOLD = frozenset({"", "application/octet-stream", "binary/octet-stream"})


@dataclass(frozen=True)
class _Description:
    """What the storage tells of an asset before its body is read."""

    name: str
    size: int | None
    media_type: str | None


def download_asset(
    session: PlanetSession,
    item_type: str,
    item_id: str,
    asset_type: str,
    destination: Destination,
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    overwrite: bool = False,
    file_name: str | None = None,
    progress: ProgressCallback | None = None,
    progress_interval: float = PROGRESS_SECONDS,
    retry_policy: RetryPolicy | None = None,
    ranges: Ranges | None = None,
) -> FileRecord:
    """Download an active asset into a folder, whole and verified.

    A file that is there already and agrees in size and digest is not fetched again; one that has the name and
    doesn't agree is taken for an altered or older copy, and replaced with a warning once the new one is whole.
    Give files of your own other names or another folder. Planet gives an MD5 for assets; only where there is
    none, ``checksum`` says which digest is taken for the record.

    :param session: Session of an account that may download the asset.
    :param item_type: e.g. ``PSScene``.
    :param item_id: Planet item id.
    :param asset_type: e.g. ``ortho_analytic_4b``.
    :param destination: Folder; see :func:`~planet_provider.transfer.stores.open.open_store`.
    :param checksum: Digest to verify by where there is a choice.
    :param max_concurrency: Connections at once, where the file is large; >= 1. No more than the session has.
    :param overwrite: Fetch the file again although it is there and agrees.
    :param file_name: Name of the file; by default the storage's own, or ``<item_id>_<asset_type>`` with a
        suffix by media type.
    :param progress: Called with a :class:`~planet_provider.transfer.progress.Progress` at intervals, and at
        the end.
    :param progress_interval: Seconds between two such calls.
    :param retry_policy: How often the file is tried.
    :param ranges: When a large file comes through several connections.
    :return: What is there now.
    :raises AssetUnavailableError: The item has no such asset, or the account may not download it.
    :raises AssetError: The asset is not active.
    :raises ChecksumError: The file was wrong twice.
    :raises IncompleteTransferError: The body was cut too often.
    :raises StorageError: The disk is full, or may not be written to.
    """
    ids = checks.item_type(item_type), checks.item_id(item_id), checks.asset_type(asset_type)
    if file_name is not None and safe_component(file_name) is None:
        raise InvalidInputError("file_name", file_name, "must be a plain file name, without folders")
    concurrency = checks.whole_number(max_concurrency, "max_concurrency")
    store = open_store(destination)
    transfers = Transfers(
        session=session,
        checksum=check_checksum(checksum),
        threads=min(concurrency, session.config.max_connections),
        progress=progress,
        progress_interval=progress_interval,
        retry_policy=retry_policy or RetryPolicy(),
        ranges=ranges or Ranges(),
    )
    source = AssetSource(session, *ids)
    described = _describe(session, source, f"{ids[1]}_{ids[2]}")
    entry = Entry(
        path=file_name or described.name,
        expected=Expected(size=described.size, md5=_md5(source)),
        media_type=described.media_type,
        item_type=ids[0],
        item_id=ids[1],
        asset_type=ids[2],
    )
    batch = transfers.batch([FileTask(source, store, entry, described.name)])
    present = {} if overwrite else batch.present()
    record = batch.bring(present)[0]
    log.info(
        "%s is whole: %s, %s, %s.",
        *(source.name, record.path, file_size(record.bytes)),
        "fetched" if record.downloaded else "it was there",
    )
    return record


def _md5(source: AssetSource) -> str | None:
    if source.md5 is not None and not is_digest(source.md5, "md5"):
        raise UnexpectedResponseError(f"{source.name}: md5_digest={source.md5[:80]!r} is no MD5.")
    return source.md5


def _describe(session: PlanetSession, source: AssetSource, stem: str) -> _Description:
    """Ask for one byte: the answer's headers tell the file's name and size."""
    try:
        return _described(session, source, stem)
    except LinkExpiredError:
        source.renew(source.link())
        return _described(session, source, stem)


def _described(session: PlanetSession, source: AssetSource, stem: str) -> _Description:
    url = source.link().url
    with session.open(url, rate_class=source.rate_class, headers={"Range": "bytes=0-0"}) as response:
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        given = disposition_name(response.headers.get("Content-Disposition"))
        name = safe_component(given)
        if given is not None and name is None:
            log.warning("%s: the storage gives it an unsafe file name; it is not used.", source.name)
        return _Description(
            name=name or check_component(stem + _suffix(media_type)),
            size=_size(response),
            media_type=None if media_type in _UNTOLD else media_type,
        )


def _size(response: httpx.Response) -> int | None:
    if response.status_code == 200:
        return content_length(response.headers)
    piece = content_range(response.headers)
    return None if piece is None else piece.total


def _suffix(media_type: str) -> str:
    if media_type in _UNTOLD:
        return ".tif"
    return _SUFFIXES.get(media_type) or mimetypes.guess_extension(media_type) or ""
