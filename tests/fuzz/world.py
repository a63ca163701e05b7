"""What is called, with what is right: a call's name leads to a function and its valid arguments."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from airflow.sdk.execution_time.context import OutletEventAccessors
from front import Front

from client_support import ANY, ORDERABLE
from planet_provider.builders import (
    delivery,
    filters,
    geometry,
    order_options,
    order_request,
    tools,
)
from planet_provider.exceptions import PlanetError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.cancel_order import PlanetCancelOrderOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.create_order import PlanetCreateOrderOperator
from planet_provider.operators.download_order import PlanetDownloadOrderOperator
from planet_provider.operators.saved_search import PlanetUpsertSearchOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.operators.stats import PlanetSearchStatsOperator
from planet_provider.sensors.assets import PlanetAssetSensor
from planet_provider.sensors.orders import PlanetOrderSensor
from planet_provider.triggers.assets import PlanetAssetTrigger
from planet_provider.triggers.capacity import PlanetOrderCapacityTrigger
from planet_provider.triggers.imagery import PlanetImageryTrigger
from planet_provider.triggers.orders import PlanetOrderTrigger
from tests.unit.airflow.airflow_support import AOI, FAST, FakeTaskInstance

#: Seconds after which a call hangs. It takes a fraction of one, and a busy machine may take many.
HANGS_AFTER = 60.0

#: Seconds that a trigger may wait on.
WAIT_SECONDS = 0.4

#: The connection: nothing waits longer than it must.
EXTRA = {
    **FAST,
    "coordination_store": "memory://",
    "timeout": 30.0,  # no changed answer stalls
    "max_attempts": 2,
    "max_retry_seconds": 0.5,
    "max_queue_seconds": 0.5,
    "max_pages": 5,
}

#: What ends a task beside the tree's errors, by Airflow's own rules.
ENDS = (AirflowSensorTimeout, AirflowSkipException)

Call = tuple[Callable[..., Any], dict[str, Any]]


@dataclass(frozen=True)
class World:
    """What there is at the sandbox, and where files go."""

    front: Front
    folder: Path
    item_id: str
    order_id: str
    search_id: str
    item_type: str = "PSScene"
    asset_type: str = "ortho_visual"

    def __repr__(self) -> str:
        return "..."

    @property
    def connection(self) -> str:
        """The Airflow connection, as JSON."""
        fields = {"conn_type": "planet", "host": self.front.url, "password": self.front.key}
        return json.dumps({**fields, "extra": EXTRA})

    @property
    def asset(self) -> dict[str, str]:
        """An asset's parameters."""
        return {"item_type": self.item_type, "item_id": self.item_id, "asset_type": self.asset_type}

    @property
    def request(self) -> dict[str, Any]:
        """An order."""
        product = {"item_ids": [self.item_id], "item_type": "PSScene", "product_bundle": "visual"}
        return {"name": "an order", "products": [product], "tools": [{"clip": {"aoi": AOI}}]}


def made_world(front: Front, folder: Path) -> World:
    """Place an order, save a search and activate an asset."""
    world = World(front, folder, "", "", "")
    with connected(world):
        hook = PlanetHook()
        item_id = next(hook.search(["PSScene"], ORDERABLE, geometry=AOI))["id"]
        hook.activate_asset("PSScene", item_id, "ortho_visual")
        search_id = hook.create_search("a search", ["PSScene"], ANY)["id"]
        order_id = hook.create_order(World(front, folder, item_id, "", "").request)["id"]
    return World(front, folder, item_id, order_id, search_id)


class connected:  # noqa: N801
    """Define ``planet_default`` for the length of the block."""

    def __init__(self, world: World) -> None:
        self._world, self._patch = world, pytest.MonkeyPatch()

    def __enter__(self) -> None:
        self._patch.setenv("AIRFLOW_CONN_PLANET_DEFAULT", self._world.connection)

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def _hook(name: str) -> Callable[..., Any]:
    def call(planet_conn_id: Any = "planet_default", **values: Any) -> Any:
        return getattr(PlanetHook(planet_conn_id), name)(**values)

    return call


