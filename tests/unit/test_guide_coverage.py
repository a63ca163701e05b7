"""The page about the SDK's guide is up to date, and no row of it is empty."""

from __future__ import annotations

import pytest

import guide_coverage
from guide_coverage import PAGE, ROWS, CoverageError, Row, missing_apis, page, pages_without_it
from guide_proofs import asks_a_server, proofs


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


#: Tests that ask a sandbox, and one that doesn't.
ASKS = "unit/test_notebook.py::test_a_bar_shows_each_state_of_an_order"
ASKS_BY_A_FIXTURE = "unit/airflow/test_guide_rows.py::test_the_key_is_what_planet_gets"
ASKS_NOBODY = "unit/client/test_filters.py::test_same_json_as_the_sdk"
ERRORS = ("errors.md", ("exceptions.PlanetError",))


def test_who_asks_a_sandbox_is_found_by_the_fixtures() -> None:
    assert asks_a_server(ASKS)
    assert asks_a_server(ASKS_BY_A_FIXTURE)
    assert asks_a_server("unit/airflow/test_hook_searches.py::test_collecting"), "by planet, in a conftest"
    assert not asks_a_server(ASKS_NOBODY)
    assert not asks_a_server("unit/client/test_filters.py::test_that_is_not_there")


def test_a_row_that_is_proved_and_told_of_is_fine() -> None:
    text = page([Row("a", "A", *ERRORS)], {"a": [ASKS, ASKS_NOBODY]})
    assert (
        f"| A (`a`) | `exceptions.PlanetError` | [errors](errors.md) | `{ASKS}` †<br>`{ASKS_NOBODY}` |"
        in text
    )


@pytest.mark.parametrize(
    ("rows", "tests", "said"),
    [
        ([Row("a", "A", *ERRORS)], {}, "rows without a test or an API: ['a']"),
        ([Row("a", "A", *ERRORS)], {"a": []}, "rows without a test or an API: ['a']"),
        ([Row("a", "A", "errors.md", ())], {"a": [ASKS]}, "rows without a test or an API: ['a']"),
        ([Row("a", "A", *ERRORS)], {"a": [ASKS], "b": [ASKS]}, "markers of no row: ['b']"),
        ([Row("a", "A", *ERRORS)], {"a": [ASKS_NOBODY]}, "rows without a test through a socket: ['a']"),
        ([Row("a", "A", "nowhere.md", ERRORS[1])], {"a": [ASKS]}, "page is not there, or names nothing"),
        ([Row("a", "A", "filters.md", ERRORS[1])], {"a": [ASKS]}, "page is not there, or names nothing"),
    ],
)
def test_an_empty_row_and_an_unknown_one_fail(
    rows: list[Row], tests: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(CoverageError) as caught:
        page(rows, tests)
    assert said in str(caught.value)


def test_each_page_tells_of_its_rows() -> None:
    assert pages_without_it() == []


def test_a_name_that_is_not_there_is_told() -> None:
    assert missing_apis(
        [Row("a", "A", "errors.md", ("client.orders.fly", "nowhere.at_all", "client.orders.get"))]
    ) == [
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
