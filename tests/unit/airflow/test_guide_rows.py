"""Rows of the SDK's guide whose other tests need no Planet, through a socket too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow_support import AOI, Connect, Runner, Scenes

from planet_provider.builders import (
    delivery,
    filters,
    order_options,
    order_request,
    tools,
)
from planet_provider.builders.filters import Filter
from planet_provider.exceptions import AuthenticationError, ChecksumError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.sandbox import Sandbox
from planet_provider.transfer import verify_file

Credential = Callable[[str], None]


@pytest.fixture
def by_env(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Credential:
    def give(key: str) -> None:
        connect({"password": None}, auth="env", env_var="KEY_OF_THIS_TEST")
        monkeypatch.setenv("KEY_OF_THIS_TEST", key)

    return give


@pytest.fixture
def by_file(connect: Connect, tmp_path: Path) -> Credential:
    def give(key: str) -> None:
        file = tmp_path / "planet.json"
        file.write_text(json.dumps({"key": key}))
        connect({"password": None}, auth="file", auth_file=str(file))

    return give


@pytest.fixture
def by_key(connect: Connect) -> Credential:
    return lambda key: connect({"password": key})


@pytest.mark.parametrize(
    "form",
    [
        pytest.param("by_key", marks=pytest.mark.guide("auth-key")),
        pytest.param("by_env", marks=pytest.mark.guide("auth-env")),
        pytest.param("by_file", marks=pytest.mark.guide("auth-file")),
    ],
)
def test_the_key_is_what_planet_gets(
    planet_sandbox: Sandbox, form: str, request: pytest.FixtureRequest
) -> None:
    give: Credential = request.getfixturevalue(form)
    give(planet_sandbox.api_key)
    assert "user" in PlanetHook().get_order_stats()
    give("PLAK-another")
    with pytest.raises(AuthenticationError):
        PlanetHook().get_order_stats()
    sent = [one.headers["authorization"] for one in planet_sandbox.requests]
    assert sent == [f"api-key {planet_sandbox.api_key}", "api-key PLAK-another"]


@pytest.mark.guide("order-request")
def test_a_request_with_everything_is_what_planet_gets(planet: Sandbox, scenes: Scenes) -> None:
    request = order_request.build(
        "fields in June",
        items=scenes.items,
        product_bundle="visual",
        fallback_bundles=["analytic_udm2"],
        tools=[tools.file_format("COG")],
        delivery=delivery.zip_archive(single_archive=True),
        notifications=order_options.notifications(email=True, webhook_url="https://hooks.example.com/x"),
        order_type="PARTIAL",
        stac=True,
    )
    order = PlanetHook().create_order(request)
    stored = PlanetHook().get_order(order["id"])
    assert stored["state"] == "queued"
    for name, value in request.items():
        assert stored[name] == value, name


MAY = {"gte": "2000-01-01T00:00:00Z"}
BUILT: dict[str, Filter] = {
    "and_filter": filters.and_filter(filters.std_quality_filter(), filters.permission_filter()),
    "or_filter": filters.or_filter(filters.std_quality_filter(), filters.permission_filter()),
    "not_filter": filters.not_filter(filters.string_in_filter("quality_category", ["test"])),
    "empty_filter": filters.empty_filter(),
    "date_range_filter": filters.date_range_filter("acquired", **MAY),
    "range_filter": filters.range_filter("cloud_cover", lte=0.5),
    "update_filter": filters.update_filter("ground_control", **MAY),
    "geometry_filter": filters.geometry_filter(AOI, relation="intersects"),
    "number_in_filter": filters.number_in_filter("gsd", [3.7, 3.8, 3.9, 4.0, 4.1]),
    "string_in_filter": filters.string_in_filter("quality_category", ["standard"]),
    "asset_filter": filters.asset_filter(["ortho_visual"]),
    "permission_filter": filters.permission_filter(),
    "std_quality_filter": filters.std_quality_filter(),
    "combine": filters.combine(filters.std_quality_filter(), AOI),
}


def test_each_builder_is_here() -> None:
    named = {name for name, value in vars(filters).items() if name.endswith("_filter") and callable(value)}
    assert named - {"search_filter", "_field_filter"} == BUILT.keys() - {"combine"}


@pytest.mark.guide("filters")
@pytest.mark.parametrize("name", BUILT)
def test_each_filter_is_one_that_planet_takes(planet: Sandbox, name: str) -> None:
    found = list(PlanetHook().search(["PSScene"], BUILT[name], limit=300))
    (first, *_) = [json.loads(one.body) for one in planet.requests if one.body]
    assert first["filter"]["config"][0] == BUILT[name]
    everything = len(list(PlanetHook().search(["PSScene"], limit=300)))
    assert 0 < len(found) <= everything


@pytest.mark.guide("asset-validate")
@pytest.mark.planet_sandbox(scene_pixels=64)
def test_a_downloaded_asset_is_validated(
    planet: Sandbox, runner: Runner, scenes: Scenes, tmp_path: Path
) -> None:
    asset: dict[str, Any] = {
        "item_type": "PSScene",
        "item_id": scenes.item_ids[0],
        "asset_type": "ortho_visual",
    }
    runner.run(PlanetActivateAssetOperator(task_id="activate", **asset))
    planet.clock.advance(planet.config.activation_seconds + 1)
    told = PlanetHook().get_asset(*asset.values())["md5_digest"]
    file = runner.run(PlanetDownloadAssetOperator(task_id="download", destination=str(tmp_path), **asset))
    assert verify_file(file["path"], told, checksum="md5") == file["bytes"]
    task = PlanetValidateChecksumOperator(
        task_id="validate", path=file["path"], expected=told, checksum="md5"
    )
    assert runner.run(task)["validated"] == 1
    content = bytearray(Path(file["path"]).read_bytes())
    content[-1] ^= 1
    Path(file["path"]).write_bytes(content)
    with pytest.raises(ChecksumError):
        verify_file(file["path"], told, checksum="md5")
