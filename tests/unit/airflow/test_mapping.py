"""Operators and sensors in DAGs: mapped, templated, serialized."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath
from airflow_support import AOI, FakeTaskInstance, push

from planet_provider.builders import delivery as order_delivery
from planet_provider.builders import filters, tools
from planet_provider.hooks.templates import FLAG_FIELDS
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.checksum import PlanetValidateChecksumOperator
from planet_provider.operators.orders import (
    PlanetCancelOrderOperator,
    PlanetCreateOrderOperator,
    PlanetDownloadOrderOperator,
)
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sensors.assets import PlanetAssetSensor
from planet_provider.sensors.orders import PlanetOrderSensor

try:
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before Airflow 3.2
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

ORDER_ID = "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"
ASSET = {"item_type": "PSScene", "item_id": "1", "asset_type": "ortho_visual"}

#: For each class what it is made with, and one parameter to map over.
CLASSES: dict[Any, tuple[dict[str, Any], str]] = {
    PlanetSearchOperator: (
        {
            "item_types": ["PSScene"],
            "search_filter": filters.std_quality_filter(),
            "geometry": AOI,
            "acquired_start": "{{ data_interval_start }}",
            "acquired_end": datetime(2024, 1, 1, tzinfo=timezone.utc),
            "output_path": "s3://store@bucket/found.geojson",
        },
        "geometry",
    ),
    PlanetCreateOrderOperator: (
        {
            "name": "day {{ ds }}",
            "items": {"item_type": "PSScene", "item_ids": ["1"]},
            "product_bundle": "visual",
            "tools": [tools.clip(AOI)],
            "delivery": order_delivery.zip_archive(),
            "reuse_max_age": timedelta(days=2),
        },
        "items",
    ),
    PlanetCancelOrderOperator: ({"order_ids": [ORDER_ID]}, "order_ids"),
    PlanetDownloadOrderOperator: (
        {"order_id": ORDER_ID, "destination": "/data", "include": ["*.tif"]},
        "order_id",
    ),
    PlanetActivateAssetOperator: (ASSET, "item_id"),
    PlanetDownloadAssetOperator: ({**ASSET, "destination": "/data"}, "item_id"),
    PlanetValidateChecksumOperator: ({"path": "/data", "expected": "0" * 32, "checksum": "md5"}, "path"),
    PlanetOrderSensor: (
        {"order_id": ORDER_ID, "deferrable": True, "timeout": timedelta(hours=1)},
        "order_id",
    ),
    PlanetAssetSensor: ({**ASSET, "poke_interval": timedelta(seconds=20)}, "item_id"),
}
EACH = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


@pytest.fixture
def dag() -> DAG:
    return DAG("dag", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=timezone.utc))


def round_trip(dag: DAG) -> Any:
    """Return the DAG as the scheduler has it."""
    stored = DagSerialization.to_dict(dag)
    return DagSerialization.from_dict(json.loads(json.dumps(stored)))


@EACH
def test_templated_fields_are_attributes(kind: Any) -> None:
    parameters, _ = CLASSES[kind]
    task = kind(task_id="x", **parameters)
    assert len(set(kind.template_fields)) == len(kind.template_fields)
    for name in kind.template_fields:
        assert hasattr(task, name)
    assert "planet_conn_id" in kind.template_fields


@EACH
def test_every_string_is_rendered(kind: Any) -> None:
    parameters, _ = CLASSES[kind]
    texts = [
        name
        for name in kind.template_fields
        if isinstance(parameters.get(name, ""), str) and name not in FLAG_FIELDS
    ]
    assert texts
    task = kind(task_id="x", **parameters | dict.fromkeys(texts, "a {{ ds }}"))
    task.render_template_fields({"ds": "2024-05-01", "data_interval_start": "then"})
    assert {getattr(task, name) for name in texts} == {"a 2024-05-01"}


def test_nested_strings_are_rendered_and_planets_placeholders_are_not() -> None:
    task = PlanetCreateOrderOperator(
        task_id="x",
        name="x",
        items={"item_type": "PSScene", "item_ids": ["{{ ds }}"]},
        delivery=order_delivery.zip_archive(archive_filename="{{ ds }}_{{name}}_{{ order_id }}.zip"),
    )
    task.render_template_fields({"ds": "2024-05-01"})
    assert task.items["item_ids"] == ["2024-05-01"]
    assert task.delivery["archive_filename"] == "2024-05-01_{{name}}_{{ order_id }}.zip"


@EACH
def test_a_dag_with_it_is_serialized(kind: Any, dag: DAG) -> None:
    parameters, _ = CLASSES[kind]
    with dag:
        kind(task_id="x", **parameters)
    task = round_trip(dag).get_task("x")
    assert task.task_type == kind.__name__
    assert tuple(task.template_fields) == tuple(kind.template_fields)


@EACH
def test_it_can_be_mapped(kind: Any, dag: DAG) -> None:
    parameters, mapped_over = CLASSES[kind]
    rest = {name: value for name, value in parameters.items() if name != mapped_over}
    values = [parameters[mapped_over], parameters[mapped_over]]
    with dag:
        mapped = kind.partial(task_id="x", **rest).expand(**{mapped_over: values})
    again = round_trip(dag).get_task("x")
    assert again.is_mapped
    assert again.task_type == kind.__name__
    unmapped = mapped.unmap({mapped_over: values[0]})
    plain = kind(task_id="y", **parameters)
    for name in kind.template_fields:
        assert getattr(unmapped, name) == getattr(plain, name)
    assert unmapped.multiple_outputs == plain.multiple_outputs


def test_results_are_made_to_be_mapped_over(dag: DAG) -> None:
    with dag:
        search = PlanetSearchOperator(task_id="search", item_types=["PSScene"])
        order = PlanetCreateOrderOperator.partial(task_id="order", name="x", product_bundle="visual").expand(
            items=search.output
        )
        wait = PlanetOrderSensor.partial(task_id="wait").expand(order_id=order.output)
        download = PlanetDownloadOrderOperator.partial(task_id="download", destination="/data").expand(
            order_id=order.output
        )
        PlanetValidateChecksumOperator.partial(task_id="validate").expand(
            path=download.output.map(lambda delivery: delivery["directory"])
        )
        one = PlanetDownloadOrderOperator(task_id="one", order_id=ORDER_ID, destination="/data")
        PlanetValidateChecksumOperator(task_id="again", path=one.output["directory"])
        wait >> download
    again = round_trip(dag)
    assert again.get_task("order").upstream_task_ids == {"search"}
    assert again.get_task("validate").upstream_task_ids == {"download"}
    assert again.get_task("again").upstream_task_ids == {"one"}


def test_defaults_of_a_dag_apply(dag: DAG) -> None:
    dag.default_args.update(planet_conn_id="other", retries=3)
    with dag:
        for kind, (parameters, _) in CLASSES.items():
            task = kind(task_id=kind.__name__, **parameters)
            assert task.retries == 3
            assert getattr(task, "planet_conn_id", "other") == "other"


@EACH
def test_dicts_are_pushed_key_by_key(kind: Any) -> None:
    parameters, _ = CLASSES[kind]
    task = kind(task_id="x", **parameters)
    # A search returns a list, an order its id; a download pushes its own, for "files" is a list there.
    own = {PlanetSearchOperator, PlanetCreateOrderOperator, PlanetDownloadOrderOperator}
    assert task.multiple_outputs is (kind not in own)
    ti = FakeTaskInstance()
    push(task, {"a": 1}, ti)
    assert ("a" in ti.xcoms) is task.multiple_outputs
    if kind not in own:
        assert not kind(task_id="y", multiple_outputs=False, **parameters).multiple_outputs


def test_an_object_storage_path_is_a_destination_in_a_dag(dag: DAG) -> None:
    with dag:
        PlanetDownloadOrderOperator(
            task_id="x", order_id=ORDER_ID, destination=ObjectStoragePath("s3://store@bucket/orders")
        )
    assert "s3://store@bucket/orders" in json.dumps(DagSerialization.to_dict(dag))
