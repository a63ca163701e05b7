"""The benchmark of waits: its percentiles, and that it fails where a target is missed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.waits_report import Row, missed, percentile

FIGURES = {
    "started": 100.0,
    "seconds": 600.0,
    "cpu": 6.0,
    "rss": 10 * 1024,
    "late": 0.2,
    "busy": 0.03,
    "collected": 0.1,
    "errors": ["TransportError: gone"],
    "delays": [float(number) for number in range(1, 100)],
}
ASKED = [[110.0, "GET", "/", 200], [120.0, "GET", "/", 429], [400.0, "GET", "/", 200]]
GOOD = Row.of("ours", 10, FIGURES | {"errors": [], "delays": [20.0] * 10}, ASKED)


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(1, 99, 1), (10, 99, 10), (100, 99, 99), (1000, 99, 990), (5000, 99, 4950), (10, 50, 5), (3, 50, 2)],
)
def test_percentiles_are_of_the_nearest_rank(count: int, percent: int, expected: int) -> None:
    assert percentile([float(number) for number in range(count, 0, -1)], percent) == expected


def test_no_value_has_no_percentile() -> None:
    assert math.isnan(percentile([], 99))


def test_the_row() -> None:
    row = Row.of("ours", 100, FIGURES, ASKED)
    assert str(row) == "| ours | 100 | 0.3 | 0.1 | 1.00 | 10 | 50.0 | 99.0 | 30 / 100 / 200 | 1 | 1 |"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"p99": 35.0}, None),
        ({"p99": 35.1}, "p99 is 35.1 s"),
        ({"p99": math.nan}, "p99 is nan"),
        ({"busy": 0.051}, "held for 51 ms"),
        ({"collected": 0.5, "late": 2.0}, None),
        ({"events": 9}, "1 waits didn't end"),
    ],
)
def test_targets_of_a_row(changes: dict[str, float], says: str | None) -> None:
    found = missed([replace(GOOD, **changes)], 30.0)  # type: ignore[arg-type]
    assert len(found) == (0 if says is None else 1)
    assert says is None or says in found[0]
    assert missed([replace(GOOD, name="sdk", **changes)], 30.0) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("times", "misses"), [(2.9, 0), (3.1, 1)])
def test_many_waits_take_hardly_more_requests_than_few(times: float, misses: int) -> None:
    many = replace(GOOD, count=5000, events=5000, requests_per_minute=times * GOOD.requests_per_minute)
    found = missed([many, replace(GOOD, count=100, events=100, requests_per_minute=1e6), GOOD], 30.0)
    assert len(found) == misses
    assert all("at N = 5000" in one for one in found)


@pytest.mark.parametrize(("p99", "code"), [(34.0, 0), (36.0, 1)])
def test_the_exit_code(p99: float, code: int) -> None:
    script = f"""
import sys
from benchmarks import waits, waits_report

row = waits_report.Row.of("ours", 10, {FIGURES | {"errors": [], "delays": [p99] * 10}!r}, {json.dumps(ASKED)})
waits.start = lambda *given: None
waits.finish = lambda contest: row
sys.exit(waits.main(["--ours", "10", "--sdk", "--no-tasks"]))
"""
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.count("MISSED: ours at N = 10: p99 is 36.0 s") == code