def hook_calls(world: World) -> dict[str, Call]:
    """Return the hook's methods."""
    search = {"item_types": ["PSScene"], "search_filter": ORDERABLE, "geometry": AOI}
    saved = {**search, "enable_email": False}
    item = {"item_type": "PSScene", "item_id": world.item_id}
    limited = {"sort": None, "limit": 3}
    found = str(world.folder / "found.geojson")
    values: dict[str, dict[str, Any]] = {
        "search": {**search, **limited},
        "write_search": {"path": found, **search, **limited},
        "create_search": {"name": "a search", **saved},
        "update_search": {"search_id": world.search_id, "name": "a search", **saved},
        "upsert_search": {"name": "another search", **saved},
        "get_search": {"search_id": world.search_id},
        "list_searches": {"search_type": "saved", "sort": "created desc", "limit": 3},
        "run_search": {"search_id": world.search_id, **limited},
        "delete_search": {"search_id": "0" * 32},
        "get_item": item,
        "get_assets": item,
        "get_asset": world.asset,
        "activate_asset": world.asset,
        "get_item_coverage": {**item, "geometry": AOI, "mode": "estimate", "band": None},
        "get_stats": {**search, "interval": "month"},
        "create_order": {"request": world.request},
        "get_order": {"order_id": world.order_id},
        "list_orders": {"limit": 3, "state": "success", "name": "an order", "created_on": None},
        "cancel_order": {"order_id": world.order_id},
        "cancel_orders": {"order_ids": [world.order_id]},
        "get_order_stats": {},
        "test_connection": {},
        "store_secret": {"path": str(world.folder / "secret.json")},
    }
    return {
        f"hook.{name}": (_hook(name), {**given, "planet_conn_id": "planet_default"})
        for name, given in values.items()
    }


def _task(kind: Any) -> Callable[..., Any]:
    def call(**values: Any) -> Any:
        task = kind(task_id="task", **values)
        context: Any = {"ti": FakeTaskInstance(), "ds": "2024-05-01", "outlet_events": OutletEventAccessors()}
        try:
            task.render_template_fields(context)
            try:
                result = task.execute(context)
            except TaskDeferred as deferral:
                event = waited_for(deferral.trigger)
                if event is None:
                    return None
                result = task.resume_execution(deferral.method_name, {"event": event}, context)
        except ENDS:
            return None
        json.dumps(result, ensure_ascii=False).encode()  # an XCom is JSON
        return result

    return call


def task_calls(world: World) -> dict[str, Call]:
    """Return the operators and sensors."""
    search = {"item_types": ["PSScene"], "search_filter": ORDERABLE, "geometry": AOI}
    window = {"acquired_start": "2020-01-01T00:00:00Z", "acquired_end": "2030-01-01T00:00:00Z"}
    folder = str(world.folder / "order")
    wait = {"poke_interval": 0.05, "timeout": 0.3, "deferrable": False}
    product = world.request["products"][0]
    batch = {"item_type": "PSScene", "item_ids": [world.item_id]}
    named = {"name": "a task's order", "list_consistency_timeout": 0.2, **wait}
    order = {**named, "product_bundle": "visual"}
    shaped = {
        "tools": [{"clip": {"aoi": AOI}}, {"file_format": {"format": "COG"}}],
        "delivery": {"archive_type": "zip", "archive_filename": "{{name}}.zip", "single_archive": True},
        "notifications": {"email": False, "webhook": {"url": "https://example.org/hook", "per_order": True}},
        "stac": True,
        "order_type": "partial",
    }
    guarded = {
        "max_items": 5,
        "max_area_km2": 1e6,
        "reuse": "run",
        "wait_for_completion": True,
        "allow_partial": True,
        "reuse_max_age": None,
    }
    values: list[tuple[str, Any, dict[str, Any]]] = [
        ("search", PlanetSearchOperator, {**search, **window, "limit": 3, "batch_size": 2, "sort": None}),
        ("run_search", PlanetSearchOperator, {"search_id": world.search_id, "limit": 3, "xcom_max_items": 5}),
        ("stats", PlanetSearchStatsOperator, {**search, **window, "interval": "month"}),
        (
            "upsert",
            PlanetUpsertSearchOperator,
            {"name": "a task's", **search, **window, "enable_email": False},
        ),
        ("activate", PlanetActivateAssetOperator, world.asset),
        (
            "download_asset",
            PlanetDownloadAssetOperator,
            {**world.asset, "destination": str(world.folder), "overwrite": True},
        ),
        (
            "download_order",
            PlanetDownloadOrderOperator,
            {
                "order_id": world.order_id,
                "destination": folder,
                "checksum": "sha256",
                "max_concurrency": 2,
                "overwrite": True,
                "include": None,
                "exclude": ["*.xml"],
                "unpack": False,
            },
        ),
        (
            "checksum",
            PlanetValidateChecksumOperator,
            {
                "path": f"{folder}/{world.order_id}",
                "expected": None,
                "checksum": "sha256",
                "max_concurrency": 2,
                "on_mismatch": "redownload",
                "on_unexpected": "warn",
            },
        ),
        ("cancel", PlanetCancelOrderOperator, {"order_ids": [world.order_id], "require_all": True}),
        ("order_sensor", PlanetOrderSensor, {"order_id": world.order_id, "state": None, **wait}),
        ("asset_sensor", PlanetAssetSensor, {**world.asset, **wait}),
        ("deferred_sensor", PlanetOrderSensor, {"order_id": world.order_id, **wait, "deferrable": True}),
        ("order", PlanetCreateOrderOperator, {**order, "items": batch, **shaped}),
        ("order_products", PlanetCreateOrderOperator, {**named, "products": [product]}),
        ("order_and_wait", PlanetCreateOrderOperator, {**order, "items": batch, **guarded}),
    ]
    return {
        f"task.{name}": (_task(kind), {**given, "planet_conn_id": "planet_default"})
        for name, kind, given in values
    }


