"""Files on a local disk.

While ``image.tif`` arrives, ``image.tif.part`` stands beside it, locked, with a small record
``image.tif.part.json`` that describes the file. A task that is killed leaves both; the next one takes the
bytes up again if the record agrees with what Planet says by then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from functools import lru_cache
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from planet_provider.coordination.own_files import open_regular, sync_folder
from planet_provider.exceptions import UnsafePathError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.download.headers import sendable_etag
from planet_provider.transfer.names import (
    OWN_PREFIX,
    PART,
    PART_RECORD,
    check_name,
)
from planet_provider.transfer.stores.errors import FileLocation
from planet_provider.transfer.stores.staging import FileStaging

_RECORD_VERSION = 1

#: Bytes of a record, filled up with blanks: less than a page.
_RECORD_BYTES = 1024

#: Bytes of a record that are read; one that is longer is not understood.
_MAX_RECORD_BYTES = 64 << 10

_FLAGS = os.O_RDWR | os.O_CREAT


class LocalStore:
    """A folder on a local disk, made when the first file arrives.

    :param root: The folder; made absolute.
    :param base: The folder that the user named, which no symbolic link below may lead out of; by default the
        folder itself.
    """

    def __init__(self, root: str | os.PathLike[str], base: Path | None = None) -> None:
        self.root = Path(root).expanduser().absolute()
        self._base = base or self.root
        self._swept: set[Path] = set()
        self._inside: set[Path] = set()

    def uri(self, name: str = "") -> str:
        """Return a file's absolute path."""
        return str(self._path(name)) if name else str(self.root)

    def child(self, name: str) -> LocalStore:
        """Return the store of a folder in this one."""
        return LocalStore(self._path(name), self._base)

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; ``None`` if there is no such file."""
        path = self._inner_path(name)
        with self._place(name).errors(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = path.stat()
            return found.st_size if stat.S_ISREG(found.st_mode) else None
        return None

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        with self._place(name).errors(reading=True):
            return os.fdopen(open_regular(self._inner_path(name), follow=True), "rb")

    def stage(self, name: str, expected: Expected) -> LocalStaging:
        """Begin a file, or go on with its ``.part``."""
        # Before a folder is made: it would be made where a link leads to.
        target, place = self._inner_path(name), self._place(name, expected.size)
        with place.errors():
            _make_folder(target.parent)
            _check_replaceable(target)
            return LocalStaging(target, expected, self._swept, place)

    def settled(self, name: str) -> None:
        """Remove the part that a broken transfer left beside a file that is whole, unless somebody is at it."""
        part = _part_of(self._inner_path(name))
        with contextlib.suppress(OSError):
            if not part.exists():
                _record_of(part).unlink(missing_ok=True)
                return
            file = _locked(part)
            if file is not None:
                with file:
                    if _is_at(file, part):
                        _remove_part(part)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self._inner_path(name)
        with self._place(name).errors():
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                sync_folder(path.parent)

    def names(self) -> Iterator[str]:
        """Yield the names of all files in the folder and in those below it; what a link leads to is not."""
        for folder, _, names in os.walk(self.root):
            for name in names:
                yield Path(folder, name).relative_to(self.root).as_posix()

    def _inner_path(self, name: str) -> Path:
        """Return a file's path, whose folder no symbolic link leads out."""
        path = self._path(name)
        folder = path.parent
        if folder not in self._inside:
            if not _real(folder).is_relative_to(_real(self._base)):
                raise UnsafePathError(
                    f"{name}: its folder {folder} leads out of {self._base} by a symbolic link; remove the link.",
                    file=name,
                )
            self._inside.add(folder)
        return path

    def _path(self, name: str) -> Path:
        return _joined(self.root, check_name(name))

    def _place(self, name: str, size: int | None = None) -> FileLocation:
        return FileLocation(name, str(self._path(name).parent), size)


