"""Each class of the tree is raised by the real thing in some test, and described in docs/errors.md."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import planet.exceptions
import pytest

from planet_provider import exceptions
from planet_provider.exceptions import PlanetError

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "errors.md"

CLASSES = {
    name: value
    for name, value in vars(exceptions).items()
    if isinstance(value, type) and issubclass(value, PlanetError)
}

#: These make errors of every class themselves.
NOT_COUNTED = {"test_exceptions.py", "test_task_errors.py", Path(__file__).name}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def names(*nodes: ast.AST) -> set[str]:
    return {child.id for node in nodes for child in ast.walk(node) if isinstance(child, ast.Name)}


def calls(node: ast.AST) -> Iterator[ast.Call]:
    return (child for child in ast.walk(node) if isinstance(child, ast.Call))


def expected(function: Function) -> set[str]:
    """Names that a test expects to be raised: in ``pytest.raises(...)``, or the parameters of that."""
    raising = [
        argument
        for call in calls(function)
        if isinstance(call.func, ast.Attribute) and call.func.attr == "raises"
        for argument in call.args[:1]
    ]
    if not raising:
        return set()
    asserted = [
        comparison
        for comparison in ast.walk(function)
        if isinstance(comparison, ast.Compare) and isinstance(comparison.ops[0], ast.Is)
    ]
    # A parametrized class stands in the decorator, and in a comparison or raises() by the parameter's name.
    parameters = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    by_parameter = names(*raising, *asserted) & parameters
    return names(*raising) | (names(*function.decorator_list) if by_parameter else set())


def made(function: Function) -> set[str]:
    """Classes that a test makes an error of: what it raises itself proves nothing."""
    return {call.func.id for call in calls(function) if isinstance(call.func, ast.Name)}


@cache
def raised_in_tests() -> dict[str, list[str]]:
    found = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        if path.name in NOT_COUNTED:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function) and node.name.startswith("test_"):
                for name in expected(node) & CLASSES.keys() - made(node):
                    found[name].append(f"{path.relative_to(TESTS)}::{node.name}")
    return found


@pytest.mark.guide("errors-tree")
@pytest.mark.parametrize("name", CLASSES)
def test_it_is_raised_by_the_real_thing_in_some_test(name: str) -> None:
    assert raised_in_tests().get(name), f"no test has {name} raised by what raises it"


def test_the_search_counts_what_it_should() -> None:
    source = """
@pytest.mark.parametrize("kind", [ServerError, APIError])
def test_by_parameter(kind):
    with pytest.raises(PlanetError) as caught:
        ask()
    assert type(caught.value) is kind

@pytest.mark.parametrize("status", [NotFoundError])
def test_of_something_else(status):
    with pytest.raises(ConflictError):
        ask()

def test_of_its_own():
    with pytest.raises(ChecksumError):
        raise ChecksumError("made here")

def test_of_none():
    assert ServerError
"""
    by_parameter, of_something_else, of_its_own, of_none = ast.parse(source).body
    assert expected(by_parameter) & CLASSES.keys() == {"PlanetError", "ServerError", "APIError"}  # type: ignore[arg-type]
    assert expected(of_something_else) & CLASSES.keys() == {"ConflictError"}  # type: ignore[arg-type]
    assert expected(of_its_own) & CLASSES.keys() - made(of_its_own) == set()  # type: ignore[arg-type]
    assert expected(of_none) == set()  # type: ignore[arg-type]


def rows() -> dict[str, list[str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("`"): row for row in cells if len(row) == 5}


def test_the_page_has_a_row_for_each_class_in_the_trees_order() -> None:
    assert list(rows()) == list(CLASSES)


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "PlanetError"])
def test_the_page_says_whether_airflow_retries(name: str) -> None:
    _, when, retried, remedy, _ = rows()[name]
    assert retried.partition(":")[0] == ("yes" if CLASSES[name].retryable else "no")
    assert when
    assert remedy


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
