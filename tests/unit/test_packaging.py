"""What pyproject.toml packs into the source distribution can do without the rest of the repository."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.ci

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[2]
TARGETS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"][
    "build"
]["targets"]
OURS = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")}


def imported(folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a folder with the top-level packages that it imports."""
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [str(node.module)]
            else:
                continue
            for name in names:
                yield path.relative_to(REPOSITORY).as_posix(), name.partition(".")[0]


@pytest.mark.parametrize(
    "packed", [TARGETS["sdist"]["include"], TARGETS["wheel"]["packages"]], ids=["sdist", "wheel"]
)
def test_what_is_packed_imports_only_what_is_packed(packed: list[str]) -> None:
    folders = OURS & set(packed)
    assert "planet_provider" in folders
    found = [pair for folder in sorted(folders) for pair in imported(folder)]
    assert len(found) > 100
    assert [pair for pair in found if pair[1] in OURS - folders] == []


def test_what_is_packed_is_there() -> None:
    for pattern in [*TARGETS["sdist"]["include"], *TARGETS["wheel"]["packages"]]:
        assert list(REPOSITORY.glob(pattern)), pattern
