"""The example DAGs in a real Airflow: what ran, where it waited, what arrived."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from example_runs import ASSETS, BACKFILL, DAILY, Finished

from demo.metadata import TriggerRow

pytestmark = pytest.mark.integration

BESIDE = {"manifest.json", "planet-transfer.json", "scenes.geojson"}


def outputs(
    finished: Finished, dag_id: str, run_id: str, task_id: str, key: str = "return_value"
) -> list[Any]:
    """Return an XCom of each instance of a mapped task."""
    rows = [row for row in finished.airflow.metadata.tasks(run_id) if row.task_id == task_id]
    return [
        finished.airflow.xcom(dag_id, run_id, task_id, key, index)
        for index in sorted(row.map_index for row in rows)
    ]


def files(finished: Finished, dag_id: str) -> list[dict[str, Any]]:
    """Return the records of all files that a DAG's runs delivered by orders."""
    return [
        file
        for run_id in finished.runs[dag_id]
        for together in outputs(finished, dag_id, run_id, "download", "files")
        for file in together
    ]


@pytest.mark.parametrize(("dag_id", "runs"), [(DAILY, 1), (ASSETS, 1), (BACKFILL, 2)])
def test_every_task_succeeded_at_the_first_try(finished: Finished, dag_id: str, runs: int) -> None:
    assert len(finished.runs[dag_id]) == runs
    for run_id in finished.runs[dag_id]:
        tasks = finished.airflow.metadata.tasks(run_id)
        assert len(tasks) >= 5
        assert {(row.state, row.try_number) for row in tasks} == {("success", 1)}, finished.airflow.describe(
            run_id
        )


@pytest.mark.parametrize(
    ("dag_id", "classpath", "upstream", "key"),
    [
        (DAILY, "planet_provider.triggers.orders.PlanetOrderTrigger", "order", "order_id"),
        (BACKFILL, "planet_provider.triggers.orders.PlanetOrderTrigger", "order", "order_id"),
        (ASSETS, "planet_provider.triggers.assets.PlanetAssetTrigger", "activate", "item_id"),
    ],
)
def test_waits_were_deferred_in_a_triggerer(
    finished: Finished, dag_id: str, classpath: str, upstream: str, key: str
) -> None:
    triggerers = finished.airflow.metadata.triggerers()
    assert len(triggerers) == 1
    for run_id in finished.runs[dag_id]:
        placed = outputs(finished, dag_id, run_id, upstream)
        waited_for = {each if isinstance(each, str) else each[key] for each in placed}
        assert waited_for
        deferrals = finished.history.deferrals(dag_id, run_id, "wait")
        assert {trigger.classpath for _, trigger in deferrals} == {classpath}
        assert {trigger.triggerer_id for _, trigger in deferrals} == triggerers
        assert {arguments(trigger)[key] for _, trigger in deferrals} == waited_for
        assert {row.next_method for row, _ in deferrals} == {"execute_complete"}
        for row, _ in deferrals:
            states = finished.history.states(dag_id, run_id, "wait", row.map_index)
            assert states.index("deferred") < states.index("success")


def arguments(trigger: TriggerRow) -> dict[str, Any]:
    """Read a trigger's arguments; before Airflow 3.2 they are wrapped in their type."""
    stored: dict[str, Any] = json.loads(trigger.kwargs)
    return stored.get("__var", stored)


def test_each_order_was_placed_once(finished: Finished) -> None:
    placed = {
        order_id
        for dag_id in (DAILY, BACKFILL)
        for run_id in finished.runs[dag_id]
        for order_id in outputs(finished, dag_id, run_id, "order")
    }
    assert len(placed) >= 4
    assert set(finished.sandbox.orders) == placed


@pytest.mark.parametrize("dag_id", [DAILY, BACKFILL])
def test_files_are_those_of_the_manifest(finished: Finished, dag_id: str) -> None:
    for run_id in finished.runs[dag_id]:
        deliveries = outputs(finished, dag_id, run_id, "download")
        validated = outputs(finished, dag_id, run_id, "validate" if dag_id == BACKFILL else "checksum")
        for delivery, checked in zip(deliveries, validated, strict=True):
            folder = Path(delivery["directory"])
            assert folder.is_relative_to(finished.destination)
            manifest = json.loads(Path(delivery["manifest"]).read_text())
            assert delivery["files"] == len(manifest["files"]) == checked["validated"] > 0
            for file in manifest["files"]:
                content = (folder / file["path"]).read_bytes()
                assert len(content) == file["size"]
                assert hashlib.sha256(content).hexdigest() == file["digests"]["sha256"]
            assert delivery["bytes"] == sum(file["size"] for file in manifest["files"])


