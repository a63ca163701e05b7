"""The Python of README.md and docs/: it compiles, names what is there, and its DAGs import."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
_BLOCK = re.compile(
    r"^(?P<indent> *)```python[^\n]*\n(?P<code>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL
)
_DAG = re.compile(r"^(?:@dag\b|with DAG\()", re.MULTILINE)
_SNIPPET = re.compile(r'^--8<-- "(?P<path>[^"]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.code, str(self))


def blocks_of(page: str, text: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(text):
        code = textwrap.dedent(found["code"])
        code = _SNIPPET.sub(lambda snippet: (REPOSITORY / snippet["path"]).read_text(encoding="utf-8"), code)
        yield Block(page, text.count("\n", 0, found.start()) + 1, code)


BLOCKS = [
    block
    for page in PAGES
    for block in blocks_of(page.relative_to(REPOSITORY).as_posix(), page.read_text(encoding="utf-8"))
]


def missing_names(tree: ast.Module) -> list[str]:
    """Return what a block imports of this package, or takes from a module of it, that isn't there."""
    missing: list[str] = []
    modules: dict[str, ModuleType] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == "planet_provider":
                    missing += _missing(alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "planet_provider":
            assert node.module is not None
            for alias in node.names:
                if not _missing(f"{node.module}.{alias.name}"):
                    modules |= {
                        alias.asname or alias.name: importlib.import_module(f"{node.module}.{alias.name}")
                    }
                elif _missing(node.module) or not hasattr(importlib.import_module(node.module), alias.name):
                    missing.append(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            if not hasattr(module, node.attr):
                missing.append(f"{module.__name__}.{node.attr}")
    return missing


def _missing(module: str) -> list[str]:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "planet_provider":
            raise
        return [module]
    return []


def is_whole_dag(block: Block) -> bool:
    """Whether a block defines a DAG, out of nothing but what it defines or imports itself."""
    if not _DAG.search(block.code):
        return False
    used: set[str] = set()
    bound = {*vars(builtins), "__doc__"}
    for node in ast.walk(block.tree):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name):
                bound.add(name)
            case ast.alias(name=name, asname=asname):
                bound.add(asname or name.partition(".")[0])
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                bound.add(name)
    return used <= bound


@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS}))
def test_its_code_compiles_and_what_it_imports_is_there(page: str) -> None:
    for block in BLOCKS:
        if block.page == page:
            # A page may show part of a coroutine, or of a notebook.
            compile(block.code, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            assert missing_names(block.tree) == [], str(block)


@pytest.mark.parametrize("block", [block for block in BLOCKS if is_whole_dag(block)], ids=str)
def test_its_dag_imports(block: Block, tmp_path: Path) -> None:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag
    (tmp_path / "page.py").write_text(block.code, encoding="utf-8")
    bag = DagBag(dag_folder=tmp_path)
    assert bag.import_errors == {}
    assert bag.dags


def test_blocks_are_found() -> None:
    assert {"README.md", "docs/quick-start.md"} <= {block.page for block in BLOCKS if is_whole_dag(block)}
    assert "docs/guide.md" in {block.page for block in BLOCKS}
    example_dags = {path.read_text(encoding="utf-8") for path in (REPOSITORY / "example_dags").glob("*.py")}
    assert {text.strip() for text in example_dags} <= {block.code.strip() for block in BLOCKS}, (
        "no how-to shows one"
    )


def test_a_wrong_block_is_told() -> None:
    text = (
        "- item\n\n  ```python\n  from planet_provider.builders import filters, nothing\n"
        "  from planet_provider.nowhere import it\n  filters.no_such_filter()\n  ```\n"
    )
    [block] = blocks_of("page.md", text)
    assert block.line == 3
    assert missing_names(block.tree) == [
        "planet_provider.builders.nothing",
        "planet_provider.nowhere.it",
        "planet_provider.builders.filters.no_such_filter",
    ]
