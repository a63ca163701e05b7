"""Waiting for an asset: on a worker and deferred."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
)
from airflow_support import FakeTaskInstance, Runner, Scenes, let_time_pass

from planet_provider.exceptions import AssetUnavailableError, TriggerEventError, UnknownStateError
from planet_provider.operators.assets import PlanetActivateAssetOperator
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sensors.assets import PlanetAssetSensor

KEYS = {"item_type", "item_id", "asset_type", "status", "md5_digest"}
DEFERRABLE = pytest.mark.parametrize("deferrable", [False, True])


@pytest.fixture
def sensor(scenes: Scenes) -> Any:
    def make(**parameters: Any) -> PlanetAssetSensor:
        settings = {
            "item_type": scenes.item_type,
            "item_id": scenes.item_ids[0],
            "asset_type": "ortho_visual",
            "poke_interval": 0.05,
        }
        return PlanetAssetSensor(task_id="wait", **settings | parameters)

    return make


@pytest.fixture
def activated(runner: Runner, planet: Sandbox, scenes: Scenes) -> None:
    runner.run(
        PlanetActivateAssetOperator(
            task_id="activate",
            item_type=scenes.item_type,
            item_id=scenes.item_ids[0],
            asset_type="ortho_visual",
        )
    )


@pytest.mark.guide("asset-wait")
@DEFERRABLE
@pytest.mark.usefixtures("activated")
def test_until_it_is_active(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, sensor: Any, deferrable: bool
) -> None:
    let_time_pass(planet, runner, deferrable=deferrable)
    result = runner.run(sensor(deferrable=deferrable), ti)
    assert set(result) == KEYS
    assert set(ti.xcoms) == KEYS | {"return_value"}
    assert result["status"] == "active"
    assert len(result["md5_digest"]) == 32
    assert len(runner.deferrals) == deferrable
    assert "http" not in json.dumps([ti.xcoms, runner.events])


@DEFERRABLE
@pytest.mark.usefixtures("activated")
def test_an_active_one_never_defers(planet: Sandbox, runner: Runner, sensor: Any, deferrable: bool) -> None:
    planet.clock.advance(60)
    assert runner.run(sensor(deferrable=deferrable))["status"] == "active"
    assert runner.deferrals == []


@DEFERRABLE
def test_too_late(planet: Sandbox, runner: Runner, sensor: Any, scenes: Scenes, deferrable: bool) -> None:
    with pytest.raises(AirflowSensorTimeout) as caught:
        runner.run(sensor(deferrable=deferrable, timeout=0.2))
    if deferrable:
        assert f"PSScene {scenes.item_ids[0]}" in str(caught.value)
    with pytest.raises(AirflowSkipException):
        runner.run(sensor(deferrable=deferrable, timeout=0.2, soft_fail=True))


@DEFERRABLE
def test_what_nobody_has_activated_is_said_at_once_and_in_the_end(
    planet: Sandbox, runner: Runner, sensor: Any, deferrable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AirflowSensorTimeout, match="PlanetActivateAssetOperator") as caught:
        runner.run(sensor(deferrable=deferrable, timeout=0.2))
    assert "goes on" not in str(caught.value)
    out = capsys.readouterr().out
    assert ("jobs check --job-type TriggererJob" in out) == deferrable
    said = [line for line in out.splitlines() if "is inactive" in line]
    assert "warning" in said[0]
    assert "PlanetActivateAssetOperator" in said[0]


@DEFERRABLE
def test_soft_fail_never_hides_an_asset_that_there_is_not(
    planet: Sandbox, runner: Runner, sensor: Any, deferrable: bool
) -> None:
    with pytest.raises(AssetUnavailableError):
        runner.run(sensor(deferrable=deferrable, asset_type="ortho_nothing", soft_fail=True))


@DEFERRABLE
def test_an_asset_that_there_is_not(
    planet: Sandbox, runner: Runner, sensor: Any, scenes: Scenes, deferrable: bool
) -> None:
    with pytest.raises(AssetUnavailableError, match=r"it has: .*ortho_visual") as caught:
        runner.run(sensor(deferrable=deferrable, asset_type="ortho_nothing"))
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.item_id == scenes.item_ids[0]


@pytest.mark.usefixtures("activated")
def test_an_asset_that_disappears_while_deferred(
    planet: Sandbox, runner: Runner, sensor: Any, scenes: Scenes
) -> None:
    planet.faults.add(Fault(kind="status", status=200, body="{}", path="/assets", skip=1))
    with pytest.raises(AssetUnavailableError) as caught:
        runner.run(sensor(deferrable=True))
    assert isinstance(caught.value, AirflowFailException)
    assert (caught.value.item_id, caught.value.asset_type) == (scenes.item_ids[0], "ortho_visual")


@DEFERRABLE
def test_an_unknown_status(planet: Sandbox, runner: Runner, sensor: Any, deferrable: bool) -> None:
    body = json.dumps({"ortho_visual": {"status": "asleep", "_permissions": ["download"]}})
    planet.faults.add(Fault(kind="status", status=200, body=body, path="/assets", skip=1, times=None))
    with pytest.raises(UnknownStateError, match="asleep"):
        runner.run(sensor(deferrable=deferrable, timeout=120))


@pytest.mark.parametrize(
    "event",
    [
        None,
        {"status": "done"},
        {"status": "done", "asset": {"status": "activating"}},
        {"status": "done", "asset": {"status": "active", "item_id": "another"}},
        {"status": 1},
    ],
)
def test_an_event_that_is_not_understood_is_no_success(runner: Runner, sensor: Any, event: Any) -> None:
    with pytest.raises(TriggerEventError):
        runner.resume(sensor(deferrable=True), event)


def test_an_event_without_a_status_is_no_success(runner: Runner, sensor: Any) -> None:
    task = sensor(deferrable=True)
    asset = {"item_type": task.item_type, "item_id": task.item_id, "asset_type": task.asset_type}
    with pytest.raises(UnknownStateError):
        runner.resume(task, {"status": "done", "asset": asset})
