"""What a search's log shows of its first items."""

from __future__ import annotations

from typing import Any

import pytest

from planet_provider.operators.items_table import items_table

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1], [0, 0]]]}


def test_an_item_has_its_id_time_cloud_cover_and_area() -> None:
    item = {
        "id": "20261130_180142_51_2430",
        "properties": {"acquired": "2026-11-30T18:01:42.51Z", "cloud_cover": 0.07},
        "geometry": SQUARE,
    }
    title, header, row = items_table([item], 1).splitlines()
    assert title == "The items:"
    assert header.split("  ")[0] == "id"
    assert row.split() == ["20261130_180142_51_2430", "2026-11-30T18:01:42", "7%", "123.1"]
    assert items_table([item], 3).splitlines()[-1] == "and 2 more"


@pytest.mark.parametrize(
    "item", [{}, {"id": "x", "properties": None, "geometry": 7}, {"id": "x", "geometry": {"type": "Blob"}}]
)
def test_what_is_odd_is_a_question_mark(item: dict[str, Any]) -> None:
    assert items_table([item], 1).splitlines()[-1].endswith("?")
