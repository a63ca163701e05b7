"""``planet data``: the SDK's command line."""

from __future__ import annotations

import ast
import json
import uuid
from pathlib import Path

import pytest
import rasterio
from planet import data_filter
from sdk import ITEM_TYPE, Cli, Feature, ids, json_lines, succeeded, unique, utm_zone
from shapely.geometry import box, mapping, shape

pytest_plugins = ("sdk",)

IMAGE = "ortho_analytic_4b"
CLEAR = json.dumps(data_filter.range_filter("cloud_cover", lt=0.2))
ANYTHING = json.dumps(data_filter.empty_filter())


def area(feature: Feature) -> str:
    return json.dumps(mapping(box(*shape(feature["geometry"]).bounds)))


def test_cli_filter_and_search_in_a_pipe(cli: Cli, scenes: list[Feature]) -> None:
    """Every option of ``filter``, its output read by ``search`` from standard input."""
    first = scenes[0]["properties"]
    filtered = cli.data(
        "filter",
        *("--asset", f"{IMAGE},ortho_visual"),
        *("--date-range", "acquired", "gte", "2000-01-01T00:00:00Z"),
        *("--geom", area(scenes[0]), "--geom-relation", "intersects"),
        *("--number-in", "gsd", str(first["gsd"])),
        *("--range", "cloud_cover", "lte", "1"),
        *("--string-in", "instrument", first["instrument"]),
        "--permission",
        "--std-quality",
    )
    (search_filter,) = json_lines(filtered)
    assert len(search_filter["config"]) == 8
    found = json_lines(cli.data("search", ITEM_TYPE, "--filter", "-", "--limit", "0", stdin=filtered.stdout))
    expected = [
        scene
        for scene in scenes
        if not {IMAGE, "ortho_visual"}.isdisjoint(scene["assets"])
        and shape(scene["geometry"]).intersects(box(*shape(scenes[0]["geometry"]).bounds))
        and scene["properties"]["gsd"] == first["gsd"]
        and scene["properties"]["instrument"] == first["instrument"]
        and scene["_permissions"]
        and scene["properties"]["quality_category"] == "standard"
    ]
    assert ids(found) == ids(expected)
    assert found


def test_cli_filter_update(cli: Cli) -> None:
    (search_filter,) = json_lines(
        cli.data("filter", "--update", "ground_control", "gt", "2020-04-10T00:00:00Z")
    )
    found = json_lines(cli.data("search", ITEM_TYPE, "--filter", json.dumps(search_filter), "--limit", "5"))
    assert len(found) == 5


@pytest.mark.parametrize("sort", ["published asc", "acquired desc"])
def test_cli_search(cli: Cli, scenes: list[Feature], sort: str) -> None:
    found = json_lines(
        cli.data("search", f"{ITEM_TYPE},SkySatCollect", "--sort", sort, "--limit", "4", "--pretty")
    )
    field, _, direction = sort.partition(" ")
    times = [item["properties"][field] for item in found]
    assert times == sorted(times, reverse=direction == "desc")
    near = json_lines(cli.data("search", ITEM_TYPE, "--geom", area(scenes[0]), "--name", "near"))
    assert scenes[0]["id"] in ids(near)


def test_cli_search_collects_into_a_feature_collection(cli: Cli) -> None:
    found = succeeded(cli.data("search", ITEM_TYPE, "--limit", "3"))
    (collected,) = json_lines(cli.invoke("collect", "-", stdin=found))
    assert collected["type"] == "FeatureCollection"
    assert len(collected["features"]) == 3


def test_cli_saved_search_from_creation_to_deletion(cli: Cli, scenes: list[Feature]) -> None:
    name = unique("cli")
    (created,) = json_lines(
        cli.data("search-create", ITEM_TYPE, "--filter", CLEAR, "--name", name, "--daily-email")
    )
    assert created["__daily_email_enabled"] is True
    assert json_lines(cli.data("search-get", created["id"])) == [created]
    listed = json_lines(
        cli.data("search-list", "--search-type", "saved", "--sort", "created asc", "--limit", "0")
    )
    assert created["id"] in ids(listed)
    found = json_lines(cli.data("search-run", created["id"], "--limit", "0", "--sort", "acquired asc"))
    assert ids(found) == ids([scene for scene in scenes if scene["properties"]["cloud_cover"] < 0.2])

    (updated,) = json_lines(
        cli.data(
            "search-update",
            created["id"],
            ITEM_TYPE,
            "--filter",
            ANYTHING,
            "--name",
            f"{name}-2",
            "--geom",
            area(scenes[0]),
        )
    )
    assert (updated["name"], updated["__daily_email_enabled"]) == (f"{name}-2", False)
    assert len(json_lines(cli.data("search-run", created["id"], "--limit", "0"))) < len(scenes)

    assert succeeded(cli.data("search-delete", created["id"])) == ""
    gone = cli.data("search-get", created["id"])
    assert gone.exit_code == 1
    assert gone.output.startswith("Error: ")