def _resumed(kind: Any, method: str, **given: Any) -> Callable[..., Any]:
    def call(event: Any = None) -> Any:
        task = kind(task_id="task", deferrable=True, timeout=0.3, **given)
        context: Any = {"ti": FakeTaskInstance(), "outlet_events": OutletEventAccessors()}
        try:
            return task.resume_execution(method, {"event": event}, context)
        except (*ENDS, TaskDeferred):
            return None

    return call


def event_calls(world: World) -> dict[str, Call]:
    """Return what goes on after a deferred wait, with the trigger's event."""
    moment = "2024-01-01T00:00:00Z"
    order = {"order_id": world.order_id, "name": "an order", "state": "success", "last_message": ""}
    order |= {"created_on": moment, "last_modified": moment, "error_hints": [], "items": 1, "results": None}
    batch = {"item_type": "PSScene", "item_ids": [world.item_id]}
    place = {"name": "resumed", "items": batch, "product_bundle": "visual", "list_consistency_timeout": 0.2}
    asset = {**world.asset, "status": "active", "md5_digest": None}
    values: list[tuple[str, Any, dict[str, Any]]] = [
        (
            "order_sensor",
            _resumed(PlanetOrderSensor, "execute_complete", order_id=world.order_id),
            {"order": order},
        ),
        ("asset_sensor", _resumed(PlanetAssetSensor, "execute_complete", **world.asset), {"asset": asset}),
        ("order", _resumed(PlanetCreateOrderOperator, "execute_complete", **place), {"order": order}),
        (
            "place",
            _resumed(PlanetCreateOrderOperator, "execute_after_capacity", **place),
            {"capacity": {"deadline": 4e9}},
        ),
    ]
    return {f"event.{name}": (call, {"event": {"status": "done", **found}}) for name, call, found in values}


def _trigger(kind: Any) -> Callable[..., Any]:
    def call(**values: Any) -> Any:
        trigger = kind(**values)
        trigger.serialize()
        return waited_for(trigger)

    return call


def trigger_calls(world: World) -> dict[str, Call]:
    """Return the triggers; their events are plain JSON."""
    wait = {"planet_conn_id": "planet_default", "poke_interval": 0.05}
    search = {"item_types": ["PSScene"], "search_filter": ORDERABLE, "geometry": AOI}
    return {
        "trigger.order": (_trigger(PlanetOrderTrigger), {"order_id": world.order_id, **wait}),
        "trigger.asset": (_trigger(PlanetAssetTrigger), {**world.asset, **wait}),
        "trigger.capacity": (
            _trigger(PlanetOrderCapacityTrigger),
            {**wait, "deadline": 4e9, "not_before": None},
        ),
        "trigger.imagery": (
            _trigger(PlanetImageryTrigger),
            {**search, **wait, "published_since": "2020-01-01T00:00:00Z", "max_items": 5},
        ),
    }


