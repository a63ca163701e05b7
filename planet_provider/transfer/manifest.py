"""Planet's ``manifest.json``, and the record that this package writes beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from planet_provider.client.parse import decoded
from planet_provider.exceptions import UnexpectedResponseError
from planet_provider.transfer.digests import CHECKSUMS, Expected, is_digest
from planet_provider.transfer.names import check_name, check_places
from planet_provider.transfer.records import FileRecord

MANIFEST = "manifest.json"
TRANSFER_RECORD = "planet-transfer.json"

#: Bytes of a manifest that are taken. 500 items with 20 files each make about 5 MB.
MAX_MANIFEST_BYTES = 256 << 20

_RECORD_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a manifest."""

    path: str
    expected: Expected = field(default_factory=Expected)
    media_type: str | None = None
    item_id: str | None = None
    item_type: str | None = None
    asset_type: str | None = None


def parse_manifest(content: bytes) -> dict[str, Entry]:
    """Read a manifest.

    :return: Its entries by path, in its order.
    :raises UnexpectedResponseError: It is no manifest.
    :raises UnsafePathError: A path leads out of the order's folder, or two clash.
    """
    try:
        body = decoded(content)
        files = body["files"]
        if not isinstance(files, list):
            raise TypeError("files is no list")
        entries = [_entry(file) for file in files]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnexpectedResponseError(
            f"{MANIFEST} cannot be understood: {type(error).__name__}: {str(error)[:200]}"
        ) from None
    check_places(entry.path for entry in entries)
    return {entry.path: entry for entry in entries}


def _entry(file: Mapping[str, Any]) -> Entry:
    path = check_name(file["path"])
    notes = file.get("annotations") or {}
    return Entry(
        path=path,
        expected=Expected(size=_size(file, path), **_digests(file, path)),
        media_type=_text(file.get("media_type")),
        item_id=_text(notes.get("planet/item_id")),
        item_type=_text(notes.get("planet/item_type")),
        asset_type=_text(notes.get("planet/asset_type")),
    )


def _size(file: Mapping[str, Any], path: str) -> int | None:
    size = file.get("size")
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"{path}: size={size!r}")
    return size


def _digests(file: Mapping[str, Any], path: str) -> dict[str, str]:
    given = file.get("digests") or {}
    digests: dict[str, str] = {}
    for checksum in CHECKSUMS:
        value = given.get(checksum)
        if not value:
            continue
        if not isinstance(value, str) or not is_digest(value.lower(), checksum):
            raise ValueError(f"{path}: {checksum}={value!r}")
        digests[checksum] = value.lower()
    return digests


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True, kw_only=True)
class TransferRecord:
    """``planet-transfer.json``: what was transferred, when, from which names, and how it was verified.

    :param files: One mapping a file, with ``path`` relative to the order's folder.
    :param unpacked: Likewise, of files unpacked from zips.
    :param include: Globs of the last transfer.
    :param exclude: Likewise.
    """

    order_id: str
    files: Sequence[Mapping[str, Any]]
    include: Sequence[str] | None
    exclude: Sequence[str] | None
    started_at: datetime
    finished_at: datetime
    unpacked: Sequence[Mapping[str, Any]] = ()

    def encode(self) -> bytes:
        """Return the record as JSON. It holds no links."""
        body = {
            "version": _RECORD_VERSION,
            "order_id": self.order_id,
            "include": self.include,
            "exclude": self.exclude,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "files": list(self.files),
            **({"unpacked": list(self.unpacked)} if self.unpacked else {}),
        }
        return json.dumps(body, indent=2, ensure_ascii=False).encode() + b"\n"


def recorded_file(record: FileRecord) -> dict[str, Any]:
    """Return what the transfer record says of a file."""
    return {
        "path": record.name,
        "source": record.source,
        "item_id": record.item_id,
        "item_type": record.item_type,
        "asset_type": record.asset_type,
        "media_type": record.media_type,
        "bytes": record.bytes,
        "md5": record.md5,
        "sha256": record.sha256,
        "verified": record.verified,
        **({"archive": record.archive} if record.archive else {}),
    }


def recorded_files(
    content: bytes | None, key: Literal["files", "unpacked"] = "files"
) -> dict[str, Mapping[str, Any]]:
    """Read the files of a transfer record by path; none of a record that is not there or not understood.

    :param key: Which of them: what was delivered, or what was unpacked from that.
    """
    try:
        body = json.loads(content or b"{}")
        return {file["path"]: file for file in body.get(key, ()) if _is_recorded(file)}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}


def _is_recorded(file: Mapping[str, Any]) -> bool:
    """Tell whether a record's file is of the form that this package writes."""
    return isinstance(file["path"], str) and isinstance(file.get("archive", ""), str)


def recorded_order(content: bytes | None) -> str | None:
    """Read the order's id of a transfer record; ``None`` of one that is not there or not understood."""
    try:
        order_id = json.loads(content or b"{}")["order_id"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return _text(order_id)


def merged_files(
    records: Iterable[FileRecord], earlier: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Entry]
) -> list[Mapping[str, Any]]:
    """Join what was transferred now with what an earlier transfer of the order, with other globs, brought.

    :param entries: The manifest's. An earlier file counts only where the manifest still says the same of it.
    """
    files: dict[str, Mapping[str, Any]] = {record.name: recorded_file(record) for record in records}
    for path, entry in entries.items():
        old = earlier.get(path)
        if path not in files and old is not None and _agrees(old, entry.expected):
            files[path] = old
    return list(files.values())


def merged_members(
    records: Iterable[FileRecord], earlier: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Entry]
) -> list[Mapping[str, Any]]:
    """Join what was unpacked now with what earlier transfers unpacked from other archives of the order."""
    files = [recorded_file(record) for record in records]
    now = {file["archive"] for file in files}
    kept = (file for file in earlier.values() if file.get("archive") in entries.keys() - now)
    return [*files, *kept]


def _agrees(file: Mapping[str, Any], expected: Expected) -> bool:
    known = {"bytes": expected.size, "md5": expected.md5, "sha256": expected.sha256}
    return all(value is None or file.get(key) == value for key, value in known.items())
