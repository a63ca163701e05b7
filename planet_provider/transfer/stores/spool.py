"""Files behind any fsspec filesystem: those that :mod:`planet_provider.transfer.stores.bucket` doesn't know.

A file is spooled to the local disk, verified there, and then put: it appears whole or not at all. Writing to the
store while the body arrives would publish a cut body as whole, because fsspec's files complete their upload when
they are closed, after an error too.

There are two kinds of file systems. In an object store a put *is* one step, and a rename would be a copy. In the
others (SFTP, SMB, HDFS, FTP, WebDAV) a put writes in place, and would leave half a file under its name where it is
killed; there a file is put under a name of this package's own, in the same folder, and renamed once its size is
right. Where a rename doesn't replace, the older file is removed first. What a killed transfer left under such a
name is removed by a later one after a day, if the file system tells a file's age.

Some of those have a single connection, on which answers that two threads wait for are lost: SFTP, FTP. One thread
at a time uses them.

A file system of which neither is known, because it is not in the list of object stores here and has no rename but
fsspec's own, which copies, is taken for an object store.
"""

from __future__ import annotations

import contextlib
import fcntl
import inspect
import io
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast
from weakref import WeakKeyDictionary

from planet_provider.exceptions import IncompleteTransferError
from planet_provider.transfer.digests import READ_BYTES, Expected
from planet_provider.transfer.names import OWN_PREFIX, PART, check_name
from planet_provider.transfer.stores.errors import FileLocation
from planet_provider.transfer.stores.staging import FileStaging

#: Bounds on an upload's memory, for filesystems that know them: bytes of a part, and parts at once. s3fs
#: would take up to 10 parts of 50 MiB for each file.
_PUT_BOUNDS = {"chunksize": 16 << 20, "max_concurrency": 2}

#: Bytes that are read from the store at once.
_BLOCK_BYTES = 8 << 20

#: Seconds after which an unlocked spool folder is taken for a killed task's.
_STALE_SECONDS = 3600.0

#: Seconds after which what stands under a private name in a file system is taken for a killed task's: there are no
#: locks, and a put that goes on changes the time.
_STALE_PUT_SECONDS = 24 * 3600.0

#: Protocols whose put is one step and whose rename is a copy: those of fsspec, s3fs, gcsfs, adlfs, ossfs, ocifs.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "oci", "memory"})

#: Protocols of file systems that one thread at a time may use: paramiko's client drops answers, ftplib mixes them.
_ONE_CONNECTION = frozenset({"sftp", "ssh", "ftp"})

_LOCKS: WeakKeyDictionary[Any, contextlib.AbstractContextManager[Any]] = WeakKeyDictionary()