def builder_calls(world: World) -> dict[str, Call]:
    """Return what builds filters, areas and orders; it asks for nothing."""
    one = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"gte": 0}}
    window = {"gte": "2024-01-01T00:00:00Z", "lt": "2024-02-01T00:00:00Z", "gt": None, "lte": None}
    cloud = {"bucket": "bucket", "path_prefix": "fields"}
    request = world.request
    order = {**request, "order_type": "partial", "metadata": {"stac": {}}, "subscription_id": 7}
    values: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (filters.and_filter, {"*": [one]}),
        (filters.or_filter, {"*": [one, one]}),
        (filters.not_filter, {"negated": one}),
        (filters.search_filter, {"value": {"type": "AndFilter", "config": [one, ANY]}}),
        (filters.date_range_filter, {"field_name": "acquired", **window}),
        (filters.range_filter, {"field_name": "gsd", "gt": None, "gte": 1, "lt": 2.5, "lte": None}),
        (filters.update_filter, {"field_name": "ground_control", "gt": window["gte"], "gte": None}),
        (filters.geometry_filter, {"geometry": AOI, "relation": "contains", "max_vertices": 500}),
        (filters.number_in_filter, {"field_name": "gsd", "values": [3, 3.5]}),
        (filters.string_in_filter, {"field_name": "instrument", "values": ["PSB.SD"]}),
        (filters.asset_filter, {"asset_types": ["ortho_visual"]}),
        (
            filters.criteria,
            {
                "search_filter": ORDERABLE,
                "geometry": AOI,
                "acquired_start": window["gte"],
                "acquired_end": window["lt"],
                "published_start": window["gte"],
                "published_end": None,
                "relation": "within",
                "max_vertices": 500,
            },
        ),
        (geometry.geometry, {"value": {"type": "Feature", "geometry": AOI, "properties": {}}}),
        (geometry.search_geometry, {"value": AOI, "max_vertices": 500}),
        (tools.clip, {"aoi": AOI, "max_vertices": 500}),
        (tools.composite, {"group_by": "order"}),
        (tools.coregister, {"anchor_item": world.item_id}),
        (tools.file_format, {"file_format": "COG"}),
        (tools.reproject, {"projection": "EPSG:4326", "resolution": 3.0, "kernel": "near"}),
        (
            tools.tile,
            {
                "tile_size": 1000,
                "origin_x": 1.5,
                "origin_y": None,
                "pixel_size": 3,
                "name_template": "{tilex}_{tiley}.tif",
                "conformal_x_scaling": True,
            },
        ),
        (tools.toar, {"scale_factor": 20_000}),
        (tools.harmonize, {"target_sensor": "Sentinel-2"}),
        (tools.bandmath, {"*": ["b1", "b2 / b1"], "pixel_type": "32R"}),
        (tools.normalized, {"tool": {"clip": {"aoi": AOI}}, "field": "tools[0]"}),
        (delivery.delivery, {"*": [{"archive_type": "zip"}]}),
        (delivery.zip_archive, {"single_archive": True, "archive_filename": "{{name}}.zip"}),
        (
            delivery.amazon_s3,
            {**cloud, "aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region": "us-west-2"},
        ),
        (
            delivery.azure_blob_storage,
            {"account": "a", "container": "c", "sas_token": "t", "storage_endpoint_suffix": None},
        ),
        (delivery.google_cloud_storage, {**cloud, "credentials": "e30="}),
        (delivery.google_earth_engine, {"project": "p", "collection": "c"}),
        (
            delivery.oracle_cloud_storage,
            {
                **cloud,
                "customer_access_key_id": "a",
                "customer_secret_key": "b",
                "region": "r",
                "namespace": "n",
            },
        ),
        (
            delivery.s3_compatible,
            {
                **cloud,
                "endpoint": "https://s3.example.org",
                "region": "r",
                "access_key_id": "a",
                "secret_access_key": "b",
                "use_path_style": True,
            },
        ),
        (delivery.destination, {"ref": "pl:destinations/x", "path_prefix": "fields"}),
        (
            delivery.check_delivery,
            {"given": {"google_cloud_storage": {**cloud, "credentials": "e30="}}},
        ),
        (
            order_options.notifications,
            {"email": True, "webhook_url": "https://example.org/", "webhook_per_order": True},
        ),
        (order_options.sentinel_hub, {"collection_id": "0" * 32, "create_configuration": False}),
        (
            order_request.product,
            {
                "item_ids": [world.item_id],
                "item_type": "PSScene",
                "product_bundle": "visual",
                "fallback_bundles": ["analytic_udm2"],
                "max_items": 500,
            },
        ),
        (order_request.validate, {"request": order, "max_items": 500, "max_vertices": 500}),
        (
            order_request.build,
            {
                **request,
                "delivery": {"archive_type": "zip"},
                "notifications": {"email": True},
                "order_type": "partial",
                "stac": True,
                "hosting": "sentinel_hub",
                "subscription_id": 7,
            },
        ),
    ]
    return {
        f"{call.__module__.rpartition('.')[2]}.{call.__name__}": (_spread(call, given), given)
        for call, given in values
    }


