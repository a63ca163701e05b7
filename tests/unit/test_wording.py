"""Plurals and sizes in messages."""

from __future__ import annotations

import pytest

from planet_provider.wording import (
    and_more,
    counted,
    file_size,
    grouped,
)


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [
        (0, "item", "0 items"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
        (12000, "file", "12,000 files"),
    ],
)
def test_counts(number: int, noun: str, shown: str) -> None:
    assert counted(number, noun) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (10**12, "1.0 TB"),
    ],
)
def test_sizes(number: int, shown: str) -> None:
    assert file_size(number) == shown


def test_equal_texts_are_counted_and_all_is_bounded() -> None:
    assert grouped(["a.", "b", "b"]) == ["b (2 times)", "a."]
    many = grouped([f"{number}: {'x' * 1000}" for number in range(500)])
    assert many[-1] == "and 490 more"
    assert len("; ".join(many)) < 4000


@pytest.mark.parametrize(
    ("total", "noun", "shown"),
    [(2, "file", "a, b"), (3, "file", "a, b and 1 more file"), (1002, "", "a, b and 1,000 more")],
)
def test_names_are_followed_by_how_many_there_are_besides(total: int, noun: str, shown: str) -> None:
    assert and_more(["a", "b"], total, noun) == shown
