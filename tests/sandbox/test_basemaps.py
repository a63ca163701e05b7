"""Orders of basemaps: as Planet's SDK and CLI place and fetch them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rasterio
from plain_http import Api
from planet import order_request
from sdk import Cli, Clients, json_lines, succeeded, unique
from shapely.geometry import box, mapping, shape

from planet_provider.sandbox import basemaps

pytest_plugins = ("sdk",)

MOSAIC = "global_monthly_2024_05_mosaic"
#: Amsterdam: crosses one border between two columns of quads.
AREA = mapping(box(4.60, 52.35, 4.68, 52.39))


def request_of(name: str, *, tools: list[dict[str, Any]] | None = None, **product: Any) -> dict[str, Any]:
    request = {"name": name, "source_type": "basemaps", "products": [{"mosaic_name": MOSAIC, **product}]}
    return request | ({"tools": tools} if tools else {})


async def test_sdk_order_of_quads_from_place_to_checksum(clients: Clients, tmp_path: Path) -> None:
    name = unique("quads")
    order = await clients.orders.create_order(request_of(name, geometry=AREA))
    assert order["source_type"] == "basemaps"
    assert await clients.orders.wait(order["id"], delay=0) == "success"
    await clients.orders.download_order(order["id"], directory=tmp_path)
    clients.orders.validate_checksum(tmp_path / order["id"], "sha256")

    images = sorted((tmp_path / order["id"] / MOSAIC).iterdir())
    quads = basemaps.quads({"geometry": AREA})
    assert [image.name for image in images] == sorted(f"{quad}_quad.tif" for quad in quads)
    assert shape(AREA).within(basemaps.footprint(quads[0]).union(basemaps.footprint(quads[1])))
    with rasterio.open(images[0]) as image:
        assert (image.crs.to_epsg(), image.count, image.dtypes[0]) == (3857, 4, "uint8")

    for source, expected in {"basemaps": [name], "all": [name], "scenes": []}.items():
        found = clients.orders.list_orders(source_type=source, name=name)
        assert [one["name"] async for one in found] == expected


def test_cli_order_merged_and_clipped(cli: Cli, tmp_path: Path) -> None:
    request = request_of(unique("merged"), geometry=AREA, tools=[{"merge": {}}, {"clip": {}}])
    (order,) = json_lines(cli.orders("create", json.dumps(request)))
    assert succeeded(cli.orders("wait", order["id"], "--delay", "0")).strip() == "success"
    listed = json_lines(cli.orders("list", "--source-type", "basemaps", "--name", request["name"]))
    assert [one["id"] for one in listed] == [order["id"]]
    succeeded(cli.orders("download", order["id"], "--directory", str(tmp_path), "--checksum", "MD5"))
    (path,) = (tmp_path / order["id"] / MOSAIC).iterdir()
    assert path.name == "merged.tif"
    with rasterio.open(path) as image:
        west, south, east, north = rasterio.warp.transform_bounds(image.crs, 4326, *image.bounds)
    edges = box(4.60, 52.35, 4.68, 52.39).bounds
    assert (west, south, east, north) == pytest.approx(edges, abs=0.005)


async def test_sdk_zip_of_quads(clients: Clients, tmp_path: Path) -> None:
    delivery = order_request.delivery(
        archive_type="zip", single_archive=True, archive_filename="{{order_id}}.zip"
    )
    request = request_of(unique("zip"), quad_ids=["1050-1371", "1050-1370"]) | {"delivery": delivery}
    order = await clients.orders.create_order(request)
    assert await clients.orders.wait(order["id"], delay=0) == "success"
    files = await clients.orders.download_order(order["id"], directory=tmp_path)
    assert {path.name for path in files} == {"manifest.json", f"{order['id']}.zip"}


WORLD = mapping(box(-180, -80, 180, 80))


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (request_of("x", quad_ids=["1-1"]) | {"products": []}, "Products", "non-empty"),
        (request_of("x", quad_ids=["1-1"], mosaic_name="global"), "Products", "does not exist"),
        (request_of("x", quad_ids=["1-1"], mosaic_name="global_monthly_2099_01_mosaic"), "Products", "exist"),
        (request_of("x"), "Products", "either quad_ids or geometry"),
        (request_of("x", quad_ids=["1-1"], geometry=AREA), "Products", "either quad_ids or geometry"),
        (request_of("x", quad_ids=[]), "Products", "non-empty"),
        (request_of("x", quad_ids=["1-2048"]), "Products", "does not exist"),
        (request_of("x", quad_ids=["one"]), "Products", "does not exist"),
        (request_of("x", quad_ids=[f"{n}-1" for n in range(501)]), "Products", "500 quads"),
        (
            request_of("x", quad_ids=[f"{n}-1" for n in range(26)], tools=[{"merge": {}}]),
            "Products",
            "25 quads",
        ),
        (request_of("x", geometry=WORLD), "Tools", "500 quads"),
        (request_of("x", geometry={"type": "Point", "coordinates": [4, 52]}), "Products", "geometry"),
        (request_of("x", quad_ids=["1-1"], tools=[{"clip": {}}]), "Tools", "clip"),
        (request_of("x", quad_ids=["1-1"], tools=[{"toar": {}}]), "Tools", "toar"),
    ],
)
def test_refused(api: Api, request_: dict[str, Any], field: str, words: str) -> None:
    answer = api.post(request_)
    assert answer.status_code == 400, answer.text
    assert words in " ".join(one["message"] for one in answer.json()["field"][field])


def test_a_malformed_geometry_is_refused(api: Api) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[4, 52], [4.1, 52.1], [4.1, 52], [4, 52.1], [4, 52]]]}
    answer = api.post(request_of("x", geometry=bow_tie))
    assert answer.status_code == 400
    assert "Self-intersection" in answer.json()["general"][0]["message"]


def test_merge_is_refused_for_scenes(api: Api) -> None:
    answer = api.post(api.request_body() | {"tools": [{"merge": {}}]})
    assert answer.status_code == 400
    assert "basemaps" in answer.json()["field"]["Tools"][0]["message"]
