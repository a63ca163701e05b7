"""Searching: batches for mapped tasks, files, and nothing cut silently."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow_support import AOI, FakeTaskInstance, Runner

from planet_provider.builders import filters
from planet_provider.exceptions import InvalidInputError, ServerError, UnexpectedResponseError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.batches import read_batch
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sandbox import Fault, Sandbox

TYPES = ["PSScene", "SkySatCollect"]


@pytest.fixture
def window(planet: Sandbox) -> dict[str, Any]:
    """The acquired window of a month that has ended."""
    end = planet.clock.now().replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=5)
    return {"acquired_start": end - timedelta(days=30), "acquired_end": end}


def expected(sandbox: Sandbox, item_types: list[str], window: dict[str, Any]) -> set[tuple[str, str]]:
    """What the catalogue holds, found without any of the code under test."""
    return {
        (item.item_type, item.id)
        for item in sandbox.catalogue
        if item.item_type in item_types
        and window["acquired_start"]
        <= datetime.fromisoformat(item.properties["acquired"].replace("Z", "+00:00"))
        < window["acquired_end"]
    }


def listed(batches: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(batch["item_type"], item_id) for batch in batches for item_id in batch["item_ids"]]


@pytest.mark.guide("search-quick")
def test_all_items_in_batches_of_one_type(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, window: dict[str, Any]
) -> None:
    batches = runner.run(
        PlanetSearchOperator(task_id="search", item_types=TYPES, batch_size=40, **window), ti
    )
    found = listed(batches)
    assert set(found) == expected(planet, TYPES, window)
    assert len(found) == len(set(found)) > 250, "more than a page of Planet's"
    assert all(set(batch) == {"item_type", "item_ids"} for batch in batches)
    for item_type in TYPES:
        sizes = [len(batch["item_ids"]) for batch in batches if batch["item_type"] == item_type]
        assert all(size == 40 for size in sizes[:-1])
        assert 1 <= sizes[-1] <= 40
    assert ti.xcoms["return_value"] == batches
    counts = {item_type: sum(1 for kind, _ in found if kind == item_type) for item_type in TYPES}
    assert ti.xcoms["summary"] == {
        "count": len(found),
        "batches": len(batches),
        "item_types": counts,
        "output_path": None,
        "limited": False,
    }
    assert planet.url not in json.dumps(ti.xcoms)


def test_nothing_found_is_an_empty_list(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, tmp_path: Path
) -> None:
    path = tmp_path / "found.geojson"
    nothing = filters.string_in_filter("instrument", ["no-such"])
    search = PlanetSearchOperator(
        task_id="search", item_types=TYPES, search_filter=nothing, output_path=str(path)
    )
    assert runner.run(search, ti) == []
    assert ti.xcoms["summary"]["count"] == ti.xcoms["summary"]["batches"] == 0
    assert json.loads(path.read_text()) == {"type": "FeatureCollection", "features": []}


def test_a_limit_is_told(planet: Sandbox, runner: Runner, ti: FakeTaskInstance) -> None:
    search = PlanetSearchOperator(
        task_id="search", item_types=["PSScene"], geometry=AOI, limit=7, batch_size=5, sort="acquired asc"
    )
    batches = runner.run(search, ti)
    assert [len(batch["item_ids"]) for batch in batches] == [5, 2]
    assert ti.xcoms["summary"]["limited"] is True
    assert len(planet.requests) == 1
    times = [planet.catalogue.get(*one).properties["acquired"] for one in listed(batches)]  # type: ignore[union-attr]
    assert times == sorted(times)


@pytest.mark.planet_sandbox(empty_page_every=2)
def test_empty_pages_are_passed(planet: Sandbox, runner: Runner, window: dict[str, Any]) -> None:
    batches = runner.run(PlanetSearchOperator(task_id="search", item_types=TYPES, **window))
    assert set(listed(batches)) == expected(planet, TYPES, window)
    assert len(planet.requests) == 3


@pytest.mark.guide("search-saved-run")
def test_a_saved_search(planet: Sandbox, runner: Runner, window: dict[str, Any]) -> None:
    from planet_provider.client.api import data

    wanted = filters.combine(None, None, window["acquired_start"], window["acquired_end"])
    with PlanetHook().session() as session:
        search_id = session.send(data.create_search("mine", ["SkySatCollect"], wanted))["id"]
    batches = runner.run(PlanetSearchOperator(task_id="search", search_id=search_id))
    assert set(listed(batches)) == expected(planet, ["SkySatCollect"], window)


def test_times_as_templates_render_them(planet: Sandbox, runner: Runner, window: dict[str, Any]) -> None:
    as_text = {name: str(moment) for name, moment in window.items()}
    batches = runner.run(PlanetSearchOperator(task_id="search", item_types=["SkySatCollect"], **as_text))
    assert set(listed(batches)) == expected(planet, ["SkySatCollect"], window)


def test_a_single_type_and_a_filter_may_be_text(planet: Sandbox, runner: Runner) -> None:
    clear = filters.range_filter("cloud_cover", lte=0.1)
    as_dict = PlanetSearchOperator(task_id="a", item_types=["SkySatCollect"], search_filter=clear)
    as_text = PlanetSearchOperator(
        task_id="b",
        item_types="SkySatCollect",  # type: ignore[arg-type]
        search_filter=json.dumps(clear),  # type: ignore[arg-type]
    )
    assert runner.run(as_dict) == runner.run(as_text) != []


@pytest.mark.guide("collect-file")
@pytest.mark.parametrize("suffix", [".geojson", ".ndjson", ".parquet"])
def test_a_local_file(
    runner: Runner, ti: FakeTaskInstance, window: dict[str, Any], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "new" / f"found{suffix}"
    search = PlanetSearchOperator(
        task_id="search", item_types=["SkySatCollect"], output_path=str(path), **window
    )
    batches = runner.run(search, ti)
    features = read_features(path.read_bytes(), suffix)
    assert [(one["properties"]["item_type"], one["id"]) for one in features] == listed(batches)
    assert all(one["type"] == "Feature" and one["geometry"] for one in features)
    assert ti.xcoms["summary"]["output_path"] == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.guide("collect-file")
@pytest.mark.parametrize("suffix", [".geojson", ".ndjson", ".parquet"])
def test_a_file_in_s3(
    runner: Runner, ti: FakeTaskInstance, window: dict[str, Any], s3: Any, suffix: str
) -> None:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=["SkySatCollect"],
        output_path=f"s3://store@bucket/some/found{suffix}",
        batch_size=5,
        xcom_max_items=6,
        **window,
    )
    batches = runner.run(search, ti)
    content = s3.get_object(Bucket="bucket", Key=f"some/found{suffix}")["Body"].read()
    features = read_features(content, suffix)
    assert ti.xcoms["summary"]["output_path"] == f"s3://store@bucket/some/found{suffix}"
    assert ti.xcoms["summary"]["count"] == len(features) > 6
    digest = batches[0]["sha256"]
    assert batches[0]["path"] == f"s3://store@bucket/some/found{suffix}.batch-00000-{digest[:12]}.json"
    read = [read_batch(batch) for batch in batches]
    assert [(one["properties"]["item_type"], one["id"]) for one in features] == listed(read)


def read_features(content: bytes, suffix: str) -> list[dict[str, Any]]:
    if suffix == ".parquet":
        import geopandas

        frame = geopandas.read_parquet(io.BytesIO(content))
        rows = zip(frame["item_type"], frame["id"], frame.geometry, strict=True)
        return [
            {"type": "Feature", "id": item_id, "properties": {"item_type": item_type}, "geometry": shape}
            for item_type, item_id, shape in rows
        ]
    if suffix == ".ndjson":
        return [json.loads(line) for line in content.decode().splitlines()]
    collection = json.loads(content)
    assert collection["type"] == "FeatureCollection"
    features: list[dict[str, Any]] = collection["features"]
    return features


@pytest.mark.parametrize("fault", ["status", "garbage"])
def test_a_page_that_fails_leaves_no_file(
    planet: Sandbox, runner: Runner, window: dict[str, Any], tmp_path: Path, fault: str
) -> None:
    status = {"status": 503, "garbage": 200}[fault]
    planet.faults.add(
        Fault(kind="status", path="/data/v1/", status=status, body="<html>", skip=1, times=None)
    )
    path = tmp_path / "found.geojson"
    search = PlanetSearchOperator(task_id="search", item_types=TYPES, output_path=str(path), **window)
    with pytest.raises((ServerError, UnexpectedResponseError)) as caught:
        runner.run(search)
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException)
    assert not path.exists()
    planet.faults.clear()
    assert set(listed(runner.run(search))) == expected(planet, TYPES, window)
    assert path.exists()


def test_large_results_go_to_files(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, window: dict[str, Any], tmp_path: Path
) -> None:
    search = PlanetSearchOperator(
        task_id="search",
        item_types=TYPES,
        batch_size=100,
        xcom_max_items=50,
        output_path=str(tmp_path / "found.ndjson"),
        **window,
    )
    batches = runner.run(search, ti)
    assert all(set(batch) == {"item_type", "count", "path", "sha256"} for batch in batches)
    assert len(json.dumps(ti.xcoms)) < 3000
    read = [read_batch(batch) for batch in batches]
    assert [len(batch["item_ids"]) for batch in read] == [batch["count"] for batch in batches]
    assert set(listed(read)) == expected(planet, TYPES, window)


def test_large_results_without_a_file_are_refused(runner: Runner, window: dict[str, Any]) -> None:
    search = PlanetSearchOperator(task_id="search", item_types=TYPES, xcom_max_items=50, **window)
    with pytest.raises(InvalidInputError, match=r"output_path=None.*xcom_max_items=50") as caught:
        runner.run(search)
    assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        ("[", "doesn't hold"),
        ('{"a": 1}', "doesn't hold"),
        ('["a"]', "2 item ids"),
    ],
)
def test_a_batch_file_that_is_not_the_searchs(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "found.batch-00000.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidInputError, match=said):
        read_batch({"item_type": "PSScene", "count": 2, "path": str(file)})
