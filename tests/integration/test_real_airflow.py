"""The example DAGs in a real Airflow: what ran, where it waited, what arrived."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from shared_airflow import ASSETS, BACKFILL, DAILY, DAY, Finished

from demo.metadata import TriggerRow

pytestmark = pytest.mark.integration

BESIDE = {"manifest.json", "planet-transfer.json", "scenes.geojson"}
MONTH = pytest.param(BACKFILL, marks=pytest.mark.ci)
SINGLE = pytest.param(ASSETS, marks=pytest.mark.ci)
every_example = pytest.mark.parametrize("finished", [DAILY, MONTH, SINGLE], indirect=True)
every_order = pytest.mark.parametrize("finished", [DAILY, MONTH], indirect=True)
daily = pytest.mark.parametrize("finished", [DAILY], indirect=True)
assets = pytest.mark.parametrize("finished", [SINGLE], indirect=True)
#: By example: the class of its triggers, the task before the wait, and the trigger's argument with its result.
ORDER_WAIT = "planet_provider.triggers.orders.PlanetOrderTrigger", "order", "order_id"
ASSET_WAIT = "planet_provider.triggers.assets.PlanetAssetTrigger", "activate", "item_id"


def outputs(finished: Finished, task_id: str, key: str = "return_value") -> list[Any]:
    """Return an XCom of each instance of a mapped task."""
    airflow = finished.airflow
    return [
        airflow.xcom(finished.dag_id, run_id, task_id, key, index)
        for run_id in finished.runs.values()
        for index in sorted(row.map_index for row in airflow.metadata.tasks(run_id) if row.task_id == task_id)
    ]


def files(finished: Finished) -> list[dict[str, Any]]:
    """Return the records of all files that a DAG's runs delivered by orders."""
    return [file for together in outputs(finished, "download", "files") for file in together]


@every_example
def test_every_task_succeeded_at_the_first_try(finished: Finished) -> None:
    for run_id in finished.runs.values():
        tasks = finished.airflow.metadata.tasks(run_id)
        assert len(tasks) >= 5
        assert {(row.state, row.try_number) for row in tasks} == {("success", 1)}


@every_example
def test_waits_were_deferred_in_a_triggerer(finished: Finished) -> None:
    classpath, upstream, key = ASSET_WAIT if finished.dag_id == ASSETS else ORDER_WAIT
    waited_for = {each if isinstance(each, str) else each[key] for each in outputs(finished, upstream)}
    assert waited_for
    deferrals = [
        deferral
        for run_id in finished.runs.values()
        for deferral in finished.history.deferrals(finished.dag_id, run_id, "wait")
    ]
    assert {trigger.classpath for _, trigger in deferrals} == {classpath}
    assert {trigger.triggerer_id for _, trigger in deferrals} <= finished.airflow.metadata.triggerers()
    assert {arguments(trigger)[key] for _, trigger in deferrals} == waited_for
    assert {row.next_method for row, _ in deferrals} == {"execute_complete"}
    for row, _ in deferrals:
        states = finished.history.states(finished.dag_id, row.run_id, "wait", row.map_index)
        assert states.index("deferred") < states.index("success")


def arguments(trigger: TriggerRow) -> dict[str, Any]:
    """Read a trigger's arguments; before Airflow 3.2 they are wrapped in their type."""
    stored: dict[str, Any] = json.loads(trigger.kwargs)
    return stored.get("__var", stored)


@every_order
def test_each_order_was_placed_once(finished: Finished) -> None:
    names = [
        f"{'month' if finished.dag_id == BACKFILL else 'daily-imagery'} {day} [" for day in finished.runs
    ]
    ordered = [
        order_id
        for order_id, order in finished.sandbox.orders.items()
        if any(map(order["name"].startswith, names))
    ]
    assert len(ordered) >= 2
    assert sorted(ordered) == sorted(outputs(finished, "order"))


