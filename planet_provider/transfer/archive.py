"""Zip deliveries: unpacked beside themselves, or refused before anything is written.

``<folder>/scenes.zip`` is unpacked to ``<folder>/scenes/``, because several archives of an order may hold a
``manifest.json`` each, and the order has one of its own. An archive comes over the network, so nothing that it
says is believed: names are checked as those of any delivered file, links and encrypted members are refused, and
so is what would become much larger than a delivery can be. Each member appears whole or not at all; the inner
``manifest.json`` comes last.

A zip is read from its end, so an archive that lies in an object store is first copied to a local temporary file.
"""

from __future__ import annotations

import contextlib
import logging
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import IO, cast

from planet_provider.exceptions import ArchiveError, ChecksumError, UnsafePathError
from planet_provider.transfer.digests import (
    READ_BYTES,
    Checksum,
    Expected,
    Verified,
    new_hash,
)
from planet_provider.transfer.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    Entry,
    parse_manifest,
)
from planet_provider.transfer.names import check_name, check_places
from planet_provider.transfer.parallel import in_parallel
from planet_provider.transfer.progress import ProgressCallback, TransferProgress
from planet_provider.transfer.records import FileRecord
from planet_provider.transfer.stores.base import Store
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.wording import and_more, counted, file_size

log = logging.getLogger(__name__)

#: Media type and suffix by which an order's archives are told from its other files.
ZIP_TYPE, ZIP_SUFFIX = "application/zip", ".zip"

#: Ways of packing that are unpacked. Deflate expands by 1,032 at the most, the others by any factor.
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}

_ENCRYPTED = 0x1

#: Bytes of a member's header before its name. Source: PKWARE's APPNOTE.TXT, 4.3.7.
_HEADER_BYTES = 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much an archive may unpack to.

    :param members: Files. An order of 500 items with 20 files each makes 10,000.
    :param bytes: Of all members together.
    :param ratio: Times the archive's own size; images of few values deflate by 100 and more.
    :param free_bytes: As much is allowed whatever the ratio.
    """

    members: int = 100_000
    bytes: int = 1 << 40
    ratio: int = 200
    free_bytes: int = 1 << 30


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    :param info: What the archive says of it.
    :param entry: What a manifest says of it; its path is relative to the order's folder.
    """

    info: zipfile.ZipInfo
    entry: Entry


def is_archive(entry: Entry | FileRecord) -> bool:
    """Tell whether a delivered file is an archive."""
    name = entry.name if isinstance(entry, FileRecord) else entry.path
    return entry.media_type == ZIP_TYPE or name.lower().endswith(ZIP_SUFFIX)


def folder_of(archive: str) -> str:
    """Return where an archive is unpacked to, relative to the order's folder."""
    path = PurePosixPath(archive)
    return str(path.with_suffix("")) if path.suffix.lower() == ZIP_SUFFIX else f"{archive}.unpacked"


def unpack(
    store: Store,
    archive: str,
    *,
    known: Mapping[str, Entry] | None = None,
    expected: Expected | None = None,
    checksum: Checksum = "sha256",
    threads: int = 1,
    overwrite: bool = False,
    limits: Limits | None = None,
    progress: ProgressCallback | None = None,
) -> list[FileRecord]:
    """Unpack a zip to the folder of its name.

    A member that is there and agrees in size and CRC-32 is not written again: the archive itself was verified.

    :param store: The folder that the archive is in.
    :param archive: Its name there.
    :param known: What the order's manifest says of members, by their path in the archive; the archive's own
        ``manifest.json`` counts before it.
    :param expected: The archive's digests: what a copy of it is verified by.
    :param checksum: Digest to verify members by, and to record.
    :param threads: Members at once.
    :param overwrite: Write all members.
    :param limits: How much it may become.
    :param progress: Called now and then, and at the end.
    :return: The members, in the archive's order.
    :raises UnsafePathError: A name leads out of the folder, two clash, or a member is a link.
    :raises ArchiveError: It is no zip that can be read, or exceeds the limits; nothing was written.
    :raises ChecksumError: A member is altered, or one that the manifest lists is not there.
    """
    with _opened(store, archive, expected or Expected()) as file:
        unpacking = _Unpacking(store, archive, file, checksum, overwrite=overwrite)
        members = unpacking.members(limits or Limits(), known or {})
        watch = TransferProgress(len(members), sum(member.info.file_size for member in members))
        last = [member for member in members if member.info.filename == MANIFEST]
        first = [member for member in members if member.info.filename != MANIFEST]
        records = {
            record.name: record
            for group in (first, last)
            for record in in_parallel(
                lambda member: unpacking.bring(member, watch),
                group,
                threads=threads,
                watch=watch,
                progress=progress,
            )
        }
    if progress is not None:
        progress(watch.progress())
    return [records[member.entry.path] for member in members]


