"""The page about the SDK's guide is up to date, and no row of it is empty."""

from __future__ import annotations

import pytest

import guide_coverage
from guide_coverage import PAGE, ROWS, CoverageError, Row, missing_apis, page, proofs


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/guide_coverage.py"


def test_each_name_is_there() -> None:
    assert missing_apis() == []
    assert len({row.id for row in ROWS}) == len(ROWS)


def test_markers_are_found_in_functions_methods_and_parameters() -> None:
    found = proofs()
    assert "unit/test_notebook.py::test_a_bar_shows_each_state_of_an_order" in found["order-wait-bar"]
    assert any("::TestServerErrors::" in test for test in found["session-limits-retries"])
    assert found["order-tool-clip"] == ["unit/client/test_guide_requests.py::test_a_part_of_an_order_request"]


@pytest.mark.parametrize(
    ("rows", "tests"),
    [
        ([Row("a", "A", ("exceptions",))], {}),
        ([Row("a", "A", ("exceptions",))], {"a": []}),
        ([Row("a", "A", ())], {"a": ["test_a"]}),
        ([Row("a", "A", ("exceptions",))], {"a": ["test_a"], "b": ["test_b"]}),
    ],
)
def test_an_empty_row_and_an_unknown_one_fail(rows: list[Row], tests: dict[str, list[str]]) -> None:
    with pytest.raises(CoverageError):
        page(rows, tests)


def test_a_name_that_is_not_there_is_told() -> None:
    assert missing_apis([Row("a", "A", ("client.orders.fly", "nowhere.at_all", "client.orders.get"))]) == [
        "client.orders.fly",
        "nowhere.at_all",
    ]


def test_the_check_tells_an_old_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    old = tmp_path_factory.mktemp("docs") / "guide-coverage.md"
    monkeypatch.setattr(guide_coverage, "PAGE", old)
    assert guide_coverage.main(["--check"]) == 1
    assert guide_coverage.main([]) == 0
    assert guide_coverage.main(["--check"]) == 0
