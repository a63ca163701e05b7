"""The benchmark of rate limiters fails where ours misses a target."""

from __future__ import annotations

import pytest

from benchmarks import ratelimit
from benchmarks.ratelimit import Figures, faults

GOOD = Figures(budget=1.0, densest=11, spread=0.11, unit=0.05, cpu=0.4)


@pytest.mark.parametrize("name", ["file", "redis"])
def test_what_is_missed_is_told(name: str) -> None:
    assert faults(name, GOOD) == []
    bad = Figures(budget=0.97, densest=12, spread=0.16, unit=0.05, cpu=0.4)
    assert faults(name, bad) == [
        "97.0 % of the budget, less than 98",
        "12 in a second, more than 11",
        "a spread of 16.0 %, more than 15",
    ]


def test_nothing_is_asked_of_others() -> None:
    assert faults("sdk", Figures(budget=7.6, densest=80, spread=2.0, unit=0.05, cpu=0.4)) == []


@pytest.mark.parametrize(
    ("run", "alone", "code", "said"),
    [
        (GOOD, 35.0, 0, ""),
        (GOOD, 51.0, 1, "missed: ours, file://: 51 µs uncontended, more than 50"),
        (
            Figures(budget=1.0, densest=13, spread=0.1, unit=0.05, cpu=0.4),
            35.0,
            1,
            "missed: ours, file://, async: 13 in a second, more than 11",
        ),
    ],
)
def test_the_exit_code(
    run: Figures,
    alone: float,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ratelimit, "_run", lambda name, mode, seconds: run)
    monkeypatch.setattr(ratelimit, "_uncontended", lambda name: alone)
    assert ratelimit.main(["--only", "file", "--modes", "async"]) == code
    output = capsys.readouterr()
    assert "| ours, file:// | 100 |" in output.out
    assert said in output.err
    assert ("missed" in output.err) == bool(code)
