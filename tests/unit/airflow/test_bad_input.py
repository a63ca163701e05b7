"""Bad input is refused before any request and without retries, naming field, value and remedy."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow_support import AOI, Connect, FakeTaskInstance

from planet_provider.exceptions import ConfigurationError, InvalidInputError
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sandbox import Sandbox
from planet_provider.sensors.assets import PlanetAssetSensor
from planet_provider.sensors.orders import PlanetOrderSensor

ORDER_ID = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"
ITEM_ID = "20220125_075509_67_1061"
SEARCH = {"item_types": ["PSScene"]}
ORDER = {
    "name": "june",
    "items": {"item_type": "PSScene", "item_ids": [ITEM_ID]},
    "product_bundle": "visual",
}
ASSET = {"item_type": "PSScene", "item_id": ITEM_ID, "asset_type": "ortho_visual"}
RING = AOI["coordinates"][0]


def polygon(ring: list[Any]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring]}


def refused(task: Any, said: tuple[str, ...], sandbox: Sandbox) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        (task() if inspect.isfunction(task) else task).execute({"ti": FakeTaskInstance()})
    for part in said:
        assert part in str(caught.value)
    assert isinstance(caught.value, AirflowFailException), "a retry won't fix it"
    assert sandbox.requests == []
    return caught.value


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"item_types": []}, ("item_types=[]", "must not be empty")),
        ({"item_types": None}, ("item_types=None", "['PSScene'], or a search_id")),
        ({"item_types": ["PS Scene"]}, ("item_types[0]='PS Scene'", "such as PSScene")),
        ({"item_types": ["PSScene", 5]}, ("item_types[1]=5", "such as PSScene")),
        ({"item_types": "../PSScene"}, ("item_types='../PSScene'",)),
        ({"geometry": polygon([[y, x] for x, y in RING])}, ("geometry.coordinates[0][0]=", "swap them")),
        (
            {"geometry": polygon(RING[:-1])},
            ("geometry.coordinates[0]=", "is not closed", "end where it starts"),
        ),
        ({"geometry": {"type": "Circle", "coordinates": []}}, ("geometry.type='Circle'", "Polygon")),
        ({"geometry": "/no/such/file.geojson"}, ("geometry='/no/such/file.geojson'", "cannot be read")),
        ({"geometry": "San Francisco"}, ("geometry='San Francisco'", "GeoJSON")),
        ({"acquired_start": datetime(2024, 1, 1)}, ("acquired_start=", "no offset", "Z for UTC")),
        ({"acquired_end": "2024-01-01T00:00:00"}, ("acquired_end='2024-01-01T00:00:00'", "no offset")),
        ({"acquired_start": "2024-01-01"}, ("acquired_start='2024-01-01'", "2024-01-01T00:00:00Z")),
        (
            {"acquired_start": "2024-02-01T00:00:00Z", "acquired_end": "2024-01-01T00:00:00Z"},
            ("acquired_end=", "later than acquired_start"),
        ),
        (
            {"search_filter": {"type": "RangFilter", "config": []}},
            ("search_filter.type='RangFilter'", "did you mean RangeFilter"),
        ),
        ({"search_filter": "{"}, ("search_filter='{'", "JSON")),
        ({"sort": "cloud_cover asc"}, ("sort='cloud_cover asc'", "published desc")),
        ({"limit": 0}, ("limit=0", "greater than 0")),
        ({"limit": "10"}, ("limit='10'",)),
        ({"batch_size": 0}, ("batch_size=0", "greater than 0")),
        ({"xcom_max_items": -1}, ("xcom_max_items=-1",)),
        (
            {"output_path": "/data/found.shp"},
            ("output_path='/data/found.shp'", ".geojson, .ndjson or .parquet"),
        ),
        ({"output_path": "found.geojson"}, ("output_path='found.geojson'", "must be an absolute path")),
        ({"output_path": Path("found.geojson")}, ("output_path='found.geojson'", "absolute path")),
        ({"output_path": "gopher://x/found.geojson"}, ("output_path='gopher://x/found.geojson'",)),
        ({"output_path": 5}, ("output_path=5", ".geojson")),
        ({"search_id": "no-uuid", "item_types": None}, ("search_id='no-uuid'", "UUID")),
        ({"search_id": ORDER_ID}, ("item_types=['PSScene']", "give one of both")),
        (
            {"search_id": ORDER_ID, "item_types": None, "geometry": AOI},
            ("geometry=", "give one of both"),
        ),
        (
            {"search_id": ORDER_ID, "item_types": None, "acquired_end": "2024-01-01T00:00:00Z"},
            ("acquired_end=", "give one of both"),
        ),
    ],
)
def test_search(planet: Sandbox, parameters: dict[str, Any], said: tuple[str, ...]) -> None:
    refused(lambda: PlanetSearchOperator(task_id="x", **{**SEARCH, **parameters}), said, planet)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"name": ""}, ("name=''", "must be a string that is not empty")),
        ({"name": " june"}, ("name=' june'",)),
        ({"items": None}, ("items",)),
        ({"items": {"item_type": "PSScene", "item_ids": []}}, ("item_ids=[]", "must not be empty")),
        ({"items": {"item_type": "PS/Scene", "item_ids": [ITEM_ID]}}, ("item_type='PS/Scene'",)),
        ({"items": {"item_type": "PSScene", "item_ids": ["../x"]}}, ("item_ids[0]='../x'",)),
        ({"items": {"item_type": "PSScene", "item_ids": [str(n) for n in range(501)]}}, ("501", "split")),
        ({"items": {"item_type": "PSScene", "path": "/no/such.json"}}, ("items.path='/no/such.json'",)),
        ({"items": {"item_type": "PSScene", "path": 5}}, ("items.path=5",)),
        ({"items": [ITEM_ID]}, (f"items=['{ITEM_ID}']", "must be one batch", "of which item type")),
        (
            {"items": [{"item_type": "PSScene", "item_ids": [ITEM_ID]}]},
            (f"'item_ids': ['{ITEM_ID}']", "must be one batch", ".expand(items=search.output)"),
        ),
        ({"items": '[{"item_type": "PSScene"}]'}, ("items=[{", "must be one batch")),
        ({"items": "PSScene"}, ("items='PSScene'", "This is text", ".expand(items=search.output)")),
        ({"items": 7}, ("items=7", "must be one batch")),
        ({"timeout": "10"}, ("timeout='10'", "must be a number")),
        ({"timeout": timedelta(0)}, ("timeout=0.0", "must be greater than 0")),
        ({"timeout": 1e308}, ("timeout=1e+308", "must be greater than 0 seconds, and")),
        ({"poke_interval": None}, ("poke_interval=None", "must be a number")),
        ({"list_consistency_timeout": None}, ("list_consistency_timeout=None", "must be a number")),
        ({"max_items": 2.5}, ("max_items=2.5", "must be a whole number")),
        ({"product_bundle": None}, ("product_bundle",)),
        ({"product_bundle": "visual,analytic"}, ("product_bundle='visual,analytic'", "fallback_bundles")),
        ({"fallback_bundles": ["no bundle"]}, ("fallback_bundles",)),
        ({"products": [{"item_type": "PSScene"}]}, ("products",)),
        ({"tools": [{"clp": {}}]}, ("tools[0]=", "did you mean clip")),
        ({"delivery": {"amazons3": {}}}, ("delivery", "amazons3")),
        ({"order_type": "half"}, ("order_type='half'", "full")),
        ({"hosting": "geocities"}, ("hosting",)),
        ({"reuse": "maybe"}, ("reuse='maybe'", "content, run")),
        ({"reuse_max_age": 3600}, ("reuse_max_age=3600", "timedelta")),
        ({"reuse_max_age": timedelta(seconds=-1)}, ("reuse_max_age=", "timedelta")),
        ({"poke_interval": 0}, ("poke_interval=0", "greater than 0")),
        ({"timeout": -5.0}, ("timeout=-5.0", "greater than 0")),
        ({"timeout": float("nan")}, ("timeout=nan", "finite")),
    ],
)
def test_create_order(planet: Sandbox, parameters: dict[str, Any], said: tuple[str, ...]) -> None:
    refused(PlanetCreateOrderOperator(task_id="x", **{**ORDER, **parameters}), said, planet)


def test_a_credential_that_is_malformed_is_not_shown(planet: Sandbox) -> None:
    delivery = {
        "amazon_s3": {
            "bucket": "bucket",
            "aws_region": "eu-west-1",
            "aws_access_key_id": "AKIATESTTESTTEST",
            "aws_secret_access_key": " very-visible ",
        }
    }
    task = PlanetCreateOrderOperator(task_id="x", **{**ORDER, "delivery": delivery})
    error = refused(task, ("aws_secret_access_key",), planet)
    assert "very-visible" not in f"{error} {vars(error)}"


@pytest.mark.parametrize("kind", [PlanetDownloadOrderOperator, PlanetOrderSensor])
@pytest.mark.parametrize(
    "order_id", ["", "x", ORDER_ID[:-1], f"{ORDER_ID}/..", "None", None, 5, ORDER_ID + "0"]
)
def test_order_ids(planet: Sandbox, tmp_path: Path, kind: Any, order_id: Any) -> None:
    more = {"destination": str(tmp_path)} if kind is PlanetDownloadOrderOperator else {"deferrable": True}
    refused(kind(task_id="x", order_id=order_id, **more), (f"order_id={order_id!r}", "a UUID"), planet)


DESTINATIONS = [
    ("data/orders", ("destination='data/orders'", "must be an absolute path")),
    ("./data", ("destination='./data'", "must be an absolute path")),
    (Path("data"), ("destination='data'", "must be an absolute path")),
    ("", ("destination=''", "absolute path")),
    ("  ", ("destination='  '", "absolute path")),
    (None, ("destination=None", "absolute path")),
    (5, ("destination=5", "absolute path")),
    ("gopher://host/x", ("destination='gopher://host/x'", "correct the URL")),
    ("https://example.com/x", ("destination='https://example.com/x'", "correct the URL")),
]


@pytest.mark.parametrize(("destination", "said"), DESTINATIONS)
def test_destinations(planet: Sandbox, destination: Any, said: tuple[str, ...]) -> None:
    refused(
        lambda: PlanetDownloadOrderOperator(task_id="x", order_id=ORDER_ID, destination=destination),
        said,
        planet,
    )
    refused(lambda: PlanetDownloadAssetOperator(task_id="x", destination=destination, **ASSET), said, planet)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"checksum": "crc32"}, ("checksum='crc32'", "sha256, md5")),
        ({"checksum": None}, ("checksum=None",)),
        ({"max_concurrency": 0}, ("max_concurrency=0",)),
        ({"max_concurrency": 1.5}, ("max_concurrency=1.5",)),
        ({"include": [5]}, ("include",)),
        ({"include": True}, ("include=True", "list of globs")),
        ({"exclude": {"*.xml": 1}}, ("exclude=", "list of globs")),
    ],
)
def test_download(planet: Sandbox, tmp_path: Path, parameters: dict[str, Any], said: tuple[str, ...]) -> None:
    task = PlanetDownloadOrderOperator(
        task_id="x", order_id=ORDER_ID, destination=str(tmp_path), **parameters
    )
    refused(task, said, planet)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "kind", [PlanetActivateAssetOperator, PlanetDownloadAssetOperator, PlanetAssetSensor]
)
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"item_type": "PS Scene"}, ("item_type='PS Scene'", "such as PSScene")),
        ({"item_id": "a/b"}, ("item_id='a/b'",)),
        ({"item_id": ".."}, ("item_id='..'",)),
        ({"asset_type": "ortho visual"}, ("asset_type='ortho visual'",)),
        ({"asset_type": None}, ("asset_type=None",)),
    ],
)
def test_assets(
    planet: Sandbox, tmp_path: Path, kind: Any, parameters: dict[str, Any], said: tuple[str, ...]
) -> None:
    more = {"destination": str(tmp_path)} if kind is PlanetDownloadAssetOperator else {}
    refused(kind(task_id="x", **{**ASSET, **parameters, **more}), said, planet)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("state", ["finished", "Success", "", 5])
def test_states(planet: Sandbox, state: Any, deferrable: bool) -> None:
    task = PlanetOrderSensor(task_id="x", order_id=ORDER_ID, state=state, deferrable=deferrable)
    refused(task, (f"state={state!r}", "queued, running, success"), planet)


@pytest.mark.parametrize("kind", [PlanetOrderSensor, PlanetAssetSensor])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"poke_interval": 0}, "poke_interval=0: must be greater than 0 seconds"),
        ({"poke_interval": timedelta(0)}, "must be greater than 0 seconds"),
        ({"poke_interval": None}, "poke_interval=None: must be a number"),
        ({"poke_interval": float("nan")}, "poke_interval=nan: must be a finite number"),
        ({"timeout": "10"}, "timeout='10': must be a number"),
        ({"timeout": 1e308}, r"timeout=1e\+308: must be 0 seconds or more, and"),
    ],
)
def test_spans_of_a_sensor(kind: Any, given: Any, said: str) -> None:
    ids = {"order_id": ORDER_ID} if kind is PlanetOrderSensor else ASSET
    with pytest.raises(InvalidInputError, match=said):
        kind(task_id="x", **given, **ids)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"timout": 5}, "unknown extra 'timout'; known are"),
        ({"timeout": "soon"}, "timeout='soon': must be a number"),
        ({"auth": "magic"}, "auth='magic': must be one of"),
    ],
)
@pytest.mark.parametrize(
    "task",
    [
        lambda: PlanetSearchOperator(task_id="x", **SEARCH),
        lambda: PlanetCreateOrderOperator(task_id="x", **ORDER),
        lambda: PlanetDownloadOrderOperator(task_id="x", order_id=ORDER_ID, destination="/tmp/x"),
        lambda: PlanetActivateAssetOperator(task_id="x", **ASSET),
        lambda: PlanetOrderSensor(task_id="x", order_id=ORDER_ID),
        lambda: PlanetAssetSensor(task_id="x", deferrable=True, **ASSET),
    ],
    ids=["search", "order", "download", "activate", "order sensor", "asset sensor"],
)
def test_connections(
    planet_sandbox: Sandbox, connect: Connect, task: Any, extra: dict[str, Any], said: str
) -> None:
    connect(**extra)
    with pytest.raises(ConfigurationError) as caught:
        task().execute({"ti": FakeTaskInstance()})
    assert said in str(caught.value)
    assert "Connection 'planet_default'" in str(caught.value)
    assert isinstance(caught.value, AirflowFailException)
    assert planet_sandbox.requests == []
