"""The benchmarks say by their exit status whether a target was missed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import ratelimit, search
from benchmarks.waits_report import Row, missed


def test_a_rate_limit_target_that_is_missed_is_named() -> None:
    good = ratelimit.Figures(budget=1.0, densest=11, spread=0.11, unit=0.05, cpu=0.4)
    assert ratelimit.faults("file", good) == []
    bad = replace(good, budget=0.97, densest=12, spread=0.16)
    assert ratelimit.faults("redis", bad) == [
        "97.0 % of the budget, less than 98",
        "12 in a second, more than 11",
        "a spread of 16.0 %, more than 15",
    ]
    assert ratelimit.faults("sdk", bad) == [], "other libraries have no target"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"delays": [36.0] * 10}, "p99 is 36.0 s"),
        ({"busy": 0.051}, "held for 51 ms"),
        ({"delays": [20.0] * 9}, "1 waits didn't end"),
    ],
)
def test_a_target_for_waits_that_is_missed_is_named(change: dict[str, object], says: str | None) -> None:
    figures = {
        "started": 100.0, "seconds": 600.0, "cpu": 6.0, "rss": 10240, "late": 0.2, "busy": 0.03,
        "collected": 0.1, "errors": [], "delays": [20.0] * 10,
    }  # fmt: skip
    found = missed([Row.of("ours", 10, figures | change, [[110.0, "GET", "/", 200]])], 30.0)
    assert [says in one for one in found] == ([] if says is None else [True])


@pytest.mark.slow
@pytest.mark.parametrize(("bound", "status"), [(None, 0), (1.0, 1)])
def test_a_small_search_is_measured(
    bound: float | None, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if bound is not None:
        monkeypatch.setattr(search, "MOST_MB", bound)
    assert search.main(["--items", "250", "--rounds", "1", "--only", "ours-ndjson"]) == status
    said = capsys.readouterr()
    assert said.out.count("| ours, into a") == 1
    assert ("ours-ndjson: " in said.err) == bool(status)
