"""The mutants that ``make mutation`` tries: small changes of the code by the operators of cosmic-ray."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast_from_path
from cosmic_ray.mutating import mutate_code

#: What is mutated: the code whose faults cost money or files.
TARGETS = (
    "planet_provider/ordering",
    "planet_provider/transfer",
    "planet_provider/coordination",
    "planet_provider/client/http/retry.py",
    "planet_provider/triggers",
)
#: Operators whose mutants say nothing about tests: no change at all, or a name that exists nowhere.
WITHOUT = ("core/NoOp", "core/VariableReplacer", "core/VariableInserter")

Position = tuple[int, int]


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    :param path: The file, relative to the repository.
    :param line: Where the change begins.
    :param operator: cosmic-ray's name for the kind of change.
    :param occurrence: Which of the places in the file where the operator applies.
    """

    path: str
    line: int
    operator: str
    occurrence: int

    def code(self, repository: Path) -> str:
        """Return the file's text with the change."""
        operator = cosmic_ray.plugins.get_operator(self.operator)()
        code = mutate_code((repository / self.path).read_text("utf-8"), operator, self.occurrence)
        if code is None:
            raise ValueError(f"{self} does not apply; was the file changed?")
        return str(code)


def sample(repository: Path, count: int, seed: int) -> list[Mutant]:
    """Choose mutants: at most one at each position, so that no line counts for many.

    :param count: How many.
    :param seed: Of the choice; the same code gives the same sample.
    """
    chance = random.Random(seed)
    chosen = []
    for path in _files(repository):
        by_position: dict[Position, list[Mutant]] = {}
        for position, mutant in _mutants(repository, path):
            by_position.setdefault(position, []).append(mutant)
        chosen += [chance.choice(sorted(mutants)) for _, mutants in sorted(by_position.items())]
    return sorted(chance.sample(chosen, min(count, len(chosen))))


def _files(repository: Path) -> Iterator[Path]:
    for target in TARGETS:
        path = repository / target
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _mutants(repository: Path, path: Path) -> Iterator[tuple[Position, Mutant]]:
    tree = get_ast_from_path(path)
    spans = list(_never_run(path.read_text("utf-8")))
    for name in sorted(cosmic_ray.plugins.operator_names()):
        operator_class = cosmic_ray.plugins.get_operator(name)
        if name in WITHOUT or operator_class.arguments():
            continue
        operator = operator_class()
        starts: Iterable[Position] = (
            start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)
        )
        for occurrence, start in enumerate(starts):
            if not any(begin <= start < end for begin, end in spans):
                mutant = Mutant(str(path.relative_to(repository)), start[0], name, occurrence)
                yield start, mutant


def _never_run(code: str) -> Iterator[tuple[Position, Position]]:
    """Yield where annotations stand, and what only type checkers read: a change there changes nothing."""
    for node in ast.walk(ast.parse(code)):
        unread: list[ast.AST | None] = []
        if isinstance(node, ast.arg | ast.AnnAssign):
            unread = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            unread = [node.returns]
            if any(isinstance(name, ast.Name) and name.id == "overload" for name in node.decorator_list):
                unread.append(node)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            unread = [node]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"TypeVar", "cast"}:
            unread = list(node.args[:1])
        for each in unread:
            if isinstance(each, ast.expr | ast.stmt):
                end = (each.end_lineno or each.lineno, each.end_col_offset or 0)
                yield (each.lineno, each.col_offset), end
