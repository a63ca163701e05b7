"""Files on a local disk.

While ``image.tif`` arrives, ``image.tif.part`` stands beside it, locked, with a small record
``image.tif.part.json`` of what it is to become. A task that is killed leaves both; the next one takes the
bytes up again if the record agrees with what Planet says by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from planet_provider.exceptions import UnsafePathError
from planet_provider.transfer.digests import READ_BYTES, Expected
from planet_provider.transfer.names import OWN_PREFIX, PART, check_name

_RECORD_VERSION = 1

#: Bytes gathered before a write: as many as httpx reads at once. What a killed task had not written is lost.
_BUFFER_BYTES = 64 << 10

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


class LocalStore:
    """A folder on a local disk, made when the first file arrives.

    :param root: The folder; made absolute.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).expanduser().absolute()

    def uri(self, name: str = "") -> str:
        """Return a file's absolute path."""
        return str(self._path(name)) if name else str(self.root)

    def child(self, name: str) -> LocalStore:
        """Return the store of a folder in this one."""
        return LocalStore(self._path(name))

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes; ``None`` if there is no such file."""
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return self._path(name).open("rb")

    def stage(self, name: str, expected: Expected) -> LocalStaging:
        """Begin a file, or go on with its ``.part``."""
        target = self._path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(self.root.resolve()):
            raise UnsafePathError(
                f"{name}: its folder leads out of {self.root} by a symbolic link; remove the link.", file=name
            )
        return LocalStaging(target, expected)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        path = self._path(name)
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _sync_folder(path.parent)

    def _path(self, name: str) -> Path:
        return self.root / check_name(name)


class LocalStaging:
    """A ``.part`` on its way to its target.

    :param target: The file it is to become.
    :param expected: What the file has to be; only bytes with a known digest are taken up again.
    """

    def __init__(self, target: Path, expected: Expected) -> None:
        self._target = target
        self._expected = expected
        self._part, self._file = _claim(target)
        self._record = self._part.with_name(f"{self._part.name}.json")
        self.position = 0
        self.validator: str | None = None
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
            if self.position and self._expected.digest("sha256") and self._named():
                self._file.flush()
            else:
                self._drop()
        finally:
            self._file.close()

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes held."""
        self._file.seek(0)
        while chunk := self._file.read(READ_BYTES):
            yield chunk
        self._file.seek(self.position)

    def remember(self, validator: str | None) -> None:
        """Note the source's strong ETag in the record."""
        self.validator = validator
        self._record.write_text(json.dumps(self._terms() | {"etag": validator}))

    def write(self, chunk: bytes) -> None:
        """Append bytes."""
        self._file.write(chunk)
        self.position += len(chunk)

    def reset(self) -> None:
        """Drop all bytes and the ETag."""
        self._file.seek(0)
        self._file.truncate()
        self.position = 0
        self.validator = None

    def publish(self) -> None:
        """Write through to the disk, then rename."""
        self._file.flush()
        os.fsync(self._file.fileno())
        # First the record: a record without its part would stay for ever, a part without record does no harm.
        self._record.unlink(missing_ok=True)
        self._part.replace(self._target)
        _sync_folder(self._target.parent)
        self._file.close()
        if not self._is_private:
            _sweep(self._target.parent)

    @property
    def _is_private(self) -> bool:
        return self._part.name.startswith(OWN_PREFIX)

    def _named(self) -> bool:
        """Tell whether the next transfer would find this part."""
        return not self._is_private and _is_at(self._file, self._part)

    def _drop(self) -> None:
        self._record.unlink(missing_ok=True)
        if _is_at(self._file, self._part):
            self._part.unlink(missing_ok=True)

    def _terms(self) -> dict[str, Any]:
        return {"version": _RECORD_VERSION, **asdict(self._expected)}

    def _recall(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size and self._agrees(size):
            self.position = size
        else:
            self.reset()

    def _agrees(self, size: int) -> bool:
        try:
            record = json.loads(self._record.read_bytes())
            etag = record.pop("etag")
        except (OSError, ValueError, TypeError, AttributeError, KeyError):
            return False
        if not self._expected.digest("sha256") or record != self._terms():
            return False
        if self._expected.size is not None and size > self._expected.size:
            return False
        self.validator = etag if isinstance(etag, str) else None
        return True


def _claim(target: Path) -> tuple[Path, BinaryIO]:
    """Open and lock a part. Where another process is at it, take one that has another name.

    A task that was taken for dead may still run beside its next try: were both to write one part, the file
    would be a mixture that neither one's digest shows.
    """
    part = target.with_name(target.name + PART)
    while (file := _locked(part)) is not None:
        # Between opening and locking its former owner may have renamed it: then this is its target.
        if _is_at(file, part):
            return part, file
        file.close()
    return _private(target.parent)


def _locked(path: Path) -> BinaryIO | None:
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


def _private(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        part = folder / f"{OWN_PREFIX}{secrets.token_hex(8)}{PART}"
        file = _opened(part, _FLAGS | os.O_EXCL)
        with contextlib.suppress(OSError):  # without locks the name alone keeps others away
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(file, part):
            return part, file
        file.close()


def _opened(path: Path, flags: int) -> BinaryIO:
    return os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=_BUFFER_BYTES)


def _is_at(file: BinaryIO, path: Path) -> bool:
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
                    part.with_name(f"{part.name}.json").unlink(missing_ok=True)
                    part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
