"""Compare files with their digests: a whole order with its manifest, or one file.

Beside the manifest's files, an order's folder may hold what the record ``planet-transfer.json`` knows: results
that the manifest doesn't list, and what was unpacked from zips; those are compared with their digests there.
Any other file is *unexpected*, but for the manifest, the record, and what a transfer of a known file leaves for
its next try (``.part``, ``.part.json`` and names that begin with ``.planet-transfer-``).
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from planet_provider.builders import checks
from planet_provider.exceptions import (
    ChecksumError,
    InvalidInputError,
    StorageError,
    TransferError,
)
from planet_provider.transfer.digests import (
    CHECKSUMS,
    Checksum,
    Expected,
    check_checksum,
    hash_stream,
    is_digest,
)
from planet_provider.transfer.download.pool import DEFAULT_CONCURRENCY
from planet_provider.transfer.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    TRANSFER_RECORD,
    Entry,
    parse_manifest,
    recorded_files,
    recorded_order,
)
from planet_provider.transfer.names import (
    OWN_PREFIX,
    PART,
    PART_RECORD,
    check_name,
)
from planet_provider.transfer.order import fetch_again
from planet_provider.transfer.parallel import PROGRESS_SECONDS, in_parallel
from planet_provider.transfer.progress import ProgressCallback, TransferProgress
from planet_provider.transfer.records import Verification
from planet_provider.transfer.stores.base import Store, read
from planet_provider.transfer.stores.bucket import BucketStore
from planet_provider.transfer.stores.errors import reason_of
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.open import (
    Destination,
    is_local,
    local_path,
    open_store,
)
from planet_provider.transfer.stores.spool import ObjectStore
from planet_provider.wording import and_more, counted

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)

Problem = Mapping[str, Any]

#: What to do about a file that nobody delivered: fail, say so in log and result, or not look for any. It does no
#: harm to those that agree, and tools leave files beside images (``.aux.xml``), so by default it is said.
OnUnexpected = Literal["fail", "warn", "ignore"]
ON_UNEXPECTED: tuple[OnUnexpected, ...] = ("fail", "warn", "ignore")

#: The kind of problem that a file is whose bytes can't be had; what the system said is in ``got``.
UNREADABLE = "unreadable"

#: Problems that an error's message names; the rest are in its ``problems``.
_SHOWN_PROBLEMS = 20


def verify(
    path: Destination,
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    on_unexpected: OnUnexpected = "warn",
    only: Collection[str] | None = None,
    progress: ProgressCallback | None = None,
    progress_interval: float = PROGRESS_SECONDS,
) -> Verification:
    """Compare an order's files with its manifest.

    Files that the download's globs left out, by the record beside the manifest, need not be there.

    :param path: The order's folder or its ``manifest.json``: a local path, an ``ObjectStoragePath``, a store.
    :param checksum: Digest to compare; where the manifest lacks it the other one, and where it lacks both
        the size, which the result says.
    :param max_concurrency: Files at once; >= 1.
    :param on_unexpected: Whether a file that neither manifest nor record knows is a problem (``fail``), is
        told (``warn``), or is not looked for (``ignore``).
    :param only: Compare these files alone.
    :param progress: Called at intervals, and at the end.
    :param progress_interval: Seconds between two such calls.
    :return: What agrees.
    :raises ChecksumError: Files are missing, short, altered, unreadable or unexpected; *every* one is listed in
        ``problems``.
    :raises TransferError: There is no manifest.
    """
    checksum = check_checksum(checksum)
    threads = checks.whole_number(max_concurrency, "max_concurrency")
    on_unexpected = cast("OnUnexpected", checks.choice(on_unexpected, ON_UNEXPECTED, "on_unexpected"))
    folder = open_store(_folder_of(path), "path")
    order = _Order.read(folder)
    entries = [entry for entry in order.entries if only is None or entry.path in only]
    watch = TransferProgress(len(entries), sum(entry.expected.size or 0 for entry in entries))
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
    unexpected = () if on_unexpected == "ignore" else order.unexpected(folder.names())
    problems = [one.problem for one in compared if one.problem is not None]
    if unexpected and on_unexpected == "warn":
        log.warning(
            "%s: %s: %s.", folder.uri(), counted(len(unexpected), "unexpected file"), _some(unexpected)
        )
    elif unexpected:
        problems += [_problem(name, "unexpected", None, None) for name in unexpected]
    if problems:
        raise _error(folder.uri(), problems, len(entries))
    return Verification(
        directory=folder.uri(),
        checksum=checksum,
        validated=len(compared),
        bytes=sum(one.size for one in compared),
        by_other_digest=tuple(one.path for one in compared if one.by not in {checksum, "size"}),
        by_size=tuple(one.path for one in compared if one.by == "size"),
        left_out=order.left_out,
        unexpected=unexpected,
    )


def repair(
    session: PlanetSession,
    path: Destination,
    error: TransferError,
    *,
    checksum: Checksum = "sha256",
    max_concurrency: int = DEFAULT_CONCURRENCY,
    progress: ProgressCallback | None = None,
) -> tuple[str, ...]:
    """Fetch an order's bad files again, and those alone, and compare them again.

    Meanwhile there is no manifest, because the order is not whole. Where an earlier call was broken off, its files
    are those of ``planet-transfer.json``: what is missing of them, or bad, is fetched.

    :param session: Session of the account that placed the order.
    :param path: As for :func:`verify`.
    :param error: What :func:`verify` said.
    :return: The files that were bad; they agree now.
    :raises ChecksumError: They are wrong still; or there are but unexpected files, which nothing deletes.
    :raises TransferError: There is no ``planet-transfer.json``, so the order is not known; or the error is one
        that fetching files can't fix.
    """
    folder = open_store(_folder_of(path), "path")
    bad = bad_files(folder, error)
    order_id = recorded_order(read(folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES))
    if not bad:
        raise error
    if order_id is None:
        raise TransferError(
            f"There is no {TRANSFER_RECORD} in {folder.uri()} that names the order, so its "
            f"{counted(len(bad), 'bad file')} can't be fetched again: {_some(bad)}. Download the order again.",
            file=bad[0],
        ) from error
    broken_off = not isinstance(error, ChecksumError)
    log.warning(
        "%s: fetching %s of order %s again: %s.",
        *(folder.uri(), "what is bad" if broken_off else counted(len(bad), "bad file"), order_id, _some(bad)),
    )
    threads = checks.whole_number(max_concurrency, "max_concurrency")
    transfer = fetch_again(
        session, order_id, folder, bad, checksum=checksum, max_concurrency=threads, progress=progress
    )
    if broken_off:
        bad = tuple(file.name for file in (*transfer.files, *transfer.unpacked) if file.downloaded)
    verify(folder, checksum=checksum, max_concurrency=threads, on_unexpected="ignore", only=bad)
    return bad


def bad_files(folder: Store, error: TransferError) -> tuple[str, ...]:
    """Return the files that may be bad by what :func:`verify` said: what :func:`fix` would look after.

    :param folder: The order's.
    :return: None, where fetching files doesn't help.
    """
    if isinstance(error, ChecksumError):
        return tuple(str(one["path"]) for one in error.problems if one["problem"] != "unexpected")
    if error.file != MANIFEST or folder.size(MANIFEST) is not None:
        return ()
    record = read(folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES)
    if recorded_order(record) is None:
        return ()
    return (*recorded_files(record), *recorded_files(record, "unpacked"))


def verify_file(path: Any, expected: str, checksum: Checksum = "sha256") -> int:
    """Compare one file with a digest.

    :param path: A local path, an ``ObjectStoragePath``, or a store and the file's name in it.
    :param expected: The digest, in hexadecimal.
    :param checksum: Which digest it is.
    :return: Bytes of the file.
    :raises ChecksumError: The file is missing, can't be read, or differs.
    """
    checksum = check_checksum(checksum)
    wanted = expected.strip().lower() if isinstance(expected, str) else expected
    if not isinstance(wanted, str) or not is_digest(wanted, checksum):
        raise InvalidInputError("expected", expected, f"must be a {checksum} digest in hexadecimal")
    name = path[0].uri(path[1]) if isinstance(path, tuple) else str(path)
    try:
        with _open(path) as stream:
            size, digest = hash_stream(stream, checksum)
    except FileNotFoundError:
        raise _error(name, [_problem(name, "missing", wanted, None)], 1) from None
    except (OSError, StorageError) as error:
        raise _error(name, [_problem(name, UNREADABLE, wanted, reason_of(error))], 1) from error
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
    watch: TransferProgress

    def compare(self, entry: Entry) -> _Compared:
        try:
            compared = self._compare(entry)
        except FileNotFoundError:
            compared = _Compared(entry.path, "", problem=_missing(entry))
        except (OSError, TransferError) as error:
            # One of many: the others are to be told too.
            compared = _Compared(
                entry.path,
                "",
                problem=_problem(entry.path, UNREADABLE, entry.expected.size, reason_of(error)),
            )
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


@dataclass(frozen=True)
class _Order:
    """What an order's folder has to hold, and what it may.

    :param entries: Files to compare.
    :param left_out: Files of the manifest that the download's globs left out.
    """

    entries: tuple[Entry, ...]
    left_out: tuple[str, ...]

    @classmethod
    def read(cls, folder: Store) -> _Order:
        content = read(folder, MANIFEST, MAX_MANIFEST_BYTES)
        if content is None:
            raise TransferError(
                f"There is no {MANIFEST} in {folder.uri()}: it is no order's folder, or its download "
                "has not ended.",
                file=MANIFEST,
            )
        listed = {path: entry for path, entry in parse_manifest(content).items() if path != MANIFEST}
        record = read(folder, TRANSFER_RECORD, MAX_MANIFEST_BYTES)
        recorded = recorded_files(record)
        left_out = tuple(
            path for path in listed if recorded and path not in recorded and folder.size(path) is None
        )
        more = {**recorded, **recorded_files(record, "unpacked")}
        entries = [entry for path, entry in listed.items() if path not in left_out]
        entries += [_recorded_entry(path, file) for path, file in more.items() if path not in listed]
        return cls(tuple(entries), left_out)

    def unexpected(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that nobody knows, sorted."""
        known = {MANIFEST, TRANSFER_RECORD, *self.left_out, *(entry.path for entry in self.entries)}
        return tuple(sorted(name for name in names if not _is_known(name, known)))


