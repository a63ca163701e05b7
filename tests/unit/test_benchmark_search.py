"""The benchmark of searches fails where it should, and ours stays in its bound on a small search."""

from __future__ import annotations

import pytest

from benchmarks import search
from benchmarks.search import BOUNDED, MOST_MB, Figures


def figures(items: int = 1000, peak: float = 80.0) -> Figures:
    return Figures(items=items, seconds=1.0, peak=peak, base=40.0)


def test_what_is_wrong_is_told() -> None:
    assert search.faults("ours-ndjson", [figures()], 1000) == []
    assert search.faults("sdk-list", [figures(), figures(items=999)], 1000) == [
        "sdk-list: 999 of 1000 items came"
    ]
    for name in BOUNDED:
        assert search.faults(name, [figures(peak=MOST_MB + 1), figures()], 1000) == [
            f"{name}: 151 MB, more than 150"
        ]
    assert search.faults("ours-list", [figures(peak=900.0)], 1000) == []


def test_a_small_run(capsys: pytest.CaptureFixture[str]) -> None:
    large = b"x" * (200 << 20)  # what the process that starts it takes doesn't count
    assert search.main(["--items", "500", "--rounds", "1", "--only", *BOUNDED]) == 0
    assert large
    assert capsys.readouterr().out.count("| ours, into a") == 2


def test_a_run_beyond_the_bound_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MOST_MB", 1.0)
    assert search.main(["--items", "250", "--rounds", "1", "--only", "ours-ndjson"]) == 1
    assert "ours-ndjson: " in capsys.readouterr().err
