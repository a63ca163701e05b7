"""Items into files: whole or not at all, and read back as they were."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_support import ANY, session_of
from planet_provider.client import collect
from planet_provider.client.api import data
from planet_provider.exceptions import ConfigurationError, InvalidInputError, UnexpectedResponseError
from planet_provider.export import geoparquet
from planet_provider.export.features import SUFFIXES, write_items, written
from planet_provider.sandbox import Sandbox
from planet_provider.transfer.stores.local import LocalStore

POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}


def item(number: int, geometry: Any = POLYGON, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": f"item_{number}",
        "geometry": geometry,
        "assets": ["visual"],
        "_permissions": [],
        "properties": {"item_type": "PSScene", **properties},
    }


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".ndjson":
        return [json.loads(line) for line in path.read_text().splitlines()]
    features: list[dict[str, Any]] = json.loads(path.read_text())["features"]
    return features


def parquet(path: Path) -> Any:
    import geopandas

    return geopandas.read_parquet(path)


@pytest.mark.guide("collect-file")
@pytest.mark.planet_sandbox(rate_limits=False)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_search_of_the_sandbox(planet_sandbox: Sandbox, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"found{suffix}"
    with session_of(planet_sandbox) as session:
        call = data.quick_search(["PSScene", "SkySatCollect"], ANY)
        there = list(collect.items(session.pages(call)))
        result = write_items(collect.items(session.pages(call)), path)
    assert (result.path, result.count) == (str(path), len(there))
    if suffix != ".parquet":
        assert read(path) == there
        return
    frame = parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert list(frame["id"]) == [one["id"] for one in there]
    assert set(frame.columns) >= {"item_type", "acquired", "cloud_cover", "assets", "geometry"}
    from shapely.geometry import shape

    assert all(
        ours.equals(shape(theirs["geometry"])) for ours, theirs in zip(frame.geometry, there, strict=True)
    )
    for name in ("cloud_cover", "acquired", "item_type"):
        assert list(frame[name]) == [one["properties"].get(name) for one in there]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_breaks_off_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    def breaking() -> Iterator[dict[str, Any]]:
        yield item(1)
        raise RuntimeError("the next page failed")

    (tmp_path / f"found{suffix}").write_text("of yesterday")
    with pytest.raises(RuntimeError):
        write_items(breaking(), tmp_path / f"found{suffix}")
    assert [entry.name for entry in tmp_path.iterdir()] == [f"found{suffix}"]
    assert (tmp_path / f"found{suffix}").read_text() == "of yesterday"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whoever_stops_reading_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    with closing(written(map(item, range(5)), LocalStore(tmp_path), f"found{suffix}")) as passing:
        next(passing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_found_is_a_file_too(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"found{suffix}"
    assert write_items([], path).count == 0
    assert len(parquet(path) if suffix == ".parquet" else read(path)) == 0


def test_groups_are_written_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    monkeypatch.setattr(geoparquet, "ROW_GROUP_ITEMS", 10)
    write_items((item(number, nth=number) for number in range(25)), tmp_path / "found.parquet")
    file = pq.ParquetFile(tmp_path / "found.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [10, 10, 5]
    about = json.loads(file.schema_arrow.metadata[b"geo"])
    assert about["columns"]["geometry"] == {"encoding": "WKB", "geometry_types": ["Polygon"]}
    assert list(parquet(tmp_path / "found.parquet")["nth"]) == list(range(25))


def test_properties_that_come_late_differ_or_clash(tmp_path: Path) -> None:
    path = tmp_path / "found.parquet"
    multi = {"type": "MultiPolygon", "coordinates": [POLYGON["coordinates"]]}
    given = [
        item(0, whole=1, mixed="a", flag=True, nested={"a": [1]}, names=["x"], nothing=None),
        item(1, multi, whole=2.5, mixed=7, flag=None, late="yes", id="own", names=[]),
        item(2, None, whole=None),
    ]
    write_items(given, path)
    frame = parquet(path)
    assert list(frame["id"]) == ["item_0", "item_1", "item_2"]
    assert list(frame["whole"])[:2] == [1.0, 2.5]
    assert frame["whole"].isna()[2]
    assert list(frame["mixed"])[:2] == ['"a"', "7"]
    assert frame["mixed"].isna()[2]
    assert frame["flag"][0] is True
    assert list(frame["flag"].isna()) == [False, True, True]
    assert json.loads(frame["nested"][0]) == {"a": [1]}
    assert (frame["late"][1], frame["properties_id"][1]) == ("yes", "own")
    assert list(frame["late"].isna()) == list(frame["properties_id"].isna()) == [True, False, True]
    assert list(frame["names"][0]) == ["x"]
    assert frame["nothing"].isna().all()
    assert [None if shape is None else shape.geom_type for shape in frame.geometry] == [
        "Polygon",
        "MultiPolygon",
        None,
    ]


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "id"]), values), max_size=4))
def test_any_properties_can_be_written(properties: list[dict[str, Any]]) -> None:
    import io

    import pyarrow.parquet as pq

    chunks: list[bytes] = []
    given = [item(number) | {"properties": one} for number, one in enumerate(properties)]
    assert list(geoparquet.write(given, chunks.append)) == given
    table = pq.read_table(io.BytesIO(b"".join(chunks)))
    assert table["id"].to_pylist() == [one["id"] for one in given]


def test_a_geometry_that_is_none_is_an_error(tmp_path: Path) -> None:
    broken = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0]]]}
    with pytest.raises(UnexpectedResponseError, match="item_3"):
        write_items([item(3, broken)], tmp_path / "found.parquet")
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    asked: list[int] = []
    with pytest.raises(ConfigurationError, match=r"airflow-provider-planet\[geoparquet\]"):
        write_items((asked.append(n) or item(n) for n in range(3)), tmp_path / "found.parquet")
    assert asked == [], "refused before anything is asked for"


@pytest.mark.parametrize("path", ["found.shp", "found", "s3://bucket/found.geojson", "", 7])
def test_paths_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match="path"):
        write_items([], path)
    assert list(tmp_path.iterdir()) == []
