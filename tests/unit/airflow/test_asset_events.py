from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow_support import AOI, FakeTaskInstance, Runner, Scenes

from planet_provider.builders import tools
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.sandbox import Fault, Sandbox

IMAGERY = Asset("imagery")


def told(runner: Runner) -> dict[str, Any]:
    extra = runner.outlet_events[IMAGERY].extra
    assert json.loads(json.dumps(extra)) == extra
    return extra


@pytest.fixture
def order_id(planet: Sandbox, scenes: Scenes) -> str:
    task = PlanetCreateOrderOperator(
        task_id="order",
        name="x",
        items=scenes.items,
        product_bundle="visual",
        tools=[tools.clip(AOI)],
        outlets=[IMAGERY],
    )
    runner = Runner()
    placed: str = runner.run(task)
    event = told(runner)
    assert event["order_id"] == placed
    assert event["scenes"] == 2
    assert event["area_km2"] > 0
    assert event["name"].startswith("x [")
    planet.clock.advance(3600)
    return placed


def download(order_id: str, folder: Path, **parameters: Any) -> PlanetDownloadOrderOperator:
    return PlanetDownloadOrderOperator(
        task_id="download", order_id=order_id, destination=str(folder), **parameters
    )


def test_an_order_that_is_found_again(planet: Sandbox, scenes: Scenes) -> None:
    told_each_time = []
    for runner in (Runner(), Runner()):
        task = PlanetCreateOrderOperator(
            task_id="order", name="x", items=scenes.items, product_bundle="visual", outlets=[IMAGERY]
        )
        runner.run(task)
        told_each_time.append(told(runner))
    first, again = told_each_time
    assert (first["reused"], again["reused"]) == (False, True)
    assert first["area_km2"] > 0
    assert again["area_km2"] == pytest.approx(first["area_km2"])


def test_a_downloaded_order(runner: Runner, order_id: str, tmp_path: Path) -> None:
    ti = FakeTaskInstance()
    runner.run(download(order_id, tmp_path, outlets=[IMAGERY, AssetAlias("other")]), ti)
    event = told(runner)
    manifest = (tmp_path / order_id / "manifest.json").read_bytes()
    assert event["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    assert event["bytes"] == ti.xcoms["bytes"] == sum(file["bytes"] for file in ti.xcoms["files"])
    assert event["files"] == len(ti.xcoms["files"])
    assert (event["order_id"], event["scenes"]) == (order_id, 2)
    assert event["directory"] == str(tmp_path / order_id)
    assert event["area_km2"] > 0


def test_without_outlets_no_request_is_spent_on_it(
    planet: Sandbox, runner: Runner, order_id: str, tmp_path: Path
) -> None:
    before = len(planet.requests)
    runner.run(download(order_id, tmp_path))
    after = planet.requests[before:]
    assert after
    assert not [one for one in after if one.path.startswith("/data/")]


def test_an_area_that_can_not_be_told_fails_nothing(
    planet: Sandbox, runner: Runner, order_id: str, tmp_path: Path
) -> None:
    planet.faults.add(Fault(kind="status", path="^/data/v1", status=404, times=None))
    runner.run(download(order_id, tmp_path, outlets=[IMAGERY]))
    assert told(runner)["area_km2"] is None
    assert told(runner)["files"] > 0


def test_an_asset(planet: Sandbox, runner: Runner, scenes: Scenes, tmp_path: Path) -> None:
    which = {"item_type": scenes.item_type, "item_id": scenes.item_ids[0], "asset_type": "ortho_visual"}
    runner.run(PlanetActivateAssetOperator(task_id="activate", **which))
    planet.clock.advance(3600)
    fetch = PlanetDownloadAssetOperator(
        task_id="download", destination=str(tmp_path), outlets=[IMAGERY], **which
    )
    result = runner.run(fetch)
    assert told(runner) == result
