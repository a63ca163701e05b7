from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow_support import FakeTaskInstance, Runner, Scenes

from planet_provider.operators import lineage
from planet_provider.operators.assets import PlanetActivateAssetOperator, PlanetDownloadAssetOperator
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.sandbox import Sandbox

try:
    from airflow.sdk import lineage as airflow_lineage
except ImportError:  # before Airflow 3.2
    from airflow.lineage import hook as airflow_lineage


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's collector, as it is where a reader of hook lineage is registered."""
    collector = airflow_lineage.HookLineageCollector()
    monkeypatch.setattr(lineage, "get_hook_lineage_collector", lambda: collector)
    return collector


def written(collector: Any) -> set[str]:
    return {info.asset.uri for info in collector.collected_assets.outputs}


@pytest.fixture
def create(scenes: Scenes) -> PlanetCreateOrderOperator:
    return PlanetCreateOrderOperator(task_id="order", name="x", items=scenes.items, product_bundle="visual")


@pytest.fixture
def order_id(planet: Sandbox, create: PlanetCreateOrderOperator) -> str:
    order_id: str = Runner().run(create)
    planet.clock.advance(3600)
    return order_id


def test_from_items_to_the_order(
    planet: Sandbox, runner: Runner, create: PlanetCreateOrderOperator, scenes: Scenes
) -> None:
    ti = FakeTaskInstance()
    assert create.get_openlineage_facets_on_complete(ti) is None
    order_id = runner.run(create, ti)
    found = create.get_openlineage_facets_on_complete(ti)
    assert found is not None
    assert [(one.namespace, one.name) for one in found.inputs] == [
        ("planet", f"PSScene/{item_id}") for item_id in scenes.item_ids
    ]
    assert [(one.namespace, one.name) for one in found.outputs] == [("planet", f"orders/{order_id}")]
    assert found.run_facets["externalQuery"].externalQueryId == order_id


def test_a_wait_that_was_deferred_still_knows_its_items(
    planet: Sandbox, runner: Runner, scenes: Scenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task() -> PlanetCreateOrderOperator:
        return PlanetCreateOrderOperator(
            task_id="order",
            name="x",
            items=scenes.items,
            product_bundle="visual",
            delivery={"amazon_s3": {"bucket": "imagery", "aws_region": "eu-west-1"}},
            delivery_conn_id="store",
            wait_for_completion=True,
            deferrable=True,
        )

    order = {"order_id": "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c", "state": "success"}
    order |= {"last_message": "", "error_hints": []}
    resumed = task()
    context = {"ti": FakeTaskInstance(), "outlet_events": runner.outlet_events}
    resumed.resume_execution("execute_complete", {"event": {"status": "done", "order": order}}, context)
    # In OpenLineage's listener no connection is read: the delivery's isn't even there.
    monkeypatch.setattr(PlanetCreateOrderOperator, "hook", property(lambda _: pytest.fail("it asked")))
    found = resumed.get_openlineage_facets_on_complete(FakeTaskInstance())
    assert found is not None
    assert [one.name for one in found.inputs] == [f"PSScene/{item_id}" for item_id in scenes.item_ids]
    assert [one.name for one in found.outputs] == [f"orders/{order['order_id']}"]


def test_from_the_order_to_files(
    planet: Sandbox, runner: Runner, order_id: str, tmp_path: Path, collector: Any
) -> None:
    ti = FakeTaskInstance()
    task = PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=str(tmp_path))
    assert task.get_openlineage_facets_on_complete(ti) is None
    runner.run(task, ti)
    found = task.get_openlineage_facets_on_complete(ti)
    assert found is not None
    assert [(one.namespace, one.name) for one in found.inputs] == [("planet", f"orders/{order_id}")]
    files = ti.xcoms["files"]
    assert {(one.namespace, one.name): one for one in found.outputs}.keys() == {
        ("file", file["path"]) for file in files
    }
    for file, output in zip(files, found.outputs, strict=True):
        assert output.outputFacets["outputStatistics"].size == file["bytes"]
        assert output.facets["version"].datasetVersion == file["sha256"]
    assert written(collector) == {f"file://{file['path']}" for file in files}


def test_many_files_are_named_by_their_folder(
    planet: Sandbox,
    runner: Runner,
    order_id: str,
    tmp_path: Path,
    collector: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lineage, "MAX_FILES", 2)
    ti = FakeTaskInstance()
    task = PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=str(tmp_path))
    runner.run(task, ti)
    found = task.get_openlineage_facets_on_complete(ti)
    assert found is not None
    (output,) = found.outputs
    assert (output.namespace, output.name) == ("file", str(tmp_path / order_id))
    statistics = output.outputFacets["outputStatistics"]
    assert (statistics.size, statistics.fileCount) == (ti.xcoms["bytes"], len(ti.xcoms["files"]))
    assert written(collector) == {f"file://{tmp_path / order_id}"}


def test_from_an_item_to_its_file_in_a_bucket(
    planet: Sandbox, runner: Runner, scenes: Scenes, s3: Any, collector: Any
) -> None:
    which = {"item_type": scenes.item_type, "item_id": scenes.item_ids[0], "asset_type": "ortho_visual"}
    runner.run(PlanetActivateAssetOperator(task_id="activate", **which))
    planet.clock.advance(3600)
    task = PlanetDownloadAssetOperator(task_id="download", destination="s3://store@bucket/a b", **which)
    file = runner.run(task)
    found = task.get_openlineage_facets_on_complete(FakeTaskInstance())
    assert found is not None
    (output,) = found.outputs
    key = file["path"].removeprefix("s3://store@bucket/")
    assert (output.namespace, output.name) == ("s3://bucket", key)
    assert [one.name for one in found.inputs] == [f"PSScene/{scenes.item_ids[0]}"]
    assert written(collector) == {f"s3://bucket/{quote(key)}"}


def test_keys_may_hold_what_ends_a_path_in_a_url(
    planet: Sandbox, runner: Runner, order_id: str, s3: Any, collector: Any
) -> None:
    ti = FakeTaskInstance()
    task = PlanetDownloadOrderOperator(
        task_id="download", order_id=order_id, destination="s3://store@bucket/field #3/50% a?b"
    )
    runner.run(task, ti)
    keys = {file["path"].removeprefix("s3://store@bucket/") for file in ti.xcoms["files"]}
    assert len(keys) > 1
    assert all(key.startswith("field #3/50% a?b/") for key in keys)
    found = task.get_openlineage_facets_on_complete(ti)
    assert found is not None
    assert {(one.namespace, one.name) for one in found.outputs} == {("s3://bucket", key) for key in keys}
    assert written(collector) == {f"s3://bucket/{quote(key)}" for key in keys}


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/data/a b.tif", "file:///data/a%20b.tif"),
        ("s3://store@bucket/a/b.tif", "s3://bucket/a/b.tif"),
        ("gs://bucket/b.tif", "gs://bucket/b.tif"),
        ("s3://store@bucket/a#1?b/50%.tif", "s3://bucket/a%231%3Fb/50%25.tif"),
        ("s3a://store@bucket/b.tif", "s3://bucket/b.tif"),
        ("gcs://bucket/b.tif", "gs://bucket/b.tif"),
        ("s3://bucket", "s3://bucket/"),
    ],
)
def test_a_uri_tells_no_connection(path: str, uri: str) -> None:
    assert lineage.public_uri(path) == uri
