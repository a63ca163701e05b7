"""Templates: the same request, or the same refusal, in both of Airflow's rendering modes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import lazy_object_proxy
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import DAG
from airflow_support import AOI, FakeTaskInstance

from planet_provider.exceptions import InvalidInputError, PlanetError
from planet_provider.hooks.templates import FLAG_FIELDS, TemplatedTask
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.orders import (
    PlanetCancelOrderOperator,
    PlanetCreateOrderOperator,
    PlanetDownloadOrderOperator,
)
from planet_provider.operators.saved_search import PlanetUpsertSearchOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.operators.stats import PlanetSearchStatsOperator
from planet_provider.sandbox import Sandbox
from planet_provider.sensors.assets import PlanetAssetSensor
from planet_provider.sensors.orders import PlanetOrderSensor

#: To Python this is the number 20261130180142512430.
ITEM_ID = "20261130_180142_51_2430"
ORDER_ID = "12345678-1234-4234-8234-123456789012"
START = datetime(2024, 5, 1, tzinfo=timezone.utc)
CLOUDS = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lte": 0.2}}
BATCH = {"item_type": "PSScene", "item_ids": [ITEM_ID]}
ASSET: dict[str, Any] = {"item_type": "PSScene", "item_id": ITEM_ID, "asset_type": "ortho_visual"}
SEARCH: dict[str, Any] = {"item_types": ["PSScene"]}
ORDER: dict[str, Any] = {"name": "x", "items": BATCH, "product_bundle": "visual"}
DOWNLOAD: dict[str, Any] = {"order_id": ORDER_ID, "destination": "/nowhere"}
UPSERT: dict[str, Any] = {"name": "x", **SEARCH}

#: Every class with what it needs.
KINDS: dict[Any, dict[str, Any]] = {
    PlanetSearchOperator: SEARCH,
    PlanetSearchStatsOperator: SEARCH,
    PlanetUpsertSearchOperator: UPSERT,
    PlanetCreateOrderOperator: ORDER,
    PlanetCancelOrderOperator: {"order_ids": [ORDER_ID]},
    PlanetDownloadOrderOperator: DOWNLOAD,
    PlanetActivateAssetOperator: ASSET,
    PlanetDownloadAssetOperator: {**ASSET, "destination": "/nowhere"},
    PlanetValidateChecksumOperator: {"path": "/nowhere"},
    PlanetOrderSensor: {"order_id": ORDER_ID},
    PlanetAssetSensor: ASSET,
}
FIELDS = [(kind, field) for kind in KINDS for field in kind.template_fields]


def each_field(*, but: frozenset[str] = frozenset()) -> pytest.MarkDecorator:
    fields = [pytest.param(*one, id=f"{one[0].__name__}-{one[1]}") for one in FIELDS if one[1] not in but]
    return pytest.mark.parametrize(("kind", "field"), fields)


#: What a template may give: a parameter, the same as JSON text, and as Python prints it.
FORMS = (
    "{{ params.x }}",
    "{{ params.x | tojson }}",
    "{% set y = params.x %} {{ y }}",
    "{{ params.x | string }}",
)


def rendered(kind: Any, parameters: dict[str, Any], *, native: bool, **context: Any) -> Any:
    dag = DAG("dag", schedule=None, start_date=START, render_template_as_native_obj=native)
    task = kind(task_id="x", dag=dag, **parameters)
    task.render_template_fields({"ti": FakeTaskInstance(), "dag": dag, **context})
    return task


def outcome(planet: Sandbox, kind: Any, parameters: dict[str, Any], *, native: bool, value: Any) -> Any:
    """Return the first request that a task sends, or how it is refused."""
    before = len(planet.requests)
    context = {"ti": FakeTaskInstance(), "params": {"x": value}}
    try:
        rendered(kind, parameters, native=native, **context).execute(context)
    except InvalidInputError as error:
        assert isinstance(error, AirflowFailException), "a retry won't mend it"
        assert len(planet.requests) == before, "refused before any request"
        return error.field, str(error)
    except (PlanetError, TaskDeferred):
        pass  # the sandbox has no such order or asset: what was asked for counts
    return [(one.method, one.path, one.query, one.body) for one in planet.requests[before:]][:1]


def test_every_class_and_field_is_tried() -> None:
    def below(kind: type) -> set[type]:
        return {one for sub in kind.__subclasses__() for one in {sub, *below(sub)}}

    public = {kind for kind in below(TemplatedTask) if kind.__module__.startswith("planet_provider.")}
    abstract = {"PlanetOperator", "PlanetTransferOperator", "PlanetSensor", "_AssetOperator"}
    assert {kind.__name__ for kind in public} - abstract == {kind.__name__ for kind in KINDS}


@each_field(but=FLAG_FIELDS)
@pytest.mark.parametrize("value", [ITEM_ID, "20261130", "2026-11-30", "1e5", "True", "None", "0x1F"])
def test_text_is_never_evaluated(kind: Any, field: str, value: str) -> None:
    """Neither what a DAG says nor what a parameter gives, at the top or nested."""
    nested = {"field": [value, "{{ params.x }}"]}
    for native in (False, True):
        for given in (value, "{{ params.x }}"):
            task = rendered(kind, {**KINDS[kind], field: given}, native=native, params={"x": value})
            assert getattr(task, field) == value
        task = rendered(kind, {**KINDS[kind], field: nested}, native=native, params={"x": value})
        assert getattr(task, field) == {"field": [value, value]}


@each_field()
@pytest.mark.parametrize(
    ("given", "context"),
    [
        ("{{ none }}", {}),
        ("{{ params.x }}", {"params": {"x": None}}),
        (
            " {{ prev_data_interval_end_success }}\n",
            {"prev_data_interval_end_success": lazy_object_proxy.Proxy(lambda: None)},
        ),
    ],
)
def test_what_came_out_as_none_is_refused_by_name(
    kind: Any, field: str, given: str, context: dict[str, Any]
) -> None:
    for native in (False, True):
        with pytest.raises(InvalidInputError, match="is None now that the task runs") as caught:
            rendered(kind, {**KINDS[kind], field: given}, native=native, **context)
        assert caught.value.field == field
        assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (PlanetSearchOperator, "item_types", ["PSScene", "SkySatCollect"]),
        (PlanetSearchOperator, "search_filter", CLOUDS),
        (PlanetSearchOperator, "geometry", AOI),
        (PlanetSearchStatsOperator, "search_filter", CLOUDS),
        (PlanetUpsertSearchOperator, "geometry", AOI),
        (PlanetCreateOrderOperator, "items", BATCH),
        (PlanetCreateOrderOperator, "fallback_bundles", ["analytic", "analytic_udm2"]),
        (PlanetCreateOrderOperator, "tools", [{"clip": {"aoi": AOI}}, {"toar": {"scale_factor": 5}}]),
        (PlanetCreateOrderOperator, "tools", []),
        (PlanetCreateOrderOperator, "tools", ""),
        (PlanetCreateOrderOperator, "delivery", {"archive_type": "zip", "single_archive": True}),
        (PlanetCreateOrderOperator, "notifications", {"email": True}),
        (PlanetCreateOrderOperator, "hosting", {"sentinel_hub": {}}),
        (PlanetCreateOrderOperator, "stac", {"stac": {}}),
        (PlanetCreateOrderOperator, "stac", True),
        (PlanetCreateOrderOperator, "stac", False),
        (PlanetCreateOrderOperator, "stac", 5),
        (PlanetCancelOrderOperator, "order_ids", [ORDER_ID, ORDER_ID.upper()]),
        (PlanetCancelOrderOperator, "order_ids", [ORDER_ID, None]),
        (PlanetCancelOrderOperator, "order_ids", [None]),
        (PlanetDownloadOrderOperator, "include", ["*.tif", "[ab]*.xml"]),
    ],
)
def test_a_value_is_the_same_in_each_form_and_mode(
    planet: Sandbox, kind: Any, field: str, value: Any
) -> None:
    direct = outcome(planet, kind, {**KINDS[kind], field: value}, native=False, value=None)
    assert direct
    for form in FORMS[: 4 if isinstance(value, (list, dict)) else 1]:
        for native in (False, True):
            parameters = {**KINDS[kind], field: form}
            assert outcome(planet, kind, parameters, native=native, value=value) == direct, (form, native)


@each_field(but=frozenset({"planet_conn_id"}))
@pytest.mark.parametrize("value", ["", "20261130", 20261130, 0.5, True, [], {}, ["PSScene"], "[", "{}"])
def test_odd_values_do_the_same_in_both_modes(planet: Sandbox, kind: Any, field: str, value: Any) -> None:
    parameters = {**KINDS[kind], field: "{{ params.x }}"}
    text, native = (outcome(planet, kind, parameters, native=native, value=value) for native in (False, True))
    assert text == native
