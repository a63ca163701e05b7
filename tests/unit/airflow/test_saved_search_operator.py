"""Saving searches from a DAG, and counting what they would find."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow_support import AOI, FakeTaskInstance, Runner

from planet_provider.builders import filters
from planet_provider.client.api import data
from planet_provider.exceptions import BadRequestError, InvalidInputError, TransportError
from planet_provider.hooks.planet import PlanetHook
from planet_provider.operators import stats as stats_operator
from planet_provider.operators.saved_search import PlanetUpsertSearchOperator
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.operators.stats import PlanetSearchStatsOperator
from planet_provider.sandbox import Fault, Sandbox

CLEAR = filters.range_filter("cloud_cover", lte=0.2)


def saved(search_type: data.SearchType = "saved") -> list[dict[str, Any]]:
    return list(PlanetHook().list_searches(search_type=search_type))


def upsert(**parameters: Any) -> PlanetUpsertSearchOperator:
    wanted = {"name": "june", "item_types": ["PSScene"], "search_filter": CLEAR, **parameters}
    return PlanetUpsertSearchOperator(task_id="save", **wanted)


@pytest.mark.guide("search-saved-create")
def test_a_name_is_one_search(planet: Sandbox, runner: Runner, ti: FakeTaskInstance) -> None:
    first = runner.run(upsert(), ti)
    assert ti.xcoms["return_value"] == first == saved()[0]["id"]
    assert ti.xcoms["search"] == {
        "search_id": first,
        "name": "june",
        "action": "created",
        "item_types": ["PSScene"],
    }
    for parameters, action in (
        ({}, "unchanged"),
        ({"geometry": AOI}, "updated"),
        ({"item_types": "PSScene", "geometry": json.dumps(AOI)}, "unchanged"),
        ({"geometry": {"type": "Point", "coordinates": [13.4, 52.5]}}, "updated"),
        ({"geometry": {"type": "Point", "coordinates": [13.4, 52.5]}, "enable_email": True}, "updated"),
        ({"acquired_start": "2024-06-01T00:00:00Z"}, "updated"),
    ):
        assert runner.run(upsert(**parameters), ti) == first
        assert (ti.xcoms["search"]["action"], len(saved())) == (action, 1), parameters


@pytest.mark.parametrize("kind", ["drop_after", "drop"])
def test_a_retry_saves_no_second_one(planet: Sandbox, runner: Runner, kind: Any) -> None:
    # The search of its name can't be listed either, for as long as a request is repeated.
    planet.faults.add(Fault(kind=kind, method="POST", path="/searches$"))
    planet.faults.add(Fault(kind="status", method="GET", path=r"/searches\?", status=503, skip=1, times=6))
    with pytest.raises(TransportError) as caught:
        runner.run(upsert())
    assert isinstance(caught.value, AirflowException)
    assert not isinstance(caught.value, AirflowFailException), "a retry may fix it"
    planet.faults.clear()
    search_id = runner.run(upsert())
    assert [one["id"] for one in saved()] == [search_id]


@pytest.mark.guide("search-saved-run")
def test_what_was_saved_is_run(planet: Sandbox, runner: Runner, ti: FakeTaskInstance) -> None:
    search_id = runner.run(upsert(geometry=AOI), ti)
    batches = runner.run(PlanetSearchOperator(task_id="search", search_id=search_id, sort="acquired asc"), ti)
    found = [item_id for batch in batches for item_id in batch["item_ids"]]
    there = PlanetHook().search(["PSScene"], CLEAR, geometry=AOI, sort="acquired asc")
    assert found == [item["id"] for item in there] != []
    assert found[:3] == [
        item["id"] for item in PlanetHook().run_search(search_id, sort="acquired asc", limit=3)
    ]


def test_templates(planet: Sandbox, runner: Runner) -> None:
    runner.run(upsert(name="day {{ ds }}"))
    assert [one["name"] for one in saved()] == ["day 2024-05-01"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"name": " "}, "name=' '"),
        ({"item_types": []}, "item_types"),
        ({"search_filter": {"type": "Odd"}}, "search_filter.type"),
        ({"geometry": {"type": "Point", "coordinates": [37.7, -122.4]}}, "swap"),
        ({"acquired_start": "2024-06-01"}, "acquired_start"),
        ({"enable_email": "yes"}, "enable_email"),
    ],
)
def test_bad_input(planet: Sandbox, runner: Runner, parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as caught:
        runner.run(upsert(**parameters))
    assert isinstance(caught.value, AirflowFailException)
    assert planet.requests == []


@pytest.mark.guide("stats")
def test_stats(planet: Sandbox, runner: Runner, ti: FakeTaskInstance) -> None:
    end = planet.clock.now().replace(microsecond=0)
    task = PlanetSearchStatsOperator(
        task_id="stats",
        item_types=["PSScene"],
        interval="day",
        search_filter=CLEAR,
        geometry=AOI,
        acquired_end=end,
    )
    result = runner.run(task, ti)
    times = [item["properties"]["acquired"] for item in PlanetHook().search(["PSScene"], CLEAR, geometry=AOI)]
    days = [time[:10] for time in times if time < end.isoformat()]
    assert result["count"] == len(days) > 0
    assert {bucket["start_time"][:10]: bucket["count"] for bucket in result["buckets"]} == {
        day: days.count(day) for day in set(days)
    }
    assert (result["interval"], result["utc_offset"]) == ("day", "+0h")
    assert ti.xcoms == {**result, "return_value": result}
    by_hook = PlanetHook().get_stats(["PSScene"], CLEAR, "month", geometry=AOI)
    assert sum(bucket["count"] for bucket in by_hook["buckets"]) == len(times)


def test_stats_beyond_what_an_xcom_holds(
    planet: Sandbox, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats_operator, "MAX_BUCKETS", 3)
    with pytest.raises(InvalidInputError, match=r"interval='day': makes \d+ buckets, more than the 3"):
        runner.run(PlanetSearchStatsOperator(task_id="stats", item_types=["PSScene"], interval="day"))


def test_stats_of_nothing_and_of_nonsense(planet: Sandbox, runner: Runner) -> None:
    nothing = filters.string_in_filter("instrument", ["no-such"])
    task = PlanetSearchStatsOperator(task_id="stats", item_types=["PSScene"], search_filter=nothing)
    result = runner.run(task)
    assert (result["count"], result["buckets"], result["interval"]) == (0, [], "month")
    planet_requests = len(planet.requests)
    with pytest.raises(InvalidInputError, match="interval"):
        runner.run(PlanetSearchStatsOperator(task_id="stats", item_types=["PSScene"], interval="decade"))
    assert len(planet.requests) == planet_requests
    with pytest.raises(BadRequestError):
        runner.run(PlanetSearchStatsOperator(task_id="stats", item_types=["NoSuchType"]))
