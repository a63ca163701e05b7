"""Large results of searches: whose they are, and when they are too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow_support import FakeTaskInstance, Runner

from planet_provider.exceptions import InvalidInputError
from planet_provider.operators.batches import read_batch
from planet_provider.operators.search import PlanetSearchOperator
from planet_provider.sandbox import Sandbox


def search(runner: Runner, path: Path, sort: str) -> list[dict[str, Any]]:
    task = PlanetSearchOperator(
        task_id="search",
        item_types=["PSScene"],
        sort=sort,
        limit=20,
        batch_size=20,
        xcom_max_items=5,
        output_path=str(path),
    )
    batches: list[dict[str, Any]] = runner.run(task, FakeTaskInstance())
    return batches


@pytest.mark.parametrize(
    ("first", "second"),
    [("found.geojson", "found.ndjson"), ("found.geojson", "found.geojson")],
    ids=["another suffix", "the same file"],
)
def test_each_search_has_batches_of_its_own(
    planet: Sandbox, runner: Runner, tmp_path: Path, first: str, second: str
) -> None:
    (newest,) = search(runner, tmp_path / first, "published desc")
    before = read_batch(newest)
    (oldest,) = search(runner, tmp_path / second, "published asc")
    assert read_batch(newest) == before
    assert not set(before["item_ids"]) & set(read_batch(oldest)["item_ids"])
    assert search(runner, tmp_path / first, "published desc") == [newest], "the same ids are the same batch"


def test_a_batch_that_was_changed_is_refused(tmp_path: Path, planet: Sandbox, runner: Runner) -> None:
    (batch,) = search(runner, tmp_path / "found.ndjson", "published desc")
    ids = read_batch(batch)["item_ids"]
    Path(batch["path"]).write_text(json.dumps([*ids[:-1], "20240101_000000_00_0000"]))
    with pytest.raises(InvalidInputError, match=r"items\.path=.*has been changed since the search wrote it"):
        read_batch(batch)


def test_a_batch_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    file = tmp_path / "found.batch-00000.json"
    file.write_text('["a", "b"]')
    batch = {"item_type": "PSScene", "count": 2, "path": str(file)}
    assert read_batch(batch) == {"item_type": "PSScene", "item_ids": ["a", "b"]}


@pytest.mark.parametrize(("most", "requests"), [(50, 1), (249, 1), (250, 2)])
def test_what_is_too_large_ends_at_once(planet: Sandbox, runner: Runner, most: int, requests: int) -> None:
    task = PlanetSearchOperator(task_id="search", item_types=["PSScene"], xcom_max_items=most)
    with pytest.raises(InvalidInputError, match=f"output_path=None.*more items than xcom_max_items={most}"):
        runner.run(task)
    assert len(planet.requests) == requests, "pages that nobody wants are not asked for"


def test_as_many_as_are_allowed_are_fine(planet: Sandbox, runner: Runner) -> None:
    task = PlanetSearchOperator(task_id="search", item_types=["PSScene"], xcom_max_items=50, limit=50)
    assert len(runner.run(task)[0]["item_ids"]) == 50