class ObjectStore:
    """A prefix in an object store, or a folder in another file system.

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
        self._renames = _renames(fs)
        self._turn = _turn(fs)
        self._lock = threading.Lock()
        self._made: set[str] = set()

    def uri(self, name: str = "") -> str:
        """Return a file's URI."""
        return f"{self._uri}/{check_name(name)}" if name else self._uri

    def child(self, name: str) -> ObjectStore:
        """Return the store of a prefix below this one."""
        return ObjectStore(self.fs, self._key(name), uri=self.uri(name), spool_dir=self._spool_dir)

    def size(self, name: str) -> int | None:
        """Return an object's size in bytes; ``None`` if there is none."""
        with self._errors(name):
            return self._size(self._key(name))

    def open(self, name: str) -> BinaryIO:
        """Open an object for reading."""
        with self._errors(name, reading=True):
            stream = self.fs.open(self._fresh(name), "rb", block_size=_BLOCK_BYTES)
        if isinstance(self._turn, contextlib.nullcontext):
            return cast("BinaryIO", stream)
        return cast("BinaryIO", io.BufferedReader(_Shared(stream, self._turn), READ_BYTES))

    def stage(self, name: str, expected: Expected) -> ObjectStaging:
        """Begin an object, in an empty spool file."""
        place = FileLocation(name, str(self._spool_dir), expected.size)
        with place.errors():
            return ObjectStaging(self, name, self._spool_dir, place)

    def settled(self, name: str) -> None:
        """Do nothing: beside a file nothing stands that would be taken up."""

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._errors(name):
            self._remove(self._fresh(name))

    def names(self) -> Iterator[str]:
        """Yield the names of all objects below this prefix."""
        try:
            with self._errors("", reading=True):
                self.fs.invalidate_cache(self.path)
                found = self.fs.find(self.path)
        except FileNotFoundError:
            return
        root = f"{self.fs._strip_protocol(self.path).rstrip('/')}/"
        yield from (path.removeprefix(root) for path in found if path.startswith(root))

    def put(self, spooled: Path, name: str) -> None:
        """Put a whole local file, and compare the object's size with it.

        :raises IncompleteTransferError: The object has another size; it was removed.
        """
        key = self._key(name)
        with self._errors(name):
            if not self._renames:
                self._put(spooled, name, key)
                return
            folder = key.rpartition("/")[0]
            private = f"{folder}/{OWN_PREFIX}{secrets.token_hex(8)}{PART}"
            self._make(folder)
            try:
                self._put(spooled, name, private)
                self._rename(private, key)
            except BaseException:
                self._withdraw(private)
                raise
            self._check_size(name, key, spooled.stat().st_size)

    def _put(self, spooled: Path, name: str, key: str) -> None:
        expected = spooled.stat().st_size
        try:
            self.fs.put_file(str(spooled), key, **self._put_bounds)
        except BaseException:
            # Object stores show nothing of a broken upload; other filesystems behind fsspec do.
            self._withdraw(key, unless=expected)
            raise
        self._check_size(name, key, expected)

    def _check_size(self, name: str, key: str, expected: int) -> None:
        size = self._size(key)
        if size != expected:
            self._remove(key)
            raise IncompleteTransferError(
                f"{name}: the object has {size} bytes after its upload, not {expected}; it was removed.",
                file=name,
            )

    def _rename(self, private: str, key: str) -> None:
        """Give a file its name. Some renames replace what is there; others refuse, by an error or silently."""
        with contextlib.suppress(Exception):
            self.fs.mv(private, key)
        if self._size(private) is not None:
            self._remove(key)
            self.fs.mv(private, key)

    def _make(self, folder: str) -> None:
        """Make a folder, and remove what killed transfers left in it; once."""
        with self._lock:
            if folder not in self._made:
                self.fs.makedirs(folder, exist_ok=True)
                self._clean(folder)
                self._made.add(folder)

    def _clean(self, folder: str) -> None:
        with contextlib.suppress(Exception):
            for path in self.fs.ls(folder, detail=False):
                if path.rpartition("/")[2].startswith(OWN_PREFIX) and self._age(path) > _STALE_PUT_SECONDS:
                    self.fs.rm_file(path)

    def _age(self, path: str) -> float:
        changed: datetime = self.fs.modified(path)
        if changed.tzinfo is None:
            changed = changed.replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - changed).total_seconds()

    @contextlib.contextmanager
    def _errors(self, name: str, *, reading: bool = False) -> Iterator[None]:
        """Use the file system: wait for one's turn, where it takes turns, and tell its errors as ours."""
        place = FileLocation(name, self.uri(name).rpartition("/")[0] if name else self.uri())
        with self._turn, place.errors(reading=reading):
            yield

    def _size(self, key: str) -> int | None:
        self._forget(key)
        try:
            info = self.fs.info(key)
        except FileNotFoundError:
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def _remove(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(key)

    def _withdraw(self, key: str, unless: int | None = None) -> None:
        with contextlib.suppress(Exception):
            if self._size(key) not in {None, unless}:
                self._remove(key)

    def _fresh(self, name: str) -> str:
        """Return a key without what the filesystem, which lives as long as its process, remembers of it."""
        key = self._key(name)
        self._forget(key)
        return key

    def _forget(self, key: str) -> None:
        self.fs.invalidate_cache(key.rpartition("/")[0])

    def _key(self, name: str) -> str:
        return f"{self.path}/{check_name(name)}"


class ObjectStaging(FileStaging):
    """A spool file on its way to an object.

    :param store: Where it goes.
    :param name: The object's name in the store.
    :param spool_dir: Where it stands meanwhile, in a locked folder of its own. The lock tells it from those
        of killed tasks, which are removed.
    :param place: How errors name it.
    """

    def __init__(self, store: ObjectStore, name: str, spool_dir: Path, place: FileLocation) -> None:
        self._store = store
        self._name = name
        _sweep(spool_dir)
        # With the object's own file name, because filesystems guess the content type by it.
        self._folder = Path(tempfile.mkdtemp(prefix=OWN_PREFIX, dir=spool_dir))
        self._lock = _lock_folder(self._folder)
        self._path = self._folder / name.rpartition("/")[2]
        super().__init__(self._path.open("w+b", buffering=0), place)

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


class _Shared(io.RawIOBase):
    """A file of which each read waits for its turn."""

    def __init__(self, stream: BinaryIO, turn: contextlib.AbstractContextManager[Any]) -> None:
        super().__init__()
        self._stream = stream
        self._turn = turn

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        with self._turn:
            content = self._stream.read(len(target))
        target[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            with self._turn:
                self._stream.close()
        super().close()


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


def _renames(fs: Any) -> bool:
    """Tell whether files appear whole in a file system only if they are put under another name and renamed."""
    from fsspec.spec import AbstractFileSystem

    fs = _inner(fs)
    return _protocols(fs).isdisjoint(_OBJECT_STORES) and type(fs).mv is not AbstractFileSystem.mv


def _turn(fs: Any) -> contextlib.AbstractContextManager[Any]:
    """Return what a thread holds while it uses a file system; the same one for all stores in it."""
    fs = _inner(fs)
    if _protocols(fs).isdisjoint(_ONE_CONNECTION):
        return contextlib.nullcontext()
    return _LOCKS.setdefault(fs, threading.RLock())


def _inner(fs: Any) -> Any:
    """Return the file system itself, where one of its folders is given."""
    return _inner(fs.fs) if "dir" in _protocols(fs) else fs


def _protocols(fs: Any) -> set[str]:
    return {fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol)