def _is_known(name: str, known: Collection[str]) -> bool:
    if name in known or name.rpartition("/")[2].startswith(OWN_PREFIX):
        return True
    return any(name.endswith(suffix) and name.removesuffix(suffix) in known for suffix in (PART, PART_RECORD))


def _recorded_entry(path: str, file: Mapping[str, Any]) -> Entry:
    digests = {
        name: value if isinstance(value, str) and is_digest(value, name) else None
        for name, value in ((name, file.get(name)) for name in CHECKSUMS)
    }
    size = file.get("bytes")
    return Entry(
        path=check_name(path),
        expected=Expected(size=size if isinstance(size, int) else None, **digests),
    )


def _folder_of(path: Any) -> Any:
    name = getattr(path, "name", None) or str(path).rstrip("/").rpartition("/")[2]
    if name != MANIFEST or isinstance(path, (LocalStore, ObjectStore, BucketStore)):
        return path
    return path.parent if hasattr(path, "parent") else Path(os.fspath(path)).parent


def _open(path: Any) -> BinaryIO:
    if isinstance(path, tuple):
        store, name = path
        return cast("Store", store).open(name)
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
        f"{_count(problems, total)} in {where}: {'; '.join(lines)}. "
        "Download them again; those that agree are kept.",
        file=str(problems[0]["path"]),
        problems=problems,
    )


def _count(problems: Sequence[Problem], total: int) -> str:
    kinds = Counter(problem["problem"] for problem in problems)
    unexpected, unreadable = kinds["unexpected"], kinds[UNREADABLE]
    bad = len(problems) - unexpected - unreadable
    files = counted(total, "file")
    counts = {
        f"{bad:,} of {files} {'is' if bad == 1 else 'are'} missing, short or altered": bad,
        f"{unreadable:,} of {files} can't be read": unreadable,
        f"{counted(unexpected, 'file')} {'is' if unexpected == 1 else 'are'} unexpected": unexpected,
    }
    return " and ".join(text for text, count in counts.items() if count)


def _some(names: Sequence[str]) -> str:
    return and_more(names[:_SHOWN_PROBLEMS], len(names))


def _line(problem: Problem) -> str:
    if problem["problem"] in {"missing", "unexpected"}:
        return f"{problem['path']} is {problem['problem']}"
    if problem["problem"] == UNREADABLE:
        return f"{problem['path']} is {UNREADABLE}: {problem['got']}"
    return f"{problem['path']}: {problem['problem']} is {problem['got']}, not {problem['expected']}"