@contextlib.contextmanager
def _opened(store: Store, archive: str, expected: Expected) -> Iterator[zipfile.ZipFile]:
    with contextlib.ExitStack() as stack:
        stream: IO[bytes] = stack.enter_context(store.open(archive))
        if not isinstance(store, LocalStore):
            stream = stack.enter_context(_copied(stream, archive, expected))
        try:
            file = stack.enter_context(zipfile.ZipFile(stream))
        except (zipfile.BadZipFile, NotImplementedError, OverflowError, ValueError, struct.error) as error:
            raise ArchiveError(
                f"{archive}: is no zip that can be read: {error}. Nothing was unpacked.", file=archive
            ) from None
        yield file


@contextlib.contextmanager
def _copied(stream: IO[bytes], archive: str, expected: Expected) -> Iterator[IO[bytes]]:
    known = expected.digest("sha256")
    digest = new_hash(known[0]) if known else None
    with tempfile.TemporaryFile(prefix="planet-unpack-") as copy:
        while chunk := stream.read(READ_BYTES):
            if digest is not None:
                digest.update(chunk)
            copy.write(chunk)
        if known and digest is not None and digest.hexdigest() != known[1]:
            raise _altered(archive, known[0], known[1], digest.hexdigest())
        copy.seek(0)
        yield copy


