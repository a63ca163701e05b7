"""Compare files with their digests: a whole order with its manifest, or one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from planet_provider.client import checks
from planet_provider.exceptions import ChecksumError, InvalidInputError, TransferError
from planet_provider.transfer.destination import Destination, is_local, local_path, open_store
from planet_provider.transfer.digests import Checksum, check_checksum, hash_stream, is_digest
from planet_provider.transfer.local import LocalStore
from planet_provider.transfer.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    TRANSFER_RECORD,
    Entry,
    parse_manifest,
    recorded_files,
)
from planet_provider.transfer.object_store import ObjectStore
from planet_provider.transfer.order import DEFAULT_CONCURRENCY
from planet_provider.transfer.parallel import PROGRESS_SECONDS, in_parallel
from planet_provider.transfer.progress import ProgressCallback, Watch
from planet_provider.transfer.records import Verification
from planet_provider.transfer.store import Store, read

Problem = Mapping[str, Any]

#: Problems that an error's message names; the rest are in its ``problems``.
_SHOWN_PROBLEMS = 20


def verify(
    path: Destination,
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    progress: ProgressCallback | None = None,
    progress_interval: float = PROGRESS_SECONDS,
) -> Verification:
    """Compare an order's files with its manifest.

    Files that the download's globs left out, by the record beside the manifest, need not be there.

    :param path: The order's folder or its ``manifest.json``: a local path, an ``ObjectStoragePath``, a store.
    :param checksum: Digest to compare; where the manifest lacks it the other one, and where it lacks both
        the size, which the result says.
    :param max_concurrency: Files at once; >= 1.
    :param progress: Called at intervals, and at the end.
    :param progress_interval: Seconds between two such calls.
    :return: What agrees.
    :raises ChecksumError: Files are missing, short or altered; *every* one is listed in ``problems``.
    :raises TransferError: There is no manifest.
    """
    checksum = check_checksum(checksum)
    threads = checks.whole_number(max_concurrency, "max_concurrency")
    folder = open_store(_folder_of(path), "path")
    entries, left_out = _entries(folder)
    watch = Watch(len(entries), sum(entry.expected.size or 0 for entry in entries))
    comparison = _Comparison(folder, checksum, watch)
    compared = in_parallel(
        comparison.compare,
        entries,
        threads=threads,
        watch=watch,
        progress=progress,
        interval=progress_interval,
    )
    if progress is not None:
        progress(watch.progress())
    problems = [one.problem for one in compared if one.problem is not None]
    if problems:
        raise _error(folder.uri(), problems, len(entries))
    return Verification(
        directory=folder.uri(),
        checksum=checksum,
        validated=len(compared),
        bytes=sum(one.size for one in compared),
        by_other_digest=tuple(one.path for one in compared if one.by not in {checksum, "size"}),
        by_size=tuple(one.path for one in compared if one.by == "size"),
        left_out=left_out,
    )


def verify_file(path: Any, expected: str, checksum: Checksum = "sha256") -> int:
    """Compare one file with a digest.

    :param path: A local path, or an ``ObjectStoragePath``.
    :param expected: The digest, in hexadecimal.
    :param checksum: Which digest it is.
    :return: Bytes of the file.
    :raises ChecksumError: The file is missing, or differs.
    """
    checksum = check_checksum(checksum)
    wanted = expected.strip().lower() if isinstance(expected, str) else expected
    if not isinstance(wanted, str) or not is_digest(wanted, checksum):
        raise InvalidInputError("expected", expected, f"must be a {checksum} digest in hexadecimal")
    name = str(path)
    try:
        with _open(path) as stream:
            size, digest = hash_stream(stream, checksum)
    except FileNotFoundError:
        raise _error(name, [_problem(name, "missing", wanted, None)], 1) from None
    if digest != wanted:
        raise _error(name, [_problem(name, checksum, wanted, digest)], 1)
    return size


@dataclass(frozen=True)
class _Compared:
    path: str
    by: str
    size: int = 0
    problem: Problem | None = None


@dataclass(frozen=True)
class _Comparison:
    folder: Store
    checksum: Checksum
    watch: Watch

    def compare(self, entry: Entry) -> _Compared:
        try:
            compared = self._compare(entry)
        except FileNotFoundError:
            compared = _Compared(entry.path, "", problem=_missing(entry))
        self.watch.file_done()
        return compared

    def _compare(self, entry: Entry) -> _Compared:
        path, expected = entry.path, entry.expected
        size = self.folder.size(path)
        if size is None:
            raise FileNotFoundError(path)
        if expected.size is not None and size != expected.size:
            return _Compared(path, "size", size, _problem(path, "size", expected.size, size))
        known = expected.digest(self.checksum)
        if known is None:
            return _Compared(path, "size", size)
        by, digest = known
        with self.folder.open(path) as stream:
            size, measured = hash_stream(stream, by, moved=self.watch.moved)
        if measured != digest:
            return _Compared(path, by, size, _problem(path, by, digest, measured))
        return _Compared(path, by, size)


def _entries(folder: Store) -> tuple[list[Entry], tuple[str, ...]]:
    content = read(folder, MANIFEST, MAX_MANIFEST_BYTES)
    if content is None:
        raise TransferError(
            f"There is no {MANIFEST} in {folder.uri()}: it is no order's folder, or its download "
            "has not ended.",
            file=MANIFEST,
        )
    entries = [entry for entry in parse_manifest(content).values() if entry.path != MANIFEST]
    recorded = recorded_files(read(folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES))
    if not recorded:
        return entries, ()
    left_out = tuple(
        entry.path for entry in entries if entry.path not in recorded and folder.size(entry.path) is None
    )
    return [entry for entry in entries if entry.path not in left_out], left_out


def _folder_of(path: Any) -> Any:
    name = getattr(path, "name", None) or str(path).rstrip("/").rpartition("/")[2]
    if name != MANIFEST or isinstance(path, (LocalStore, ObjectStore)):
        return path
    return path.parent if hasattr(path, "parent") else Path(os.fspath(path)).parent


def _open(path: Any) -> BinaryIO:
    if hasattr(path, "fs") and hasattr(path, "path") and not is_local(path.fs):
        parent, _, name = str(path.path).rpartition("/")
        return ObjectStore(path.fs, parent).open(name)
    return local_path(getattr(path, "path", path), "path").expanduser().open("rb")


def _missing(entry: Entry) -> Problem:
    return _problem(entry.path, "missing", entry.expected.size, None)


def _problem(path: str, problem: str, expected: object, got: object) -> Problem:
    return {"path": path, "problem": problem, "expected": expected, "got": got}


def _error(where: str, problems: Sequence[Problem], total: int) -> ChecksumError:
    lines = [_line(problem) for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"and {len(problems) - _SHOWN_PROBLEMS} more")
    return ChecksumError(
        f"{len(problems)} of {total} files in {where} are missing, short or altered: {'; '.join(lines)}. "
        "Download them again; those that agree are kept.",
        file=str(problems[0]["path"]),
        problems=problems,
    )


def _line(problem: Problem) -> str:
    if problem["problem"] == "missing":
        return f"{problem['path']} is missing"
    return f"{problem['path']}: {problem['problem']} is {problem['got']}, not {problem['expected']}"