@every_order
def test_files_are_those_of_the_manifest(finished: Finished) -> None:
    validated = outputs(finished, "validate" if finished.dag_id == BACKFILL else "checksum")
    for delivery, checked in zip(outputs(finished, "download"), validated, strict=True):
        folder = Path(delivery["directory"])
        assert folder.is_relative_to(finished.destination)
        manifest = json.loads(Path(delivery["manifest"]).read_text())
        assert delivery["files"] == len(manifest["files"]) == checked["validated"] > 0
        for file in manifest["files"]:
            content = (folder / file["path"]).read_bytes()
            assert len(content) == file["size"]
            assert hashlib.sha256(content).hexdigest() == file["digests"]["sha256"]
        assert delivery["bytes"] == sum(file["size"] for file in manifest["files"])


@daily
def test_images_are_georeferenced_and_not_empty(finished: Finished) -> None:
    images = [Path(file["path"]) for file in files(finished) if file["media_type"] == "image/tiff"]
    assert images
    for path in images:
        with rasterio.open(path) as image:
            assert image.crs.is_projected
            west, _ = image.lnglat()
            assert -122.6 < west < -122.2
            if "udm2" not in path.name:
                assert image.read().any()


@every_example
def test_nothing_is_left_half(finished: Finished) -> None:
    records = outputs(finished, "download") if finished.dag_id == ASSETS else files(finished)
    on_disk = {str(path) for path in finished.destination.rglob("*") if path.is_file()}
    beside = {path for path in on_disk if Path(path).name in BESIDE}
    assert on_disk - beside == {file["path"] for file in records}


@assets
def test_assets_have_the_digest_that_planet_published(finished: Finished) -> None:
    delivered = outputs(finished, "download")
    published = {asset["item_id"]: asset["md5_digest"] for asset in outputs(finished, "wait")}
    assert len(delivered) == len(outputs(finished, "activate")) == len(published) == 2
    for file in delivered:
        content = Path(file["path"]).read_bytes()
        assert hashlib.md5(content).hexdigest() == file["md5"] == published[file["item_id"]]


@daily
def test_ndvi_is_that_of_the_images(finished: Finished) -> None:
    statistics = {scene["item_id"]: scene for scenes in outputs(finished, "ndvi") for scene in scenes}
    paths = {(file["item_id"], file["asset_type"]): file["path"] for file in files(finished)}
    images = {item_id for item_id, asset_type in paths if asset_type == "ortho_analytic_4b_sr"}
    assert set(statistics) == images
    for item_id, found in statistics.items():
        with rasterio.open(paths[item_id, "ortho_analytic_4b_sr"]) as image:
            red, near_infrared = image.read(3).astype(float), image.read(4).astype(float)
        with rasterio.open(paths[item_id, "ortho_udm2"]) as mask:
            usable = (mask.read(1) == 1) & (red + near_infrared > 0)
        index = ((near_infrared - red) / np.where(usable, red + near_infrared, 1))[usable]
        assert found["clear_pixels"] == index.size > 100
        assert found["mean"] == pytest.approx(index.mean(), abs=1e-4)
        assert -1 <= found["p10"] <= found["median"] <= found["p90"] <= 1


@every_example
def test_scenes_are_of_the_data_interval(finished: Finished) -> None:
    for day, run_id in finished.runs.items():
        batches = finished.airflow.xcom(finished.dag_id, run_id, "search")
        item_ids = [item_id for batch in batches for item_id in batch["item_ids"]]
        assert item_ids
        start = datetime(day.year, day.month, day.day, tzinfo=timezone.utc)
        for item_id in item_ids:
            item = finished.sandbox.catalogue.get("PSScene", item_id)
            assert item is not None
            acquired = datetime.fromisoformat(item.properties["acquired"].replace("Z", "+00:00"))
            assert start <= acquired < start + DAY


@pytest.mark.ci
@pytest.mark.parametrize("finished", [BACKFILL], indirect=True)
def test_a_backfill_is_a_run_a_day(finished: Finished) -> None:
    rows = finished.airflow.metadata.query(
        "SELECT run_type, date(data_interval_start) FROM dag_run WHERE dag_id = ? ORDER BY logical_date",
        BACKFILL,
    )
    assert rows == [("backfill", day.isoformat()) for day in finished.runs]
    assert {path.name for path in finished.destination.iterdir()} == {str(day) for day in finished.runs}
