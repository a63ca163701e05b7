"""A search that finds nothing says which of its conditions excludes most."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow_support import AOI, FakeTaskInstance, Runner

from planet_provider.builders import filters
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.operators.stats import PlanetSearchStatsOperator
from planet_provider.sandbox import Fault, Sandbox

SWAPPED = {
    "type": "Polygon",
    "coordinates": [[[37.67, -12.54], [37.83, -12.54], [37.83, -12.32], [37.67, -12.32], [37.67, -12.54]]],
}
LONG_AGO = {"acquired_start": "1990-01-01T00:00:00Z", "acquired_end": "1990-02-01T00:00:00Z"}
NEVER = filters.range_filter("cloud_cover", gt=1)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Any:
    """What the task's log says of an empty search."""
    caplog.set_level(logging.INFO, logger="planet_provider.operators.empty_search")
    return lambda: " ".join(one for one in caplog.messages if one.startswith("The search finds nothing."))


def search(**settings: Any) -> PlanetSearchOperator:
    return PlanetSearchOperator(task_id="search", item_types=["PSScene"], **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"geometry": AOI, "search_filter": NEVER}, "Most are excluded by cloud_cover gt 1."),
        ({"geometry": SWAPPED, "search_filter": filters.std_quality_filter()}, "excluded by the geometry."),
        ({"geometry": AOI, **LONG_AGO}, "excluded by acquired gte 1990-01-01T00:00:00Z and lt 1990-02-01"),
        ({"search_filter": filters.asset_filter(["ortho_analytic_sr"])}, 'AssetFilter ["ortho_analytic_sr"]'),
    ],
)
def test_one_condition(
    planet: Sandbox, runner: Runner, ti: FakeTaskInstance, said: Any, settings: dict[str, Any], words: str
) -> None:
    assert runner.run(search(**settings), ti) == []
    assert words in said()
    assert ti.xcoms["return_value"] == []
    reminder = "GeoJSON has the longitude first."
    assert (reminder in said()) == ("geometry" in settings)


def test_what_it_would_find_is_counted(planet: Sandbox, runner: Runner, said: Any) -> None:
    runner.run(search(geometry=AOI, search_filter=NEVER))
    near = len(list(PlanetHook().search(["PSScene"], geometry=AOI)))
    assert near > 100
    assert f"{near} without cloud_cover gt 1, 0 without the geometry." in said()
    assert "from longitude -122.54 to -122.32 and from latitude 37.67 to 37.83" in said()


def test_several_that_find_nothing_by_themselves(planet: Sandbox, runner: Runner, said: Any) -> None:
    runner.run(search(search_filter=NEVER, geometry=AOI, **LONG_AGO))
    assert (
        "Most are excluded by cloud_cover gt 1. Each condition alone would find 0 by cloud_cover gt 1"
        in said()
    )


def test_of_a_saved_search_and_of_counts(planet: Sandbox, runner: Runner, said: Any) -> None:
    saved = PlanetHook().create_search("never", ["PSScene"], NEVER)
    runner.run(PlanetSearchOperator(task_id="search", search_id=saved["id"]))
    assert "excluded by cloud_cover gt 1" in said()
    runner.run(PlanetSearchStatsOperator(task_id="stats", item_types=["PSScene"], search_filter=NEVER))
    assert said().count("excluded by cloud_cover gt 1") == 2


def test_an_item_type_without_any_item(planet: Sandbox, runner: Runner, said: Any) -> None:
    planet.faults.add(
        Fault(
            kind="status",
            method="POST",
            path="/quick-search",
            status=200,
            body='{"features": [], "_links": {}}',
        )
    )
    runner.run(search())
    assert "Planet lists no PSScene at all" in said()


def test_an_error_is_told_of_alone(planet: Sandbox, runner: Runner, said: Any) -> None:
    planet.faults.add(Fault(kind="status", method="POST", path="/stats", status=400))
    assert runner.run(search(search_filter=NEVER)) == []
    assert "excludes most can't be told: BadRequestError" in said()


def test_a_search_that_finds_something_asks_nothing_more(planet: Sandbox, runner: Runner) -> None:
    runner.run(search(geometry=AOI, limit=1))
    assert len(planet.requests) == 1
