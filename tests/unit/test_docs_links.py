"""Links between the files of the repository lead somewhere, and each public class is in the reference.

``make docs`` checks those of the site; this looks at the files as they are read in the repository.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType

import pytest

import planet_provider
from planet_provider import sandbox, transfer

REPOSITORY = Path(__file__).parents[2]
PAGES = [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]
#: Pages that the site makes of top files.
MADE = {"architecture.md", "changelog.md", "contributing.md"}
#: Base classes, which are no part of the interface.
ELSEWHERE = {"PlanetOperator", "PlanetTransferOperator", "PlanetTrigger"}

_CODE = re.compile(r"^( *)(```+).*?^\1\2\s*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!(?:https?|mailto):)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
_HEADING = re.compile(r"^#+ (?P<text>.*?)(?: \{ *#(?P<id>[\w-]+) *\})?$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the ids that headings have."""
    found = set()
    for heading in _HEADING.finditer(text):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"\]\([^)]*\)", "]", heading["text"])).strip().lower()
        found |= {re.sub(r"[\s]+", "-", words), heading["id"] or ""}
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """Return the links of a page that lead to no file, or to no heading of one."""
    broken = []
    for link in _LINK.finditer(_CODE.sub("", text)):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        is_made = (
            page.is_relative_to(REPOSITORY / "docs")
            and target.parent == REPOSITORY / "docs"
            and target.name in MADE
        )
        if not target.exists() and not is_made:
            broken.append(link["path"])
        elif link["anchor"] and target.suffix == ".md" and not is_made:
            content = text if target == page else target.read_text(encoding="utf-8")
            if link["anchor"] not in anchors(content):
                broken.append(f"{link['path']}#{link['anchor']}")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_a_broken_link_is_told() -> None:
    text = (
        "# Here\n[a](nowhere.md) [b](#here) [c](#there) [d](CONTRIBUTING.md#rules)\n"
        "`[e](gone)`\n```\n[f](gone)\n```\n"
    )
    assert broken_links(REPOSITORY / "README.md", text) == ["nowhere.md", "#there"]


def test_the_table_of_the_sdks_guide_names_what_is_there() -> None:
    guide = REPOSITORY / "docs" / "guide-coverage.md"
    rows = [
        line.split("|") for line in guide.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    assert len(rows) > 50
    for _, _, here, read, _ in rows[1:]:
        names = re.findall(r"`([^`]+)`", here)
        for name in names:
            assert resolve_name(f"planet_provider.{name}"), name
        [page] = re.findall(r"\]\((.+)\)", read)
        text = (guide.parent / page).read_text(encoding="utf-8")
        assert any(re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", text) for name in names), (
            names,
            page,
        )


def test_what_the_architecture_names_is_there() -> None:
    text = (REPOSITORY / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tables = text.partition("## Where is …?")[2].partition("## Sending a call")[0]
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)`", tables)
    assert len(names) > 60
    for name in names:
        assert resolve_name(f"planet_provider.{name}"), name


def test_the_reference_names_every_public_class() -> None:
    info = planet_provider.get_provider_info()
    modules = [
        import_module(module)
        for kind in ("operators", "sensors", "hooks", "triggers")
        for entry in info[kind]
        for module in entry["python-modules"]
    ]
    wanted = {name for module in modules for name in vars(module) if name.startswith("Planet")} - ELSEWHERE
    pages = (REPOSITORY / "docs" / "reference").glob("*.md")
    targets = re.findall(
        r"^::: (planet_provider[\w.]*)$", "".join(page.read_text() for page in pages), re.MULTILINE
    )
    assert {*wanted, *sandbox.__all__, *transfer.__all__} <= {
        name for target in targets for name in shown(target)
    }


def shown(target: str) -> set[str]:
    """Return what a reference to an object or to a module shows."""
    home, _, name = target.rpartition(".")
    if home == "planet_provider.operators.retry_policy":  # can't be imported before Airflow 3.3
        return {name}
    if hasattr(import_module(home), name) and not isinstance(getattr(import_module(home), name), ModuleType):
        return {name}
    module = import_module(target)
    return {name for name, value in vars(module).items() if getattr(value, "__module__", None) == target}
