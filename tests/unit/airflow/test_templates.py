"""Templates: the same request, or the same refusal, in both of Airflow's rendering modes."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

import lazy_object_proxy
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.sdk import DAG, task_group
from airflow_support import AOI, FakeTaskInstance

from planet_provider.builders import (
    checks,
    delivery,
    filters,
    order_options,
    order_request,
    tools,
)
from planet_provider.exceptions import InvalidInputError, PlanetError, TriggerEventError
from planet_provider.hooks.templates import FLAG_FIELDS, TEXT_FIELDS, TemplatedTask
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
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)

#: Fields whose literal text is a path, and checked when the DAG is parsed.
PATHS = {"destination", "output_path", "path"}

#: What a template may give: a parameter, the same as JSON text, and as Python prints it.
FORMS = ("{{ params.x }}", "{{ params.x | tojson }}", "{{ params.x | string }}")


def rendered(kind: Any, parameters: dict[str, Any], *, native: bool, **context: Any) -> Any:
    dag = DAG("dag", schedule=None, start_date=START, render_template_as_native_obj=native)
    task = kind(task_id="x", dag=dag, **parameters)
    task.render_template_fields({"ti": FakeTaskInstance(), "dag": dag, **context})
    return task


def outcome(planet: Sandbox, kind: Any, parameters: dict[str, Any], *, native: bool, value: Any) -> Any:
    """Return the first request that a task sends, or how it is refused."""
    before = len(planet.requests)
    ti = FakeTaskInstance()
    context = {"ti": ti, "params": {"x": value}}
    try:
        rendered(kind, parameters, native=native, **context).execute(context)
    except InvalidInputError as error:
        return error.field, str(error), isinstance(error, AirflowFailException), len(planet.requests) - before
    except (PlanetError, TaskDeferred):
        pass  # the sandbox has no such order or asset: what was asked for counts
    if "order" in ti.xcoms:
        return ti.xcoms["order"]["digest"]
    return [(one.method, one.path, one.query, one.body) for one in planet.requests[before:]][:1]


def test_every_class_and_field_is_tried() -> None:
    def below(kind: type) -> set[type]:
        return {one for sub in kind.__subclasses__() for one in {sub, *below(sub)}}

    public = {kind for kind in below(TemplatedTask) if kind.__module__.startswith("planet_provider.")}
    abstract = {"PlanetOperator", "PlanetTransferOperator", "PlanetSensor", "_AssetOperator"}
    assert {kind.__name__ for kind in public} - abstract == {kind.__name__ for kind in KINDS}


@EACH
def test_text_is_never_evaluated(kind: Any) -> None:
    """Neither what a DAG says nor what a parameter gives, at the top or nested."""
    fields = [field for field in kind.template_fields if field not in FLAG_FIELDS]
    for native in (False, True):
        for value in (ITEM_ID, "2026-11-30", "1e5", "True", "None", "0x1F"):
            nested = {"field": [value, "{{ params.x }}"]}
            for given, expected, tried in (
                (value, value, [field for field in fields if field not in PATHS]),
                ("{{ params.x }}", value, fields),
                (nested, {"field": [value] * 2}, fields),
            ):
                parameters = {**KINDS[kind], **dict.fromkeys(tried, given)}
                task = rendered(kind, parameters, native=native, params={"x": value})
                assert {field: getattr(task, field) for field in tried} == dict.fromkeys(tried, expected)


@EACH
def test_other_values_stay_what_they_are(kind: Any) -> None:
    """In fields that are text for Planet they become text."""
    fields = [field for field in kind.template_fields if field not in FLAG_FIELDS]
    for native in (False, True):
        for value in ("", 20261130, 0.5, True, [], {}, ["PSScene"], START, AOI):
            parameters = {**KINDS[kind], **dict.fromkeys(fields, "{{ params.x }}")}
            task = rendered(kind, parameters, native=native, params={"x": value})
            for field in fields:
                assert getattr(task, field) == (str(value) if field in TEXT_FIELDS else value)


@EACH
@pytest.mark.parametrize(
    ("given", "context"),
    [
        ("{{ none }}", {}),
        ("{{ params.x }}", {"params": {"x": None}}),
        (" {{ lazy }}\n", {"lazy": lazy_object_proxy.Proxy(lambda: None)}),
    ],
)
def test_what_came_out_as_none_is_refused_by_name(kind: Any, given: str, context: dict[str, Any]) -> None:
    for field in kind.template_fields:
        for native in (False, True):
            with pytest.raises(InvalidInputError, match="is None now that the task runs") as caught:
                rendered(kind, {**KINDS[kind], field: given}, native=native, **context)
            assert caught.value.field == field
            assert isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    ("kind", "field", "given"),
    [
        (PlanetDownloadOrderOperator, "destination", "/data/{{ none }}"),
        (PlanetSearchOperator, "output_path", "/data/{{ params.x }}.ndjson"),
        (PlanetCreateOrderOperator, "name", "fields {{ lazy }}"),
        (PlanetSearchOperator, "search_filter", {"type": "{{ ds }} {{ params.x }}"}),
        (PlanetAssetSensor, "item_id", "{{ params.x }}{{ ds }}"),
    ],
)
def test_text_with_a_part_that_is_none_is_refused_by_name(
    kind: Any, field: str, given: Any, native: bool
) -> None:
    context = {"params": {"x": None}, "ds": "2024-05-01", "lazy": lazy_object_proxy.Proxy(lambda: None)}
    with pytest.raises(InvalidInputError, match="has a part that is None") as caught:
        rendered(kind, {**KINDS[kind], field: given}, native=native, **context)
    assert caught.value.field == field
    for default in ("{{ params.x or '' }}", "{% if params.x %}{{ params.x }}{% endif %}"):
        task = rendered(kind, {**KINDS[kind], "planet_conn_id": f"a{default}"}, native=native, **context)
        assert task.planet_conn_id == "a"


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_a_task_that_returned_nothing_is_no_missing_parameter(mapped: bool, native: bool) -> None:
    with DAG("dag", schedule=None, start_date=START, render_template_as_native_obj=native) as dag:
        area = PlanetSearchOperator(task_id="area", **SEARCH).output
        if mapped:
            PlanetSearchOperator.partial(task_id="x", geometry=area).expand(item_types=["PSScene"])
        else:
            PlanetSearchOperator(task_id="x", geometry=area, **SEARCH)
    task: Any = dag.get_task("x")
    if mapped:
        task = task.unmap({"item_types": "PSScene"})
    context: dict[str, Any] = {"dag": dag, "ti": NothingReturned()}
    with pytest.raises(InvalidInputError, match=r"task_ids='area'.*is None now that the task runs") as caught:
        task.render_template_fields(context)
    assert caught.value.field == "geometry"
    assert "is built before" not in str(caught.value)


class NothingReturned(FakeTaskInstance):
    """A run in which no task before has pushed an XCom."""

    def xcom_pull(self, *, default: Any, **_: Any) -> Any:
        return default

    def get_relevant_upstream_map_indexes(self, **_: Any) -> None:
        return None


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
    for native, form in enumerate(FORMS[: None if isinstance(value, (list, dict)) else 1]):
        parameters = {**KINDS[kind], field: form}
        assert outcome(planet, kind, parameters, native=bool(native % 2), value=value) == direct, form


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize(
    "template",
    [
        "{{ data_interval_start }}",
        "{{ data_interval_start.subtract(days=3) | ts }}",
        "day {{ data_interval_start | ds }}",
        "{{ dag_run.data_interval_start }}",
    ],
)
def test_a_run_without_a_logical_date_fails_once_and_says_so(template: str, native: bool) -> None:
    class DagRun:
        data_interval_start = None

    with pytest.raises(InvalidInputError, match="A run without a logical date has no such time") as caught:
        rendered(
            PlanetSearchOperator, {**SEARCH, "acquired_start": template}, native=native, dag_run=DagRun()
        )
    assert caught.value.field == "acquired_start"
    assert isinstance(caught.value, AirflowFailException), "retries would meet the same run"


FLAGS = [(kind, field) for kind in KINDS for field in kind.template_fields if field in FLAG_FIELDS]


@pytest.mark.parametrize("flag", FLAGS, ids=[f"{kind.__name__}-{field}" for kind, field in FLAGS])
def test_flags_are_read_from_text_or_refused(flag: tuple[Any, str]) -> None:
    kind, field = flag
    for native in (False, True):
        for value, expected in ((False, False), ("False", False), ("true", True), (" TRUE\n", True)):
            for given in (value, "{{ params.x }}"):
                task = rendered(kind, {**KINDS[kind], field: given}, native=native, params={"x": value})
                assert getattr(task, field) is expected
        for value in ("no", "", 0, 1, "1", [], {"a": 1}):
            with pytest.raises(InvalidInputError, match="must be true or false") as caught:
                rendered(kind, {**KINDS[kind], field: "{{ params.x }}"}, native=native, params={"x": value})
            assert caught.value.field == field


def test_flags_that_were_not_rendered_are_checked_too(planet: Sandbox) -> None:
    for kind, field in FLAGS:
        task = kind(task_id="x", **{**KINDS[kind], field: "no"})
        with pytest.raises(InvalidInputError, match=f"{field}='no'"):
            task.execute({"ti": FakeTaskInstance()})
    assert planet.requests == []


@pytest.mark.parametrize(
    ("kind", "parameters", "name"),
    [
        (
            PlanetSearchOperator,
            {"geometry": {"type": "Feature", "id": "field-7", "geometry": AOI}},
            "field-7",
        ),
        (PlanetSearchOperator, {"acquired_start": "2024-05-01T00:00:00Z"}, "2024-05-01T00:00:00Z"),
        (PlanetCreateOrderOperator, {"items": {**BATCH, "item_ids": ["a", "b", "c"]}}, "x: a and 2 more"),
        (PlanetCreateOrderOperator, {"items": {**BATCH, "item_ids": ["a" * 300]}}, f"x: {'a' * 247}"),
        (PlanetDownloadOrderOperator, {}, ORDER_ID),
        (PlanetOrderSensor, {}, ORDER_ID),
        (PlanetAssetSensor, {}, f"{ITEM_ID} ortho_visual"),
        (PlanetSearchOperator, {}, None),
    ],
)
def test_mapped_tasks_are_named(kind: Any, parameters: dict[str, Any], name: str | None) -> None:
    context: dict[str, Any] = {"map_index_template": None}
    dag = DAG("dag", schedule=None, start_date=START)
    task = kind(task_id="x", dag=dag, **{**KINDS[kind], **parameters})
    task.render_template_fields(context)
    template = context["map_index_template"]
    assert (
        None if template is None else dag.get_template_env().from_string(template).render(task=task)
    ) == name
    own = {"map_index_template": "{{ my_own }}"}
    task.render_template_fields(own)
    assert own["map_index_template"] == "{{ my_own }}"


def test_what_is_mapped_over_and_none_is_refused() -> None:
    with DAG("dag", schedule=None, start_date=START) as dag:
        mapped = PlanetSearchOperator.partial(task_id="x", item_types=["PSScene"], sort=None).expand(
            geometry=[AOI, None]
        )
    context: dict[str, Any] = {"dag": dag, "ti": FakeTaskInstance()}
    mapped.unmap({"geometry": AOI}).render_template_fields(context)
    with pytest.raises(InvalidInputError, match="geometry=None: is None now that the task runs"):
        mapped.unmap({"geometry": None}).render_template_fields(context)


SPELLINGS = (
    ORDER_ID.upper(),
    ORDER_ID.replace("-", ""),
    f"{{{ORDER_ID}}}",
    f"urn:uuid:{ORDER_ID}",
    uuid.UUID(ORDER_ID),
)


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
def test_an_order_s_id_is_the_same_in_each_spelling(planet: Sandbox, spelling: Any) -> None:
    for kind in (PlanetOrderSensor, PlanetDownloadOrderOperator):
        usual = outcome(planet, kind, KINDS[kind], native=False, value=None)
        assert usual[0][1].endswith(ORDER_ID)
        for given in (spelling, "{{ params.x }}"):
            parameters = {**KINDS[kind], "order_id": given}
            assert outcome(planet, kind, parameters, native=True, value=spelling) == usual
    sensor = PlanetOrderSensor(task_id="x", order_id=spelling)
    assert sensor.trigger(0.0).facts()["order_id"] == ORDER_ID
    with pytest.raises(TriggerEventError, match=f"another order than {ORDER_ID}"):
        sensor.result({"order_id": str(uuid.UUID(int=1)), "state": "success"})


@pytest.mark.parametrize(
    "build",
    [
        tools.clip,
        tools.coregister,
        tools.reproject,
        lambda area: order_request.product(area, "PSScene", "visual"),
        lambda area: order_request.build("x", items=area, product_bundle="visual"),
        filters.geometry_filter,
        filters.and_filter,
        filters.asset_filter,
        lambda area: filters.range_filter("cloud_cover", lte=area),
        lambda area: filters.date_range_filter("acquired", gte=area),
        lambda area: filters.criteria(None, area),
        delivery.destination,
        lambda area: order_options.notifications(email=area),
        checks.item_types,
        checks.order_id,
        checks.order_ids,
    ],
)
def test_what_is_known_only_at_run_time_is_named_so_by_builders(build: Any) -> None:
    with DAG("dag", schedule=None, start_date=START):
        output = PlanetSearchOperator(task_id="search", item_types=["PSScene"]).output

        @task_group
        def fields(area: Any) -> None:
            with pytest.raises(
                InvalidInputError, match=r"known only when the task runs.*build this in a task"
            ):
                build(area)
            PlanetCreateOrderOperator(task_id="x", tools=[{"clip": {"aoi": area}}], **ORDER)

        fields.expand(area=[AOI])
        with pytest.raises(InvalidInputError, match="known only when the task runs"):
            build(output)


def test_a_value_that_is_nested_too_deeply() -> None:
    deep: list[Any] = []
    for _ in range(600):
        deep = [deep]
    task = PlanetSearchOperator(task_id="x", item_types=deep)
    with pytest.raises(InvalidInputError, match=r"item_types=.*nested too deeply"):
        task.render_template_fields({})


def test_a_template_with_an_error_in_it() -> None:
    task = PlanetSearchOperator(task_id="x", item_types="{{")
    with pytest.raises(InvalidInputError, match=r"item_types='{{': is no template"):
        task.render_template_fields({})
