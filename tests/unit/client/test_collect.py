from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_support import ANY, session_of
from planet_provider.client import collect
from planet_provider.client.api import data
from planet_provider.sandbox import Sandbox

features = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from("abcdefgh"),
            "type": st.just("Feature"),
            "properties": st.fixed_dictionaries(
                {"item_type": st.sampled_from(["PSScene", "SkySatScene"]), "note": st.text()}
            ),
        }
    )
)


def key(item: dict[str, Any]) -> tuple[str, str]:
    return item["properties"]["item_type"], item["id"]


@given(pages=st.lists(features, max_size=5), limit=st.none() | st.integers(1, 10))
def test_each_item_once_in_order(pages: list[list[dict[str, Any]]], limit: int | None) -> None:
    expected = list(dict.fromkeys(key(item) for page in pages for item in page))
    got = [key(item) for item in collect.items(pages, limit)]
    assert got == expected[:limit]


def test_no_further_page_is_asked_for() -> None:
    def pages() -> Iterator[list[dict[str, Any]]]:
        for number in range(3):
            asked.append(number)
            yield [{"id": f"{number}{letter}", "properties": {"item_type": "PSScene"}} for letter in "ab"]

    for limit, expected in ((1, [0]), (2, [0]), (3, [0, 1]), (None, [0, 1, 2])):
        asked: list[int] = []
        items = list(collect.items(pages(), limit))
        assert asked == expected
        assert len(items) == (6 if limit is None else limit)


def test_feature_collection() -> None:
    assert collect.feature_collection(iter([])) == {"type": "FeatureCollection", "features": []}
    assert collect.feature_collection([{"id": "a"}])["features"] == [{"id": "a"}]


@given(found=features)
def test_written_files_read_back(found: list[dict[str, Any]]) -> None:
    for suffix in (collect.GEOJSON, collect.NDJSON):
        chunks: list[bytes] = []
        assert list(collect.write(found, chunks.append, suffix)) == found
        text = b"".join(chunks).decode()
        if suffix == collect.GEOJSON:
            assert json.loads(text) == collect.feature_collection(found)
        else:
            assert [json.loads(line) for line in text.split("\n")[:-1]] == found
            assert text.count("\n") == len(found)


def test_items_are_written_as_they_come() -> None:
    chunks: list[bytes] = []
    writing = collect.write(({"id": str(number)} for number in range(3)), chunks.append, ".ndjson")
    assert chunks == []
    next(writing)
    assert b"".join(chunks) == b'{"id":"0"}'


@pytest.mark.guide("collect-list")
@pytest.mark.planet_sandbox(rate_limits=False)
def test_a_search_of_the_sandbox(planet_sandbox: Sandbox) -> None:
    with session_of(planet_sandbox) as session:
        everything = list(collect.items(session.pages(data.quick_search(["PSScene"], ANY))))
        first = list(collect.items(session.pages(data.quick_search(["PSScene"], ANY, page_size=7)), 20))
    assert len(everything) > 250
    assert first == everything[:20]
