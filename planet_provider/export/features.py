"""Items of a search, streamed into a file on a disk or in an object store: whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from planet_provider.client import collect
from planet_provider.client.parse import JSONObject
from planet_provider.exceptions import InvalidInputError
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.stores.base import Store
from planet_provider.transfer.stores.local import LocalStore
from planet_provider.transfer.stores.open import open_store

#: Suffix of GeoParquet files.
PARQUET = ".parquet"

#: Bytes of one write.
_WRITE_BYTES = 256 << 10

SUFFIXES = (collect.GEOJSON, collect.NDJSON, PARQUET)


@dataclass(frozen=True)
class WrittenItems:
    """A file of items.

    :param path: Full local path, or URI.
    :param count: Items in it.
    """

    path: str
    count: int


def write_items(items: Iterable[JSONObject], path: Any) -> WrittenItems:
    """Write items to a file as they come, with bounded memory; it appears once all have come.

    :param items: e.g. ``collect.items(session.pages(call))``.
    :param path: The file: a local path, or an object with ``fs``, ``parent`` and ``name`` such as Airflow's
        ``ObjectStoragePath``. By its suffix: ``.geojson`` (one FeatureCollection), ``.ndjson`` (one Feature a
        line) or ``.parquet`` (GeoParquet, extra ``geoparquet``).
    :return: Where it is, and how many items it holds.
    :raises InvalidInputError: The path has another suffix.
    """
    store, name = _place(path)
    with closing(written(items, store, name)) as passing:
        count = sum(1 for _ in passing)
    return WrittenItems(store.uri(name), count)


def check_suffix(path: object, field: str) -> str:
    """Check that a file's path ends in a suffix that tells the format, and return the suffix.

    :raises ConfigurationError: It tells GeoParquet, and the extra for it is not installed.
    """
    suffix = PurePosixPath(str(path)).suffix
    if suffix not in SUFFIXES:
        shown = str(path) if hasattr(path, "fs") else path
        raise InvalidInputError(field, shown, "must end in .geojson, .ndjson or .parquet.")
    if suffix == PARQUET:
        from planet_provider.export.geoparquet import require_pyarrow

        require_pyarrow()
    return suffix


def written(items: Iterable[JSONObject], store: Store, name: str) -> Generator[JSONObject, None, None]:
    """Write items on their way, and hand each one on; the file appears once all have come.

    Close it (:func:`contextlib.closing`): where it is closed before its end, there is no file.

    :param name: The file's name in the store; see :func:`write_items`.
    """
    writer = _writer(check_suffix(name, "path"))
    with store.stage(name, Expected()) as staging:
        staging.reset()
        pieces = _Pieces(staging.write)
        yield from writer(items, pieces.add)
        pieces.flush()
        staging.publish()


class _Pieces:
    """Gathers small pieces: written one by one, each would be a system call.

    :param sink: Takes them together.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._pieces: list[bytes] = []
        self._bytes = 0

    def add(self, piece: bytes) -> None:
        """Take one more."""
        self._pieces.append(piece)
        self._bytes += len(piece)
        if self._bytes >= _WRITE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand on what is here."""
        if self._pieces:
            self._sink(b"".join(self._pieces))
        self._pieces, self._bytes = [], 0


def _writer(
    suffix: str,
) -> Callable[[Iterable[JSONObject], Callable[[bytes], object]], Iterator[JSONObject]]:
    if suffix == PARQUET:
        from planet_provider.export.geoparquet import write

        return write
    return lambda items, sink: collect.write(items, sink, suffix)


def _place(path: Any) -> tuple[Store, str]:
    if hasattr(path, "fs") and hasattr(path, "parent"):
        return open_store(path.parent, "path"), str(path.name)
    store = open_store(path, "path")
    if not isinstance(store, LocalStore):
        raise InvalidInputError("path", path, "must name a file.")
    return LocalStore(store.root.parent), store.root.name