@pytest.mark.parametrize("interval", ["hour", "day", "week", "month", "year"])
def test_cli_stats(cli: Cli, scenes: list[Feature], interval: str) -> None:
    (stats,) = json_lines(cli.data("stats", ITEM_TYPE, "--filter", ANYTHING, "--interval", interval))
    assert stats["interval"] == interval
    assert sum(bucket["count"] for bucket in stats["buckets"]) == len(scenes)


def test_cli_items(cli: Cli, scenes: list[Feature]) -> None:
    item = scenes[1]
    assert json_lines(cli.data("item-get", ITEM_TYPE, item["id"])) == [item]
    (coverage,) = json_lines(
        cli.data(
            "item-coverage", ITEM_TYPE, item["id"], "--geom", area(item), "--mode", "UDM2", "--band", "clear"
        )
    )
    assert "status" in coverage
    assert f"- {ITEM_TYPE}" in succeeded(cli.data("item-types"))


def test_cli_asset_from_inactive_to_validated(cli: Cli, orderable: list[Feature], tmp_path: Path) -> None:
    """A known shortcoming of the SDK: ``asset-wait`` prints a Python dict instead of JSON."""
    item = orderable[11]
    place = (ITEM_TYPE, item["id"], IMAGE)
    (assets,) = json_lines(cli.data("asset-list", *place[:2]))
    assert set(assets) == set(item["assets"])
    (asset,) = json_lines(cli.data("asset-get", *place))
    assert asset["type"] == IMAGE
    assert asset["_links"] == assets[IMAGE]["_links"]

    assert succeeded(cli.data("asset-activate", *place)) == ""
    waited = ast.literal_eval(
        succeeded(cli.data("asset-wait", *place, "--delay", "0", "--max-attempts", "50"))
    )
    assert waited["status"] == "active"
    folder = ("--directory", str(tmp_path))
    succeeded(cli.data("asset-download", *place, *folder, "--filename", "scene.tif", "--checksum"))
    with rasterio.open(tmp_path / "scene.tif") as raster:
        assert raster.crs.to_epsg() == utm_zone(item)

    (tmp_path / "scene.tif").write_bytes(b"altered")
    kept = cli.data("asset-download", *place, *folder, "--filename", "scene.tif", "--checksum")
    assert kept.exit_code == 1
    assert "checksums do not match" in kept.output
    succeeded(
        cli.data("asset-download", *place, *folder, "--filename", "scene.tif", "--checksum", "--overwrite")
    )


def test_cli_reports_errors_of_the_api(cli: Cli) -> None:
    bad = json.dumps({"type": "SoundFilter", "config": []})
    for command in (
        cli.data("search", ITEM_TYPE, "--filter", bad),
        cli.data("search-run", uuid.uuid4().hex),
        cli.data("item-get", ITEM_TYPE, "20010101_000000_00_0000"),
        cli.data("asset-get", ITEM_TYPE, "20010101_000000_00_0000", IMAGE),
    ):
        assert command.exit_code == 1
        assert command.output.startswith("Error: ")
    assert cli.data("search", "NoSuchScene").exit_code == 2


@pytest.mark.ci
def test_cli_in_processes_of_their_own(cli: Cli, scenes: list[Feature]) -> None:
    """As a shell runs it. Search commands would fetch the bundle list from Planet, so a saved search runs."""
    (created,) = json_lines(
        cli.data("search-create", ITEM_TYPE, "--filter", CLEAR, "--name", unique("spawn"))
    )
    base = ("data", "--base-url", f"{cli.sandbox.url}/data/v1")
    done = cli.spawn(*base, "search-run", created["id"], "--limit", "2", "--sort", "acquired desc")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    clear = [scene for scene in scenes if scene["properties"]["cloud_cover"] < 0.2]
    latest = sorted(clear, key=lambda scene: scene["properties"]["acquired"])[-2:]
    assert [item["id"] for item in found] == [scene["id"] for scene in reversed(latest)]
    gone = cli.spawn(*base, "search-get", uuid.uuid4().hex)
    assert gone.returncode == 1
    assert gone.stderr.startswith("Error: ")