class LocalStaging(FileStaging):
    """A ``.part`` on its way to its target.

    :param target: The file it is to become.
    :param expected: What the file has to be; only bytes with a known digest are taken up again.
    :param swept: Folders in which this transfer has removed what killed ones left.
    :param place: How errors name it.
    """

    def __init__(self, target: Path, expected: Expected, swept: set[Path], place: FileLocation) -> None:
        self._target = target
        self._swept = swept
        self._expected = expected
        self._part, file = _claim(target)
        super().__init__(file, place)
        self._record = _record_of(self._part)
        try:
            self._recall()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> LocalStaging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        try:
            if not (self.position and self._expected.digest("sha256") and self._named()):
                self._drop()
        finally:
            self._file.close()

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag in the record."""
        super().remember(validator)
        self._write_record({})

    def checkpoint(self, position: int) -> None:
        """Note in the record up to where the part has no gap."""
        self._write_record({"held": position})

    def settle(self, position: int) -> None:
        """Cut the part off at a position up to which it has no gap."""
        super().settle(position)
        self._write_record({})

    def publish(self) -> None:
        """Write through to the disk, then rename."""
        with self._place.errors():
            os.fsync(self._file.fileno())
            # First the record: a record without its part would stay, a part without record does no harm.
            self._record.unlink(missing_ok=True)
            self._part.replace(self._target)
            sync_folder(self._target.parent)
            self._file.close()
        folder = self._target.parent
        if not self._is_private and folder not in self._swept:
            self._swept.add(folder)
            _sweep(folder)

    @property
    def _is_private(self) -> bool:
        return self._part.name.startswith(OWN_PREFIX)

    def _named(self) -> bool:
        """Tell whether the next transfer would find this part."""
        return not self._is_private and _is_at(self._file, self._part)

    def _drop(self) -> None:
        with contextlib.suppress(OSError):  # the next try copes with what stays
            self._record.unlink(missing_ok=True)
            if _is_at(self._file, self._part):
                self._part.unlink(missing_ok=True)

    def _terms(self) -> dict[str, Any]:
        return {"version": _RECORD_VERSION, **vars(self._expected)}

    def _write_record(self, gap: dict[str, int]) -> None:
        text = json.dumps(self._terms() | {"etag": self.validator} | gap)
        with self._place.errors():
            handle = open_regular(self._record, _FLAGS)
            try:
                # In place and by one call, so that a kill leaves the old record or the new one.
                os.pwrite(handle, text.ljust(_RECORD_BYTES).encode(), 0)
                os.ftruncate(handle, max(_RECORD_BYTES, len(text)))
            finally:
                os.close(handle)

    def _recall(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        held = self._held(size) if size else 0
        if held:
            self._file.truncate(held)
            self.position = held
        elif size:
            self.reset()

    def _held(self, size: int) -> int:
        """Return how many of a part's bytes can be taken up again."""
        try:
            with os.fdopen(open_regular(self._record), "rb") as stream:
                record = json.loads(stream.read(_MAX_RECORD_BYTES))
            etag, held = record.pop("etag"), record.pop("held", size)
        except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            return 0
        if not self._expected.digest("sha256") or record != self._terms() or not isinstance(held, int):
            return 0
        if self._expected.size is not None and size > self._expected.size:
            return 0
        self.validator = sendable_etag(etag)
        return max(0, min(held, size))


def _claim(target: Path) -> tuple[Path, FileIO]:
    """Open and lock a part. Where another process is at it, take one that has another name.

    A task that was taken for dead may still run beside its next try: were both to write one part, the file
    would be a mixture that neither one's digest shows.
    """
    part = _part_of(target)
    while (file := _locked(part)) is not None:
        # Between opening and locking its former owner may have renamed it: then this is its target.
        if _is_at(file, part):
            return part, file
        file.close()
    return _private(target.parent)


def _locked(path: Path) -> FileIO | None:
    """Open and lock a file; ``None`` if another process holds it, or the file system has no locks."""
    file = _opened(path, _FLAGS)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        # Without locks every part is private, and what stands here now was made by opening it.
        if os.fstat(file.fileno()).st_size == 0:
            path.unlink(missing_ok=True)
        file.close()
        return None
    return file


def _private(folder: Path) -> tuple[Path, FileIO]:
    while True:
        part = folder / f"{OWN_PREFIX}{secrets.token_hex(8)}{PART}"
        file = _opened(part, _FLAGS | os.O_EXCL)
        with contextlib.suppress(OSError):  # without locks the name alone keeps others away
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(file, part):
            return part, file
        file.close()


def _opened(path: Path, flags: int) -> FileIO:
    return os.fdopen(open_regular(path, flags), "r+b", buffering=0)


def _check_replaceable(target: Path) -> None:
    """Refuse to put a file in the place of a folder, a pipe, a device or a socket."""
    with contextlib.suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
            raise OSError(errno.ENXIO, f"{target} is not a regular file")


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _sweep(folder: Path) -> None:
    """Remove what killed transfers left under private names: parts that nobody holds."""
    for part in folder.glob(f"{OWN_PREFIX}*{PART}"):
        with contextlib.suppress(OSError):
            file = _locked(part)
            if file is not None:
                with file:
                    _remove_part(part)


@lru_cache(maxsize=256)  # several times for each file
def _joined(root: Path, name: str) -> Path:
    return root / name


def _part_of(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _record_of(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(PART) + PART_RECORD)


def _remove_part(part: Path) -> None:
    _record_of(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably: what is published in it must not be lost with one of them."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