@pytest.mark.parametrize("dag_id", [DAILY, BACKFILL])
def test_images_are_georeferenced_and_not_empty(finished: Finished, dag_id: str) -> None:
    images = [Path(file["path"]) for file in files(finished, dag_id) if file["media_type"] == "image/tiff"]
    assert images
    for path in images:
        with rasterio.open(path) as image:
            assert image.crs.is_projected
            west, _ = image.lnglat()
            assert -122.6 < west < -122.2
            if "udm2" not in path.name:
                assert image.read().any()


def test_nothing_is_left_half(finished: Finished) -> None:
    recorded = {file["path"] for dag_id in (DAILY, BACKFILL) for file in files(finished, dag_id)}
    [assets_run] = finished.runs[ASSETS]
    recorded |= {file["path"] for file in outputs(finished, ASSETS, assets_run, "download")}
    on_disk = {str(path) for path in finished.destination.rglob("*") if path.is_file()}
    beside = {path for path in on_disk if Path(path).name in BESIDE}
    assert on_disk - beside == recorded


def test_assets_have_the_digest_that_planet_published(finished: Finished) -> None:
    [run_id] = finished.runs[ASSETS]
    delivered = outputs(finished, ASSETS, run_id, "download")
    activated = outputs(finished, ASSETS, run_id, "activate")
    published = {asset["item_id"]: asset["md5_digest"] for asset in outputs(finished, ASSETS, run_id, "wait")}
    assert len(delivered) == len(activated) == len(published) == 2
    for file in delivered:
        content = Path(file["path"]).read_bytes()
        assert hashlib.md5(content).hexdigest() == file["md5"] == published[file["item_id"]]


def test_ndvi_is_that_of_the_images(finished: Finished) -> None:
    [run_id] = finished.runs[DAILY]
    returned = outputs(finished, DAILY, run_id, "ndvi")
    statistics = {scene["item_id"]: scene for scenes in returned for scene in scenes}
    paths = {(file["item_id"], file["asset_type"]): file["path"] for file in files(finished, DAILY)}
    images = {item_id for item_id, asset_type in paths if asset_type == "ortho_analytic_4b_sr"}
    assert set(statistics) == images
    for item_id, found in statistics.items():
        with rasterio.open(paths[item_id, "ortho_analytic_4b_sr"]) as image:
            red, near_infrared = image.read(3).astype(float), image.read(4).astype(float)
        with rasterio.open(paths[item_id, "ortho_udm2"]) as mask:
            usable = (mask.read(1) == 1) & (red + near_infrared > 0)
        index = ((near_infrared - red) / np.where(usable, red + near_infrared, 1))[usable]
        assert found["clear_pixels"] == index.size > 1000
        assert found["mean"] == pytest.approx(index.mean(), abs=1e-4)
        assert -1 <= found["p10"] <= found["median"] <= found["p90"] <= 1


@pytest.mark.parametrize("dag_id", [DAILY, BACKFILL, ASSETS])
def test_scenes_are_of_the_data_interval(finished: Finished, dag_id: str) -> None:
    days = finished.days if dag_id == BACKFILL else (finished.day,)
    for day, run_id in zip(days, finished.runs[dag_id], strict=True):
        batches = finished.airflow.xcom(dag_id, run_id, "search")
        item_ids = [item_id for batch in batches for item_id in batch["item_ids"]]
        assert item_ids
        start = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        for item_id in item_ids:
            item = finished.sandbox.catalogue.get("PSScene", item_id)
            assert item is not None
            acquired = datetime.fromisoformat(item.properties["acquired"].replace("Z", "+00:00"))
            assert start <= acquired < start + timedelta(days=1)


def test_a_backfill_is_a_run_a_day(finished: Finished) -> None:
    rows = finished.airflow.metadata.query(
        "SELECT run_type, date(data_interval_start) FROM dag_run WHERE dag_id = ? ORDER BY logical_date",
        BACKFILL,
    )
    assert rows == [("backfill", day.isoformat()) for day in finished.days]
    assert {path.name for path in (finished.destination / "month").iterdir()} == {
        str(day) for day in finished.days
    }
