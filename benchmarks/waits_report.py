"""What a contest of waits has come to, and which of its targets were missed; for :mod:`benchmarks.waits`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Requests a minute of the most waits, in multiples of those of the fewest.
MOST_REQUESTS = 3.0

#: Seconds behind the interval between two looks by which 99 of 100 events have come.
LATE_SECONDS = 5.0

#: Longest time in seconds that our own work may hold the event loop. The garbage collector's time is told apart:
#: most objects are Airflow's.
BLOCKED_SECONDS = 0.05

HEAD = (
    "| client | N | requests/min | after the first minute | CPU % | RSS a wait, KiB | p50 s | p99 s | "
    "longest block ms (work / garbage collector / clock) | 429s | errors |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """A contestant's figures. Times are in seconds, unless they say otherwise.

    :param events: Waits that ended well.
    :param rss: Bytes for each wait.
    :param busy: Longest that the event loop's thread worked in one turn; ``collected`` of it is apart.
    :param refused: Answers 429.
    """

    name: str
    count: int
    events: int
    requests_per_minute: float
    steady_per_minute: float
    cpu_percent: float
    rss: float
    p50: float
    p99: float
    busy: float
    collected: float
    late: float
    refused: int
    errors: int

    @classmethod
    def of(cls, name: str, count: int, figures: dict[str, Any], asked: Sequence[Sequence[Any]]) -> Row:
        """Work out the figures.

        :param figures: As :mod:`benchmarks.waits_client` writes them.
        :param asked: Requests as ``[at, method, path, status]``.
        """
        minutes = figures["seconds"] / 60
        # Machine-wide: the sandbox notes requests by the same clock.
        steady = [one for one in asked if one[0] > figures["started"] + 60]
        return cls(
            name=name,
            count=count,
            events=len(figures["delays"]),
            requests_per_minute=len(asked) / minutes,
            steady_per_minute=len(steady) / max(minutes - 1, 0.01),
            cpu_percent=100 * figures["cpu"] / figures["seconds"],
            rss=figures["rss"],
            p50=percentile(figures["delays"], 50),
            p99=percentile(figures["delays"], 99),
            busy=figures["busy"],
            collected=figures["collected"],
            late=figures["late"],
            refused=Counter(one[3] for one in asked)[429],
            errors=len(figures["errors"]),
        )

    def __str__(self) -> str:
        return (
            f"| {self.name} | {self.count} | {self.requests_per_minute:.1f} | {self.steady_per_minute:.1f} | "
            f"{self.cpu_percent:.2f} | {self.rss / 1024:.0f} | {self.p50:.1f} | {self.p99:.1f} | "
            f"{1000 * self.busy:.0f} / {1000 * self.collected:.0f} / {1000 * self.late:.0f} | "
            f"{self.refused} | {self.errors} |"
        )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the least value that so many of a hundred don't exceed; NaN where there are none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def missed(rows: Sequence[Row], interval: float) -> list[str]:
    """Return which targets our rows miss; the others' are for comparison.

    :param interval: Seconds between two looks.
    """
    ours = sorted((row for row in rows if row.name == "ours"), key=lambda row: row.count)
    found = []
    for row in ours:
        who = f"{row.name} at N = {row.count}"
        if row.events < row.count:
            found.append(f"{who}: {row.count - row.events} waits didn't end with an event.")
        # Not "greater", which no comparison with NaN is.
        if not row.p99 <= interval + LATE_SECONDS:
            found.append(
                f"{who}: p99 is {row.p99:.1f} s, and should be at most {interval + LATE_SECONDS:g} s."
            )
        if not row.busy <= BLOCKED_SECONDS:
            found.append(
                f"{who}: the loop was held for {1000 * row.busy:.0f} ms, and should be for at most "
                f"{1000 * BLOCKED_SECONDS:.0f} ms."
            )
    if len(ours) > 1:
        few, many = ours[0], ours[-1]
        most = MOST_REQUESTS * few.requests_per_minute
        if not many.requests_per_minute <= most:
            found.append(
                f"ours at N = {many.count}: {many.requests_per_minute:.1f} requests a minute, and should take at "
                f"most {MOST_REQUESTS:g} times those at N = {few.count}: {most:.1f}."
            )
    return found
