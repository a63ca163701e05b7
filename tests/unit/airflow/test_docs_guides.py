"""Each guide's Python runs from the top of its page, against the sandbox; its DAGs have tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow_support import AOI

from planet_provider.sandbox import Sandbox

DOCS = Path(__file__).parents[3] / "docs"
#: Pages wait for their orders as a reader would.
SOON = {"queued_seconds": 2.0, "running_seconds": 8.0}
_BLOCK = re.compile(r"^```python(?: title=\"(\w+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

Run = Callable[[str, str | None], dict[str, Any]]


def blocks(page: str, title: str | None) -> list[str]:
    found = _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    return [code for given, code in found if given == (title or "")]


@pytest.fixture
def run(planet: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a page's blocks in one namespace; an hour passes between them."""
    (tmp_path / "aoi.geojson").write_text(json.dumps(AOI))
    monkeypatch.setenv("PL_API_KEY", planet.api_key)

    def run(page: str, title: str | None = None) -> dict[str, Any]:
        namespace: dict[str, Any] = {}
        for number, code in enumerate(blocks(page, title), 1):
            planet.clock.advance(3600)
            here = code.replace("/data", str(tmp_path))
            # The only thing that a reader with the sandbox adds.
            here = here.replace("PlanetConfig(", f"PlanetConfig(base_url={planet.url!r}, ")
            exec(compile(here, f"{page}, block {number}", "exec"), namespace)
        return namespace

    return run


def dags(namespace: dict[str, Any]) -> dict[str, list[str]]:
    found = {value for value in namespace.values() if isinstance(value, DAG)}
    return {dag.dag_id: sorted(dag.task_ids) for dag in found}


def by_id(items: list[dict[str, Any]]) -> dict[str, str]:
    """Return when each item was published."""
    return {item["id"]: item["properties"]["published"] for item in items}


@pytest.mark.planet_sandbox(**SOON, activation_seconds=0.3, scene_pixels=64)
def test_the_upgrade_guide(run: Run, planet: Sandbox, tmp_path: Path) -> None:
    left = run("upgrade-from-sdk.md", "here")
    assert dags(left) == {
        "find_scenes": ["search"],
        "imagery": ["download", "order", "search", "verify", "wait"],
    }
    assert len(left["items"]) == left["written"]["count"] > 0
    found, saved = (by_id(left[name]) for name in ("items", "saved_items"))
    assert found.items() <= saved.items()
    # An hour passes between the blocks, in which more may be published.
    newer = [at for one, at in saved.items() if one not in found]
    assert all(at > max(found.values()) for at in newer)
    assert [one["outcome"] for one in left["outcomes"]] == ["cancelled", "not_cancellable"]
    assert left["ended"]["state"] == "success"
    assert left["verified"].validated == len(left["transfer"].files)
    assert (tmp_path / "planet.json").stat().st_mode & 0o777 == 0o600
    assert left["status"] == 404
    assert len(planet.orders) == 2, "placed once, and the one that was cancelled"


def test_each_example_of_the_upgrade_guide_has_two_sides() -> None:
    sections = (DOCS / "upgrade-from-sdk.md").read_text(encoding="utf-8").split("\n## ")[1:]
    for section in sections:
        kinds = [kind for kind, _ in _BLOCK.findall(section)]
        assert kinds[:2] == ["SDK", "here"], section.splitlines()[0]
        for code in (code for kind, code in _BLOCK.findall(section) if kind == "SDK"):
            body = "\n".join(f"    {line}" for line in code.splitlines())
            compile(f"async def task():\n{body}\n", section.splitlines()[0], "exec")


@pytest.mark.planet_sandbox(**SOON, activation_seconds=5.0, scene_pixels=64)
def test_the_page_about_notebooks(run: Run) -> None:
    left = run("notebooks.md")
    left["session"].close()
    assert left["order"]["state"] == "success"
    assert left["lines"] == [f"{left['order_id']} is success"]


@pytest.mark.planet_sandbox(**SOON, activation_seconds=5.0, scene_pixels=64)
def test_the_page_about_searches(run: Run) -> None:
    left = run("searches.md")
    assert dags(left) == {"weekly": ["run", "save", "stats"]}
    # While hours pass between the blocks, more is published.
    assert left["total"] >= left["written"]["count"] > 0
    assert left["names"] == ["weekly"]


@pytest.mark.parametrize("page", ["upgrade-from-sdk.md", "notebooks.md", "searches.md"])
def test_links_lead_to_pages(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert targets
    assert [target for target in targets if not (DOCS / target).exists()] == []