def _spread(call: Callable[..., Any], valid: Mapping[str, Any]) -> Callable[..., Any]:
    if "*" not in valid:
        return call

    def spread(**values: Any) -> Any:
        given = values.pop("*", ())
        return call(*(given if isinstance(given, list) else [given]), **values)

    return spread


def waited_for(trigger: Any) -> dict[str, Any] | None:
    """Run a trigger for a moment.

    :return: Its event, or None if it goes on waiting.
    """
    escaped: list[dict[str, Any]] = []

    async def wait() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
        events = trigger.run()
        try:
            return (await asyncio.wait_for(anext(events), WAIT_SECONDS)).payload
        except asyncio.TimeoutError:
            return None
        finally:
            await events.aclose()

    event = asyncio.run(wait())
    assert not escaped, f"escaped from a background task: {escaped}"
    stored = json.loads(json.dumps(event, ensure_ascii=False).encode())
    assert stored == event, "an event is plain JSON"
    return event  # type: ignore[no-any-return]


def outcome(world: World, call: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Make a call; what it returns is used up.

    :return: A value, or an error of the tree.
    :raises AssertionError: It hangs.
    """
    ended: list[Any] = []

    def run() -> None:
        try:
            result = call(**values)
            ended.append(list(islice(result, 20)) if isinstance(result, Iterator) else result)
        except PlanetError as error:
            ended.append(error)
        except BaseException as error:
            ended.append(_Escaped(error))

    thread = threading.Thread(target=run, daemon=True)
    with connected(world):
        thread.start()
        thread.join(HANGS_AFTER)
        assert ended, f"hangs for more than {HANGS_AFTER:g} s"
    if isinstance(ended[0], _Escaped):
        raise ended[0].error
    return ended[0]


@dataclass
class _Escaped:
    error: BaseException


_NOTHING: Any = None
_GROUPS = {
    "hook": hook_calls,
    "task": task_calls,
    "event": event_calls,
    "trigger": trigger_calls,
    "builder": builder_calls,
}
_VALID = {
    group: {name: valid for name, (_, valid) in calls(World(_NOTHING, Path(), "x", "x", "x")).items()}
    for group, calls in _GROUPS.items()
}
#: Triggers whose arguments operators and sensors have checked.
_OF_OPERATORS = frozenset({"trigger.order", "trigger.asset", "trigger.capacity"})
#: Calls by group, and each with each of its parameters.
NAMES = {group: list(valid) for group, valid in _VALID.items()}
PARAMETERS = {
    group: [
        (name, parameter) for name, given in valid.items() if name not in _OF_OPERATORS for parameter in given
    ]
    for group, valid in _VALID.items()
}


def call_of(world: World, group: str, name: str) -> Call:
    """Return a call and its valid arguments."""
    return _GROUPS[group](world)[name]
