"""Items as GeoParquet 1.1, a row group at a time (extra ``geoparquet``).

A Parquet file has its columns at the front of every row group, and which properties items have is known only
once all have come. So they are spooled to a temporary file on the local disk meanwhile, and what is held in
memory is one row group.

A column each: ``id``, every property, ``assets``, ``_permissions``, and ``geometry`` as WKB in longitude and
latitude (OGC:CRS84). A property is a boolean, a whole number, a number, a string or a list of strings where it
is that in all items, and else JSON text. Times stay the strings that Planet gives.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Any

from planet_provider.client.parse import JSONObject
from planet_provider.exceptions import ConfigurationError, UnexpectedResponseError

#: Items in a row group, and in memory: some 10 MB.
ROW_GROUP_ITEMS = 1000

_VERSION = "1.1.0"
_GEOMETRY = "geometry"
#: Members of an item that are columns beside its properties.
_MEMBERS = ("id", "assets", "_permissions")
#: Kind of a list that holds strings alone.
_STRINGS = "strings"


def require_pyarrow() -> None:
    """Refuse early what can't be written.

    :raises ConfigurationError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "GeoParquet needs pyarrow: pip install 'airflow-provider-planet[geoparquet]'; or write .geojson "
            "or .ndjson."
        ) from error


def write(items: Iterable[JSONObject], sink: Callable[[bytes], object]) -> Iterator[JSONObject]:
    """Write items, and hand each one on. The file is written after the last.

    :param sink: Takes the bytes.
    :raises UnexpectedResponseError: An item's geometry is none.
    """
    columns = _Columns()
    with tempfile.TemporaryFile() as spool:
        for item in items:
            spool.write(json.dumps(item, separators=(",", ":")).encode() + b"\n")
            columns.note(item)
            yield item
        spool.seek(0)
        _write(spool, columns, sink)


class _Columns:
    """What has been seen of each column, and of the geometries."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, set[str]] = defaultdict(set, {"id": {"str"}})
        self.geometry_types: set[str] = set()

    def note(self, item: JSONObject) -> None:
        for name, value in _row(item).items():
            self._kinds[name].add(_kind(value))
        geometry = item.get("geometry")
        if geometry:
            self.geometry_types.add(str(geometry.get("type")))

    def kinds(self) -> dict[str, str]:
        """Return each column's kind."""
        return {name: _common(kinds - {"none"}) for name, kinds in self._kinds.items()}


def _row(item: JSONObject) -> dict[str, Any]:
    row = {name: item[name] for name in _MEMBERS if name in item}
    taken = {*_MEMBERS, _GEOMETRY}
    for name, value in item["properties"].items():
        row[f"properties_{name}" if name in taken else name] = value
    return row


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return _STRINGS
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "json"
    return type(value).__name__


def _common(kinds: set[str]) -> str:
    """Return the kind that holds all values of a column."""
    if kinds == {"int", "float"}:
        return "float"
    return (
        next(iter(kinds))
        if len(kinds) == 1 and kinds <= {"bool", "int", "float", "str", _STRINGS}
        else "json"
    )


def _write(spool: IO[bytes], columns: _Columns, sink: Callable[[bytes], object]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "str": pa.string(),
        _STRINGS: pa.list_(pa.string()),
        "json": pa.string(),
    }
    kinds = columns.kinds()
    fields = [pa.field(name, types[kind]) for name, kind in kinds.items()]
    about = json.dumps(_about(columns.geometry_types))
    schema = pa.schema([*fields, pa.field(_GEOMETRY, pa.binary())], metadata={"geo": about})
    # Without its own buffers: rows are many and the sink has one.
    with pq.ParquetWriter(pa.PythonFile(_Sink(sink), mode="w"), schema, compression="zstd") as writer:
        while lines := list(islice(spool, ROW_GROUP_ITEMS)):
            group = [json.loads(line) for line in lines]
            rows = [_row(item) for item in group]
            arrays = [
                pa.array([_value(row.get(name), kind) for row in rows], types[kind])
                for name, kind in kinds.items()
            ]
            arrays.append(pa.array(_wkb(group), pa.binary()))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _about(geometry_types: set[str]) -> dict[str, Any]:
    """Return the file's GeoParquet metadata. Without a ``crs`` it is OGC:CRS84, as GeoJSON's is."""
    column = {"encoding": "WKB", "geometry_types": sorted(geometry_types)}
    return {"version": _VERSION, "primary_column": _GEOMETRY, "columns": {_GEOMETRY: column}}


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        return float(value)
    return json.dumps(value, ensure_ascii=False) if kind == "json" else value


def _wkb(items: list[JSONObject]) -> list[bytes | None]:
    import shapely
    from shapely.geometry import shape

    def parsed(item: JSONObject) -> Any:
        geometry = item.get("geometry")
        try:
            # Heights, which no item of Planet's has, would make another geometry type.
            return shapely.force_2d(shape(geometry)) if geometry else None
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnexpectedResponseError(
                f"The geometry of item {item.get('id')!r} cannot be understood: {error}. Report it to Planet; "
                ".geojson and .ndjson keep it as it is."
            ) from error

    return list(shapely.to_wkb([parsed(item) for item in items], flavor="iso"))


class _Sink(io.RawIOBase):
    """A sink as a file that can only be written."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        super().__init__()
        self._sink = sink
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._sink(content)
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        return self._position
