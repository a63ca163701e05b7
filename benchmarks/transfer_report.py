"""What transfers are compared by: cases, the targets for them, and tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.planet_front import MB, Variant, Workload
from benchmarks.transfer_contestants import CONTESTANTS, Run

MAX_RSS = 150 * MB

#: Least ratios of the others' times to ours, by variant, workload and contestant.
TARGETS: Mapping[tuple[str, str, str], float] = {
    ("clear", "one", "sdk"): 5.0,
    ("clear", "many", "sdk"): 5.0,
    ("clear", "one", "curl"): 0.65,
    ("clear", "many", "curl"): 0.65,
    ("throttled", "many", "sdk"): 13.0,
    ("throttled", "one", "sdk"): 18.0,
    ("throttled", "many", "aria2c"): 0.95,
    ("throttled", "one", "aria2c"): 0.95,
    ("clear", "small", "sdk"): 20.0,
}


@dataclass(frozen=True)
class Case:
    """Something to measure."""

    variant: Variant
    workload: Workload

    @property
    def connections(self) -> int:
        """As many as make sense: most where each is slow."""
        return 16 if self.variant.rate else 4

    @property
    def contestants(self) -> list[str]:
        """Who is run: the SDK's limit matters where files are small, its digest where lines are fast.

        And curl has no ranges.
        """
        left_out = {"sdk-md5"} if self.workload.name == "small" or self.variant.rate else set()
        if self.workload.name != "small":
            left_out.add("sdk-unlimited")
        if self.variant.rate and self.workload.files == 1:
            left_out.add("curl")
        return [name for name in CONTESTANTS if name not in left_out]


def print_table(case: Case, runs: Mapping[str, Sequence[Run]]) -> None:
    """Print medians, and the median of the paired ratios."""
    print(f"\n**{case.workload.title}, {case.variant.title}, {case.connections} connections**\n")
    print(
        "| | MB/s | s | its time / ours | CPU s per GB | peak RSS MB | runs |\n|---|---|---|---|---|---|---|"
    )
    size = case.workload.bytes
    for name, found in runs.items():
        contestant = CONTESTANTS[name]
        seconds = statistics.median(each.seconds for each in found)
        cpu = statistics.median(each.cpu for each in found) / (size / 1000 / MB)
        times = ratio(runs, name)
        row = [
            contestant.title if contestant.verifies else f"{contestant.title} (nothing verified)",
            f"{size / MB / seconds:,.0f}",
            f"{seconds:.2f}",
            "-" if times is None else f"{times:.2f}",
            f"{cpu:.2f}",
            f"{max(each.rss for each in found) / MB:,.0f}",
            str(len(found)),
        ]
        print("| " + " | ".join(row) + " |", flush=True)


def ratio(runs: Mapping[str, Sequence[Run]], name: str) -> float | None:
    """Return another's time as a multiple of ours: the median over the rounds, or that of a single run by ours."""
    ours = [each.seconds for each in runs.get("ours", [])]
    others = [each.seconds for each in runs[name]]
    if not ours or not others:
        return None
    if len(others) == 1:
        return others[0] / statistics.median(ours)
    return statistics.median(other / own for other, own in zip(others, ours, strict=False))


def print_targets(case: Case, runs: Mapping[str, Sequence[Run]]) -> bool:
    """Say which targets are met.

    :return: Whether all are.
    """
    verdicts = []
    for name in runs:
        least = TARGETS.get((case.variant.name, case.workload.name, name))
        times = ratio(runs, name)
        if least is not None and times is not None:
            text = f"at least {least:g} x {CONTESTANTS[name].title}: {times:.2f}"
            verdicts.append((times >= least, text))
    if "ours" in runs:
        most = max(each.rss for each in runs["ours"])
        verdicts.append((most <= MAX_RSS, f"RSS at most {MAX_RSS / MB:.0f} MB: {most / MB:.0f}"))
    print()
    for met, text in verdicts:
        print_verdict(met, text)
    return all(met for met, _ in verdicts)


def print_verdict(met: bool, text: str) -> None:
    """Say whether a target is met."""
    print(f"- {'met' if met else 'MISSED'}: {text}", flush=True)
