"""The storage origin's files: on disk, by content, mapped when they are read."""

from __future__ import annotations

import mmap
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class StoredObject:
    """One file of the storage origin.

    :param key: Path below the bucket.
    :param size: Bytes.
    :param md5: MD5 in hexadecimal; it makes the ``ETag``.
    :param modified: Sandbox time it was stored at.
    """

    key: str
    media_type: str
    size: int
    md5: str
    modified: datetime
    location: Path = field(repr=False)

    @property
    def file_name(self) -> str:
        """Last part of the key."""
        return self.key.rpartition("/")[2]

    def view(self) -> memoryview:
        """Return the content, mapped."""
        if self.size == 0:
            return memoryview(b"")
        with self.location.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class ObjectStore:
    """A bucket in a temporary directory. Equal contents are kept once. Thread-safe."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="planet-sandbox-")
        self._lock = threading.Lock()
        self._objects: dict[str, StoredObject] = {}

    def put(
        self, key: str, content: bytes, *, media_type: str, digests: Mapping[str, str], modified: datetime
    ) -> StoredObject:
        """Store a file.

        :param digests: ``md5`` and ``sha256`` of the content.
        """
        location = Path(self._directory.name, digests["sha256"])
        stored = StoredObject(key, media_type, len(content), digests["md5"], modified, location)
        with self._lock:
            if not location.exists():
                location.write_bytes(content)
            self._objects[key] = stored
        return stored

    def get(self, key: str) -> StoredObject | None:
        """Return a file, if there is one."""
        return self._objects.get(key)

    def clear(self) -> None:
        """Delete every file."""
        with self._lock:
            for location in {stored.location for stored in self._objects.values()}:
                location.unlink(missing_ok=True)
            self._objects.clear()

    def close(self) -> None:
        """Delete the directory."""
        self._directory.cleanup()
