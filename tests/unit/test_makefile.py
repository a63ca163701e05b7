"""The Makefile: what it, the docs and CI say there is to make has a rule that does something."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
PAGES = [
    *(
        REPOSITORY / name
        for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", ".ci/run")
    ),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
_RULE = re.compile(r"^([a-z][a-z-]*):([^=\n]*)\n((?:\t.+\n?)*)", re.MULTILINE)
#: What a page says in code; not "make sure" in a sentence. A script is code throughout.
_CODE = re.compile(r"^ *```bash\n(.*?)^ *```$|`(make [^`]*)`", re.MULTILINE | re.DOTALL)
_SAID = re.compile(r"\bmake ([a-z][a-z-]*)")


def rules() -> dict[str, bool]:
    """Return the Makefile's targets, and whether each does anything: by a recipe, or by what it depends on."""
    return {
        name: bool(recipe.strip() or needs.partition("#")[0].strip())
        for name, needs, recipe in _RULE.findall(MAKEFILE)
    }


def phony() -> list[str]:
    [line] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    return line.split()


def said() -> list[tuple[str, str]]:
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = map("".join, _CODE.findall(text)) if page.suffix == ".md" else [text]
        name = page.relative_to(REPOSITORY).as_posix()
        found |= {(name, target) for block in code for target in _SAID.findall(block)}
    return sorted(found)


@pytest.mark.parametrize("name", phony())
def test_each_phony_target_has_a_rule(name: str) -> None:
    # Of one that has none make says "Nothing to be done", and ends as if it had been.
    assert rules().get(name)


@pytest.mark.parametrize(("page", "name"), said())
def test_each_target_that_is_spoken_of_has_a_rule(page: str, name: str) -> None:
    assert rules().get(name), f"{page} says: make {name}"
    assert name in phony()


def test_what_is_spoken_of_is_found() -> None:
    found = said()
    assert {
        ("README.md", "test-browser"),
        ("CONTRIBUTING.md", "screenshots"),
        (".ci/run", "test-cluster"),
    } <= {*found}


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("test-browser", "pytest -m browser"),
        ("screenshots", "SCREENSHOTS=docs/images"),
        ("test-cluster", "pytest -m cluster"),
    ],
)
def test_make_would_run_it(target: str, command: str) -> None:
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert command in made.stdout, made.stdout + made.stderr
