"""Delivered files, the manifest that lists them, and the archives that hold them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from planet_provider.sandbox.scenes import RenderedAsset
from planet_provider.sandbox.toolchecks import ProductError

JSON, ZIP = "application/json", "application/zip"


@dataclass(frozen=True)
class DeliveredFile:
    """One file of a delivery.

    :param path: Relative to the order's folder, with slashes.
    :param media_type: MIME type.
    :param content: The file's bytes.
    :param md5: MD5 of the content, hexadecimal.
    :param sha256: SHA-256 of the content, hexadecimal.
    :param annotations: What the manifest says of the file: ``planet/item_id`` and so on.
    """

    path: str
    media_type: str
    content: bytes
    md5: str
    sha256: str
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


def delivered(
    path: str, media_type: str, content: bytes, annotations: Mapping[str, str] | None = None
) -> DeliveredFile:
    """Wrap a content with its digests."""
    made = RenderedAsset.of(path, media_type, content)
    return DeliveredFile(path, media_type, content, made.md5, made.sha256, annotations or {})


def manifest(name: str, files: Sequence[DeliveredFile]) -> bytes:
    """Write ``manifest.json``; it lists every file but itself.

    :param name: Name of the manifest; Planet leaves it empty.
    """
    listed = [
        {
            "path": file.path,
            "media_type": file.media_type,
            "size": len(file.content),
            "digests": {"md5": file.md5, "sha256": file.sha256},
            "annotations": dict(file.annotations),
        }
        for file in files
    ]
    return json.dumps({"name": name, "files": listed}).encode()


def archive(
    files: Sequence[DeliveredFile],
    *,
    name: str,
    order_id: str,
    delivery: Mapping[str, Any],
) -> list[DeliveredFile]:
    """Zip the files of an order as its ``delivery`` asks; without ``archive_type`` they stay as they are.

    With ``single_archive`` one archive holds all; else there is one for each item and bundle, and files of
    no item stay beside them.

    :param name: Name of the order, for ``{{name}}`` in ``archive_filename``.
    :param order_id: Id of the order, for ``{{order_id}}`` in ``archive_filename``.
    :raises ProductError: The archive type is not ``zip``, or the file name leaves the order's folder.
    """
    kind = delivery.get("archive_type")
    if kind is None:
        return list(files)
    if kind != "zip":
        raise ProductError(f"archive_type must be 'zip', got {kind!r}")
    if delivery.get("single_archive"):
        template = str(delivery.get("archive_filename") or "{{order_id}}.zip")
        file_name = template.replace("{{name}}", name).replace("{{order_id}}", order_id)
        return [_zip(_safe(file_name), files, {})]
    groups: dict[tuple[str, str], list[DeliveredFile]] = {}
    loose = []
    bundle_of = {
        file.annotations["planet/item_id"]: file.annotations["planet/bundle_type"]
        for file in files
        if {"planet/item_id", "planet/bundle_type"} <= file.annotations.keys()
    }
    for file in files:
        item_id = file.annotations.get("planet/item_id")
        if item_id in bundle_of:
            groups.setdefault(
                (item_id, file.annotations.get("planet/bundle_type", bundle_of[item_id])), []
            ).append(file)
        else:
            loose.append(file)
    kept = ("planet/item_id", "planet/item_type", "planet/bundle_type")
    zipped = [
        _zip(
            f"{item_id}_{bundle}.zip",
            members,
            {
                **{key: value for key in kept if (value := members[-1].annotations.get(key))},
                "planet/bundle_type": bundle,
            },
        )
        for (item_id, bundle), members in groups.items()
    ]
    return [*zipped, *loose]


def _safe(file_name: str) -> str:
    cleaned = file_name.strip()
    if not cleaned or cleaned.startswith("/") or "\\" in cleaned or ".." in cleaned.split("/"):
        raise ProductError(f"archive_filename {file_name!r} is not a file name inside the order's folder")
    return cleaned


def _zip(path: str, files: Sequence[DeliveredFile], annotations: Mapping[str, str]) -> DeliveredFile:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for file in files:
            # A fixed time keeps the bytes the same from one delivery to the next.
            entry = zipfile.ZipInfo(file.path, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            bundle.writestr(entry, file.content)
    return delivered(path, ZIP, buffer.getvalue(), annotations)