class _Unpacking:
    def __init__(
        self, store: Store, archive: str, file: zipfile.ZipFile, checksum: Checksum, *, overwrite: bool
    ) -> None:
        self._store = store
        self._archive = archive
        self._file = file
        self._checksum = checksum
        self._overwrite = overwrite

    def members(self, limits: Limits, known: Mapping[str, Entry]) -> list[Member]:
        """Return what is to be unpacked, after all checks."""
        infos = self._file.infolist()
        for info in infos:
            self._check(info)
        files = [info for info in infos if not info.is_dir()]
        check_places(info.filename for info in files)
        self._check_amount(files, limits)
        self._check_overlap(files)
        entries = {**known, **self._manifest(files)}
        folder = folder_of(self._archive)
        check_places([self._archive, *(f"{folder}/{info.filename}" for info in files)])
        missing = sorted(entries.keys() - known.keys() - {info.filename for info in files})
        if missing:
            raise ChecksumError(
                f"{self._archive}: its {MANIFEST} lists {and_more(missing[:1], len(missing), 'file')}, "
                "which it doesn't hold. Nothing was unpacked; report it to Planet.",
                file=self._archive,
                problems=[
                    {"path": f"{folder}/{path}", "problem": "missing", "expected": None, "got": None}
                    for path in missing
                ],
            )
        return [
            Member(
                info, replace(entries.get(info.filename, Entry(path="")), path=f"{folder}/{info.filename}")
            )
            for info in files
        ]

    def _check(self, info: zipfile.ZipInfo) -> None:
        # Python 3.13 takes a name from the Unicode path field, too: the one that is used counts.
        name = check_name(info.filename.removesuffix("/"))
        check_name(info.orig_filename.removesuffix("/"))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind and not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise UnsafePathError(
                f"{self._archive}: {name!r} is a link or a special file; nothing was unpacked.", file=name
            )
        if info.flag_bits & _ENCRYPTED:
            raise self._refused(f"{name!r} is encrypted")
        if info.compress_type not in _METHODS:
            raise self._refused(f"{name!r} is packed by method {info.compress_type}, not stored or deflated")

    def _check_amount(self, files: Sequence[zipfile.ZipInfo], limits: Limits) -> None:
        if len(files) > limits.members:
            raise self._refused(f"it has {counted(len(files), 'member')}, more than {limits.members:,}")
        unpacked = sum(info.file_size for info in files)
        packed = sum(info.compress_size for info in files)
        most = min(limits.bytes, max(limits.free_bytes, limits.ratio * packed))
        if unpacked > most:
            raise self._refused(f"it would become {file_size(unpacked)}, more than {file_size(most)}")

    def _check_overlap(self, files: Sequence[zipfile.ZipInfo]) -> None:
        # Members that share their bytes make a small archive large, below any limit on a single one.
        end = 0
        for info in sorted(files, key=lambda info: info.header_offset):
            if info.header_offset < end:
                raise self._refused(f"{info.filename!r} overlaps another member")
            end = info.header_offset + _HEADER_BYTES + info.compress_size

    def _manifest(self, files: Sequence[zipfile.ZipInfo]) -> dict[str, Entry]:
        info = next((info for info in files if info.filename == MANIFEST), None)
        if info is None:
            return {}
        if info.file_size > MAX_MANIFEST_BYTES:
            bounds = f"{file_size(info.file_size)}, more than {file_size(MAX_MANIFEST_BYTES)}"
            raise self._refused(f"its {MANIFEST} has {bounds}")
        content = b"".join(self._content(info))
        return {path: entry for path, entry in parse_manifest(content).items() if path != MANIFEST}

    def bring(self, member: Member, watch: TransferProgress) -> FileRecord:
        """Unpack a member, unless it is there."""
        known = member.entry.expected.digest(self._checksum)
        checksum = self._checksum if known is None else known[0]
        info, path = member.info, member.entry.path
        if member.entry.expected.size not in {None, info.file_size}:
            raise _altered(path, "size", member.entry.expected.size, info.file_size)
        digest = None if self._overwrite else self._present(member, checksum, watch)
        downloaded = digest is None
        if downloaded and not self._overwrite and self._store.size(path) is not None:
            log.warning("%s differs from the archive's content. It is replaced.", self._store.uri(path))
        if digest is None:
            digest = self._write(member, checksum, watch)
        watch.file_done()
        measured = {checksum: digest}
        verified: Verified = "crc32" if known is None else checksum
        return FileRecord(
            path=self._store.uri(path),
            name=path,
            source=info.filename,
            archive=self._archive,
            item_id=member.entry.item_id,
            item_type=member.entry.item_type,
            asset_type=member.entry.asset_type,
            media_type=member.entry.media_type,
            bytes=info.file_size,
            md5=member.entry.expected.md5 or measured.get("md5"),
            sha256=member.entry.expected.sha256 or measured.get("sha256"),
            verified=verified,
            downloaded=downloaded,
        )

    def _present(self, member: Member, checksum: Checksum, watch: TransferProgress) -> str | None:
        """Return the digest of a file that is there and agrees."""
        info, path = member.info, member.entry.path
        if self._store.size(path) != info.file_size:
            return None
        digest, crc = new_hash(checksum), 0
        with self._store.open(path) as stream:
            while chunk := stream.read(READ_BYTES):
                watch.check()
                digest.update(chunk)
                crc = zlib.crc32(chunk, crc)
        known = member.entry.expected.digest(checksum)
        if crc != info.CRC or (known is not None and digest.hexdigest() != known[1]):
            return None
        watch.moved(info.file_size, reused=True)
        return digest.hexdigest()

    def _write(self, member: Member, checksum: Checksum, watch: TransferProgress) -> str:
        path, size = member.entry.path, member.info.file_size
        known = member.entry.expected.digest(checksum)
        # Without its digest, a member that an earlier try broke off is not gone on with: deflate has no middle.
        with self._store.stage(path, Expected(size=size)) as staging:
            staging.reset()
            digest = new_hash(checksum)
            for chunk in self._content(member.info):
                watch.moved(len(chunk))
                digest.update(chunk)
                staging.write(chunk)
            if known is not None and digest.hexdigest() != known[1]:
                raise _altered(path, checksum, known[1], digest.hexdigest())
            watch.check()
            staging.publish()
        return digest.hexdigest()

    def _content(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        """Yield a member's bytes, as many as announced.

        :raises ChecksumError: They are not those that were packed.
        """
        done = 0
        try:
            with self._file.open(info) as stream:
                while chunk := stream.read(READ_BYTES):
                    done += len(chunk)
                    yield chunk
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError),
            *(NotImplementedError, RuntimeError, ValueError, struct.error),
        ) as error:
            raise _altered(f"{self._archive}/{info.filename}", "crc32", info.CRC, str(error)) from None
        if done != info.file_size:
            raise _altered(f"{self._archive}/{info.filename}", "size", info.file_size, done)

    def _refused(self, problem: str) -> ArchiveError:
        return ArchiveError(
            f"{self._archive}: {problem}; nothing was unpacked. The archive itself is kept.",
            file=self._archive,
        )


def _altered(path: str, problem: str, expected: object, got: object) -> ChecksumError:
    return ChecksumError(
        f"{path}: {problem} is {got}, not {expected}. It was not published. Download the archive again; "
        "if it stays, report it to Planet.",
        file=path,
        problems=[{"path": path, "problem": problem, "expected": expected, "got": cast("str", got)}],
    )
