"""Which tests prove a row of the SDK's guide, and whether they ask a Planet through a socket.

Nothing is run: the tests' source is read, and that of the fixtures that they ask for.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

TESTS = Path(__file__).resolve().parent

#: Fixtures that start a sandbox: a server of its own, behind a real socket.
SERVERS = frozenset({"planet_sandbox", "planet_sandbox_server"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


def proofs() -> dict[str, list[str]]:
    """Return the tests that name each row: ``folder/file.py::Class::test``."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(TESTS.rglob("test_*.py")):
        for test, node in _tests_of(path).items():
            for decorator in node.decorator_list:
                for row in _rows(decorator):
                    found[row].add(test)
    return {row: sorted(tests) for row, tests in found.items()}


def asks_a_server(test: str) -> bool:
    """Tell whether a test asks for a sandbox, itself or by way of its fixtures.

    :param test: As :func:`proofs` names it.
    """
    path = TESTS / test.partition("::")[0]
    node = _tests_of(path).get(test)
    fixtures = _fixtures_seen_by(path)
    wanted, seen = set() if node is None else _arguments(node), set[str]()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        if name in fixtures:
            wanted |= _arguments(fixtures[name]) - seen
    return bool(seen & SERVERS)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _tests_of(path: Path) -> dict[str, Function]:
    return dict(_tests(_tree(path), path.relative_to(TESTS).as_posix()))


def _tests(tree: ast.AST, where: str) -> Iterator[tuple[str, Function]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _tests(node, f"{where}::{node.name}")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
            yield f"{where}::{node.name}", node


@cache
def _fixtures_seen_by(path: Path) -> dict[str, Function]:
    """Return what a module's tests may ask for: its own fixtures, and those of the conftests above it."""
    above = [TESTS / folder / "conftest.py" for folder in reversed(path.relative_to(TESTS).parents)]
    found: dict[str, Function] = {}
    for file in (*above, path):
        if file.exists():
            found |= {node.name: node for node in ast.walk(_tree(file)) if _is_fixture(node)}
    return found


def _is_fixture(node: ast.AST) -> TypeGuard[Function]:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and any(
        ast.unparse(decorator).startswith("pytest.fixture") for decorator in node.decorator_list
    )


def _arguments(node: Function) -> set[str]:
    return {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}


def _rows(decorator: ast.expr) -> Iterator[str]:
    """Yield what ``pytest.mark.guide(...)`` names in a decorator, also as the mark of a parameter."""
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.guide":
            yield from (ast.literal_eval(argument) for argument in node.args)
