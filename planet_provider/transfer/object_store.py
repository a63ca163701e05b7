"""Files behind any fsspec filesystem: those that :mod:`planet_provider.transfer.bucket` doesn't know.

A file is spooled to the local disk, verified there, and put in one operation: an object appears whole or not
at all. Writing to the store while the body arrives would publish a cut body as whole, because fsspec's files
complete their upload when they are closed, after an error too.
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

from planet_provider.exceptions import IncompleteTransferError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.names import OWN_PREFIX, check_name
from planet_provider.transfer.staging import FileStaging

#: Bounds on an upload's memory, for filesystems that know them: bytes of a part, and parts at once. s3fs
#: would take up to 10 parts of 50 MiB for each file.
_PUT_BOUNDS = {"chunksize": 16 << 20, "max_concurrency": 2}

#: Bytes that are read from the store at once.
_BLOCK_BYTES = 8 << 20

#: Seconds after which an unlocked spool folder is taken for a killed task's.
_STALE_SECONDS = 3600.0


class ObjectStore:
    """A prefix in an object store.

    :param fs: An fsspec filesystem; its synchronous interface is used, from several threads.
    :param path: Bucket and prefix, as the filesystem takes them.
    :param uri: How to name the prefix outside, e.g. with Airflow's connection id; by default by protocol.
    :param spool_dir: Local folder to spool in; by default the system's for temporary files. It needs room
        for as many files as are fetched at once.
    """

    def __init__(
        self,
        fs: Any,
        path: str,
        *,
        uri: str | None = None,
        spool_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.fs = fs
        self.path = str(path).rstrip("/")
        self._uri = (uri or str(fs.unstrip_protocol(self.path))).rstrip("/")
        self._spool_dir = Path(spool_dir or tempfile.gettempdir())
        self._put_bounds = _known_arguments(fs)

    def uri(self, name: str = "") -> str:
        """Return a file's URI."""
        return f"{self._uri}/{check_name(name)}" if name else self._uri

    def child(self, name: str) -> ObjectStore:
        """Return the store of a prefix below this one."""
        return ObjectStore(self.fs, self._key(name), uri=self.uri(name), spool_dir=self._spool_dir)

    def size(self, name: str) -> int | None:
        """Return an object's size in bytes; ``None`` if there is none."""
        try:
            info = self.fs.info(self._fresh(name))
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading."""
        return cast("BinaryIO", self.fs.open(self._fresh(name), "rb", block_size=_BLOCK_BYTES))

    def stage(self, name: str, expected: Expected) -> ObjectStaging:
        """Begin an object, in an empty spool file."""
        return ObjectStaging(self, name, self._spool_dir)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(self._fresh(name))

    def names(self) -> Iterator[str]:
        """Yield the names of all objects below this prefix."""
        self.fs.invalidate_cache(self.path)
        try:
            found = self.fs.find(self.path)
        except FileNotFoundError:
            return
        root = f"{self.fs._strip_protocol(self.path).rstrip('/')}/"
        yield from (path.removeprefix(root) for path in found if path.startswith(root))

    def put(self, spooled: Path, name: str) -> None:
        """Put a whole local file, and compare the object's size with it.

        :raises IncompleteTransferError: The object has another size; it was removed.
        """
        expected = spooled.stat().st_size
        try:
            self.fs.put_file(str(spooled), self._key(name), **self._put_bounds)
        except BaseException:
            # Object stores show nothing of a broken upload; other filesystems behind fsspec may.
            with contextlib.suppress(Exception):
                self._withdraw(name, expected)
            raise
        size = self.size(name)
        if size != expected:
            self.remove(name)
            raise IncompleteTransferError(
                f"{name}: the object has {size} bytes after its upload, not {expected}; it was removed.",
                file=name,
            )

    def _fresh(self, name: str) -> str:
        """Return a key without what the filesystem, which lives as long as its process, remembers of it."""
        key = self._key(name)
        self.fs.invalidate_cache(key.rpartition("/")[0])
        return key

    def _withdraw(self, name: str, expected: int) -> None:
        if self.size(name) not in {None, expected}:
            self.remove(name)

    def _key(self, name: str) -> str:
        return f"{self.path}/{check_name(name)}"


class ObjectStaging(FileStaging):
    """A spool file on its way to an object.

    :param store: Where it goes.
    :param name: The object's name in the store.
    :param spool_dir: Where it stands meanwhile, in a locked folder of its own. The lock tells it from those
        of killed tasks, which are removed.
    """

    def __init__(self, store: ObjectStore, name: str, spool_dir: Path) -> None:
        self._store = store
        self._name = name
        _sweep(spool_dir)
        # With the object's own file name, because filesystems guess the content type by it.
        self._folder = Path(tempfile.mkdtemp(prefix=OWN_PREFIX, dir=spool_dir))
        self._lock = _lock_folder(self._folder)
        self._path = self._folder / name.rpartition("/")[2]
        super().__init__(self._path.open("w+b", buffering=0))

    def __enter__(self) -> ObjectStaging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)

    def publish(self) -> None:
        """Put the spool file."""
        self._file.close()
        self._store.put(self._path, self._name)


def _lock_folder(folder: Path) -> int:
    """Lock a folder until the handle is closed.

    :raises BlockingIOError: Another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{OWN_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < _STALE_SECONDS:
                continue  # a new one may not be locked yet
            handle = _lock_folder(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _known_arguments(fs: Any) -> dict[str, int]:
    put = getattr(fs, "_put_file", fs.put_file)
    known = inspect.signature(put).parameters
    return {name: value for name, value in _PUT_BOUNDS.items() if name in known}
