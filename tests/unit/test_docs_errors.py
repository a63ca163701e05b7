"""docs/errors.md describes each class of the error tree, and names what Planet's SDK raises instead."""

from __future__ import annotations

import re
from pathlib import Path

import planet.exceptions

from planet_provider import exceptions
from planet_provider.exceptions import PlanetError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"

CLASSES = {
    name: value
    for name, value in vars(exceptions).items()
    if isinstance(value, type) and issubclass(value, PlanetError)
}


def rows() -> dict[str, list[str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("`"): row for row in cells if len(row) == 5}


def test_the_page_has_a_row_for_each_class_in_the_trees_order() -> None:
    assert list(rows()) == list(CLASSES)


def test_the_page_says_whether_airflow_retries() -> None:
    for name, (_, when, retried, remedy, _) in rows().items():
        if name != "PlanetError":
            assert retried.partition(":")[0] == ("yes" if CLASSES[name].retryable else "no"), name
            assert when, name
            assert remedy, name


def test_the_page_has_a_place_for_each_class_of_the_sdk() -> None:
    theirs = {
        name
        for name, value in vars(planet.exceptions).items()
        if isinstance(value, type) and issubclass(value, planet.exceptions.PlanetError)
    }
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("## What Planet's SDK raises for what")[2].partition("## In code")[0]
    pairs = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")]
    left = {name for pair in pairs for name in re.findall(r"`(\w+)`", pair[0])}
    right = {name for pair in pairs for name in re.findall(r"`(\w+)`", pair[1])}
    assert left == theirs
    assert right <= CLASSES.keys()
