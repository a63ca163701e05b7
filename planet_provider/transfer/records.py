"""What a transfer tells about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from planet_provider.transfer.digests import Checksum, Verified


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file that arrived whole.

    :param path: Full local path, or URI with connection id in an object store.
    :param name: Path relative to its folder.
    :param source: The name that Planet gives it.
    :param item_id: Planet item id, where Planet says.
    :param item_type: e.g. ``PSScene``, where Planet says.
    :param asset_type: e.g. ``ortho_analytic_4b``, where Planet says.
    :param media_type: e.g. ``image/tiff``, where Planet says.
    :param bytes: Size.
    :param md5: In hexadecimal, as Planet gives it, or as measured where Planet gives no digest.
    :param sha256: Likewise.
    :param verified: What was compared.
    :param downloaded: Whether it was fetched now; else it was there already and agreed.
    :param archive: Name of the zip that it was unpacked from, relative to the same folder.
    """

    path: str
    name: str
    source: str
    item_id: str | None = None
    item_type: str | None = None
    asset_type: str | None = None
    media_type: str | None = None
    bytes: int
    md5: str | None = None
    sha256: str | None = None
    verified: Verified
    downloaded: bool
    archive: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON for an XCom: path, item_id, asset_type, media_type, bytes, md5, sha256."""
        keys = ("path", "item_id", "asset_type", "media_type", "bytes", "md5", "sha256")
        return {key: getattr(self, key) for key in keys}


@dataclass(frozen=True, kw_only=True)
class OrderTransfer:
    """An order that arrived.

    :param order_id: Planet order UUID.
    :param directory: Where its files are: local path, or URI with connection id.
    :param manifest: Path or URI of its manifest.json.
    :param manifest_sha256: Digest of that, so of all it lists.
    :param files: What was delivered, in the manifest's order.
    :param unpacked: What was unpacked from zips among them.
    :param downloaded: Files fetched now.
    :param skipped: Files that were there already and agreed.
    """

    order_id: str
    directory: str
    manifest: str
    manifest_sha256: str
    files: list[FileRecord]
    unpacked: list[FileRecord] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.bytes for file in self.files)

    @property
    def downloaded(self) -> int:
        """Number of files fetched now."""
        return sum(file.downloaded for file in self.files)

    @property
    def skipped(self) -> int:
        """Number of files that were there already, and agreed."""
        return len(self.files) - self.downloaded


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Files that agree with their manifest.

    :param directory: Where they are.
    :param checksum: The digest that was asked for.
    :param validated: Number of files that agree.
    :param bytes: Bytes of those.
    :param by_other_digest: Files without that digest in the manifest, compared by the other one.
    :param by_size: Files without any digest in the manifest, compared by size alone.
    :param left_out: Files of the manifest that the download's globs left out.
    :param unexpected: Files that neither the manifest nor the transfer record knows.
    """

    directory: str
    checksum: Checksum
    validated: int
    bytes: int
    by_other_digest: tuple[str, ...] = ()
    by_size: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
