"""The create operator's parameters: the account's bounds, what is templated, what must not be shown."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk._shared.secrets_masker import redact
from airflow_support import Connect, Runner, Scenes

from planet_provider.builders import tools
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.orders import PlanetCreateOrderOperator, PlanetDownloadOrderOperator
from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.bundles import choose


def create(**parameters: Any) -> PlanetCreateOrderOperator:
    return PlanetCreateOrderOperator(task_id="order", name="n", product_bundle="visual", **parameters)


def around(longitude: float, latitude: float, vertices: int) -> dict[str, Any]:
    """Return an area about a place with as many vertices, and the closing one."""
    top = [[longitude - 1 + 2 * index / vertices, latitude + 1] for index in range(vertices - 1)]
    return {"type": "Polygon", "coordinates": [[*top, [longitude, latitude - 1], top[0]]]}


@pytest.mark.planet_sandbox(max_order_items=600)
def test_as_many_items_as_the_connection_says(planet: Sandbox, connect: Connect, runner: Runner) -> None:
    scenes = [
        item.id
        for item in planet.catalogue
        if item.item_type == "PSScene" and choose(item, "visual") == "visual"
    ]
    items = {"item_type": "PSScene", "item_ids": scenes[:550]}
    assert len(items["item_ids"]) == 550
    with pytest.raises(InvalidInputError, match="550 items are more than the 500 an order may hold"):
        runner.run(create(items=items, max_items=1000))
    assert planet.requests == []
    connect(max_order_items=600)
    order_id = runner.run(create(items=items, max_items=1000))
    assert len(planet.orders[order_id]["products"][0]["item_ids"]) == 550


@pytest.mark.planet_sandbox(max_vertices=2001)
def test_as_many_vertices_as_the_connection_says(
    planet: Sandbox, connect: Connect, runner: Runner, scenes: Scenes
) -> None:
    item = next(item for item in planet.catalogue if item.id == scenes.item_ids[0])
    ring = item.feature(planet.url)["geometry"]["coordinates"][0]
    clip = tools.clip(around(*ring[0], 2000), max_vertices=5000)
    items = {"item_type": "PSScene", "item_ids": scenes.item_ids[:1]}
    with pytest.raises(InvalidInputError, match="2001: are more vertices than the 1500 Planet takes"):
        runner.run(create(items=items, tools=[clip]))
    assert planet.requests == []
    connect(max_vertices=2001)
    order_id = runner.run(create(items=items, tools=[clip]))
    assert planet.orders[order_id]["tools"] == [clip]


def test_a_webhook_s_address_is_masked(planet: Sandbox, runner: Runner, scenes: Scenes) -> None:
    url = "https://hooks.example.com/T0/secret-hook-of-this-test"
    task = create(items=scenes.items, notifications={"webhook": {"url": url}})
    assert "secret-hook-of-this-test" not in str(redact({"notifications": task.notifications}))
    order_id = runner.run(task)
    assert planet.orders[order_id]["notifications"]["webhook"]["url"] == url, "Planet gets it whole"


def test_a_webhook_s_address_from_a_template_is_masked(
    runner: Runner, planet: Sandbox, scenes: Scenes
) -> None:
    url = "https://hooks.example.com/{{ ds }}/another-hook-of-this-test"
    task = create(items=scenes.items, notifications={"webhook": {"url": url, "per_order": True}})
    runner.run(task)
    rendered = task.notifications["webhook"]["url"]
    assert "2024-05-01" in rendered
    assert redact(f"calling {rendered}") == "calling ***"


def test_all_that_may_differ_between_runs_is_templated(
    planet: Sandbox, runner: Runner, scenes: Scenes
) -> None:
    task = create(items=scenes.items, reuse="{{ 'content' }}", stac={"stac": {"note": "{{ ds }}"}})
    order_id = runner.run(task)
    assert planet.orders[order_id]["metadata"] == {"stac": {"note": "2024-05-01"}}
    assert task.reuse == "content"
    assert {"reuse", "stac"} <= set(PlanetCreateOrderOperator.template_fields)
    assert "checksum" in PlanetDownloadOrderOperator.template_fields


def test_the_digest_to_check_is_templated(
    planet: Sandbox, runner: Runner, scenes: Scenes, tmp_path: Any
) -> None:
    order_id = runner.run(create(items=scenes.items))
    download = PlanetDownloadOrderOperator(
        task_id="download", order_id=order_id, destination=str(tmp_path), checksum="{{ 'sha512' }}"
    )
    with pytest.raises(InvalidInputError, match="checksum='sha512'"):
        runner.run(download)


@pytest.mark.planet_sandbox(scene_pixels=16, queued_seconds=0, running_seconds=0)
def test_basemaps_are_ordered_once_and_downloaded(planet: Sandbox, runner: Runner, tmp_path: Any) -> None:
    mosaic, quads = "global_monthly_2024_05_mosaic", ["1050-1371", "1050-1370"]
    parameters = {
        "name": "n",
        "source_type": "basemaps",
        "products": [{"mosaic_name": mosaic, "quad_ids": quads}],
        "wait_for_completion": True,
        "deferrable": False,
    }
    order_id = runner.run(PlanetCreateOrderOperator(task_id="order", **parameters))
    parameters["products"] = [{"mosaic_name": mosaic, "quad_ids": quads[::-1]}]
    assert runner.run(PlanetCreateOrderOperator(task_id="again", **parameters)) == order_id
    assert list(planet.orders) == [order_id]
    found = runner.run(
        PlanetDownloadOrderOperator(task_id="download", order_id=order_id, destination=str(tmp_path))
    )
    assert {path.name for path in (tmp_path / order_id / mosaic).iterdir()} == {
        f"{one}_quad.tif" for one in quads
    }
    assert found["directory"] == str(tmp_path / order_id)


@pytest.mark.parametrize(
    ("name", "filename", "field"),
    [
        ("n" * 200, None, "name"),
        ("田" * 66, "{{name}}_{{order_id}}.zip", "name"),
        ("n", "a" * 240, "delivery"),
    ],
)
def test_an_archive_too_long_to_be_downloaded_is_refused_before_the_order(
    planet: Sandbox, runner: Runner, scenes: Scenes, name: str, filename: str | None, field: str
) -> None:
    delivery: dict[str, Any] = {"archive_type": "zip", "single_archive": True}
    if filename is not None:
        delivery["archive_filename"] = filename
    before = len(planet.requests)
    task = PlanetCreateOrderOperator(
        task_id="order", name=name, items=scenes.items, product_bundle="visual", delivery=delivery
    )
    with pytest.raises(InvalidInputError, match=rf"^{field}.*bytes shorter"):
        runner.run(task)
    request = {
        "name": name,
        "products": [scenes.items | {"product_bundle": "visual"}],
        "delivery": delivery,
    }
    with pytest.raises(InvalidInputError, match=rf"^{field}.*bytes shorter"):
        PlanetHook().create_order(request)
    assert len(planet.requests) == before
