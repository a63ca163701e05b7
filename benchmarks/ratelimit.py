"""Measure rate limiters: eight processes share one class of 10 requests a second.

``python -m benchmarks.ratelimit`` prints a table in Markdown. A server in a process of its own notes the
arrivals; they count from the first one on, for the length of the run. All of it takes about seven minutes. It ends
with 1 where ours misses a target, and says which.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from benchmarks.contestants import ALONE, CONTESTANTS, RATE, Contestant, Setting
from benchmarks.counting_server import Arrival, counting_server
from benchmarks.redis_server import redis_server

PROCESSES = 8
TASKS = 5
MODES = ("sync", "async", "mixed")
_READY_SECONDS = 60.0

#: What ours has to reach: with a store that processes share, and alone with a folder.
SHARED = ("file", "redis")
LEAST_BUDGET = 0.98
MOST_IN_A_SECOND = int(RATE) + 1
MOST_SPREAD = 0.15
MOST_MICROSECONDS = {"file": 50.0}


@dataclass(frozen=True)
class Figures:
    """What one run came to.

    :param budget: Requests, as a share of the limit.
    :param densest: Most arrivals in any window of one second.
    :param spread: Largest difference between processes of a kind (sync or async), as a share of their mean.
    :param unit: What one request more or less is of that mean.
    :param cpu: CPU seconds of all processes.
    """

    budget: float
    densest: int
    spread: float
    unit: float
    cpu: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; fail where ours misses a target."""
    missed: list[str] = []
    options = _options(arguments)
    print(
        "| limiter | budget used % (sync / async / mixed) | most in any 1 s | spread between processes % | "
        "CPU s | uncontended acquire µs |\n|---|---|---|---|---|---|"
    )
    for name in options.only:
        label, _ = CONTESTANTS[name]
        runs = [] if name in ALONE else [_run(name, mode, options.seconds) for mode in options.modes]
        alone = _uncontended(name)
        row = [
            label,
            _joined(f"{100 * run.budget:.0f}" for run in runs),
            _joined(str(run.densest) for run in runs),
            _joined(f"{100 * run.spread:.0f}" for run in runs),
            _joined(f"{run.cpu:.1f}" for run in runs),
            "-" if alone is None else f"{alone:.0f}",
        ]
        print("| " + " | ".join(row) + " |", flush=True)
        for mode, run in zip(options.modes, runs, strict=False):
            print(f"{label}, {mode}: {run}", file=sys.stderr)
            missed += [f"{label}, {mode}: {each}" for each in faults(name, run)]
        if alone is not None and alone > MOST_MICROSECONDS.get(name, math.inf):
            missed.append(f"{label}: {alone:.0f} µs uncontended, more than {MOST_MICROSECONDS[name]:.0f}")
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} at the end", file=sys.stderr)
    for each in missed:
        print(f"missed: {each}", file=sys.stderr)
    return 1 if missed else 0


def faults(name: str, run: Figures) -> list[str]:
    """Return the targets that a run of ours missed.

    :param name: Of the limiter; nothing is asked of others'.
    """
    if name not in SHARED:
        return []
    told = {
        f"{100 * run.budget:.1f} % of the budget, less than {100 * LEAST_BUDGET:.0f}": run.budget
        < LEAST_BUDGET,
        f"{run.densest} in a second, more than {MOST_IN_A_SECOND}": run.densest > MOST_IN_A_SECOND,
        f"a spread of {100 * run.spread:.1f} %, more than {100 * MOST_SPREAD:.0f}": run.spread > MOST_SPREAD,
    }
    return [what for what, is_missed in told.items() if is_missed]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratelimit", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of a run (default: 15)")
    parser.add_argument(
        "--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="LIMITER"
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    return parser.parse_args(arguments)


def _joined(texts: Iterable[str]) -> str:
    return " / ".join(texts) or "-"


def _run(name: str, mode: str, seconds: float) -> Figures:
    context = multiprocessing.get_context("spawn")
    with (
        counting_server() as server,
        redis_server() as redis,
        tempfile.TemporaryDirectory(prefix="planet-benchmark-") as directory,
    ):
        setting = Setting(server.url, directory, redis.url)
        barrier = context.Barrier(PROCESSES)
        workers, results = [], []
        for number in range(PROCESSES):
            kind = mode if mode != "mixed" else ("sync", "async")[number % 2]
            ours, theirs = context.Pipe()
            worker = context.Process(
                target=_work,
                args=(name, kind, number, seconds, setting, barrier, theirs),
                daemon=True,
            )
            worker.start()
            theirs.close()
            workers.append(worker)
            results.append(ours)
        cpu = sum(_received(name, result) for result in results)
        for worker in workers:
            worker.join()
        return figures(server.arrivals(), seconds, cpu)


def _received(name: str, result: Connection) -> float:
    try:
        return float(result.recv())
    except EOFError:
        raise RuntimeError(f"a process of {name} failed; see above") from None


def figures(arrivals: Sequence[Arrival], seconds: float, cpu: float) -> Figures:
    """Condense the arrivals of a run, from the first one on.

    :param arrivals: Oldest first; callers are named ``<kind>-<process>``.
    :param seconds: Length of the run.
    """
    start = arrivals[0].at
    counted = [each for each in arrivals if each.at < start + seconds]
    counts = Counter(each.caller for each in counted)
    spreads = []
    for kind in {caller.split("-")[0] for caller in counts}:
        processes = range(0 if kind == "sync" else 1, PROCESSES, 2) if _is_mixed(counts) else range(PROCESSES)
        shares = [counts[f"{kind}-{number}"] for number in processes]
        mean = statistics.fmean(shares)
        spreads.append(((max(shares) - min(shares)) / mean, 1 / mean))
    return Figures(len(counted) / (RATE * seconds), densest(counted), *max(spreads), cpu)


def _is_mixed(counts: Counter[str]) -> bool:
    return len({caller.split("-")[0] for caller in counts}) > 1


def densest(arrivals: Sequence[Arrival], window: float = 1.0) -> int:
    """Return the most arrivals in any window.

    :param arrivals: Oldest first.
    :param window: Seconds.
    """
    most = first = 0
    for last, arrival in enumerate(arrivals):
        while arrival.at - arrivals[first].at >= window:
            first += 1
        most = max(most, last - first + 1)
    return most


def _work(
    name: str, kind: str, number: int, seconds: float, setting: Setting, barrier: Barrier, result: Connection
) -> None:
    contestant = CONTESTANTS[name][1](setting)
    caller = f"{kind}-{number}"
    if kind == "sync":
        cpu = _work_sync(contestant, caller, seconds, barrier)
    else:
        cpu = asyncio.run(_work_async(contestant, caller, seconds, barrier))
    result.send(cpu)
    result.close()
    # Those that still wait for a slot are left behind.
    os._exit(0)


def _work_sync(contestant: Contestant, caller: str, seconds: float, barrier: Barrier) -> float:
    send = contestant.sync()
    barrier.wait(_READY_SECONDS)
    end, cpu = time.monotonic() + seconds, time.process_time()
    while time.monotonic() < end:
        send(caller)
    return time.process_time() - cpu


async def _work_async(contestant: Contestant, caller: str, seconds: float, barrier: Barrier) -> float:
    send = await contestant.asynchronous()
    barrier.wait(_READY_SECONDS)
    end, cpu = time.monotonic() + seconds, time.process_time()

    async def task() -> None:
        while True:
            await send(caller)

    tasks = [asyncio.create_task(task()) for _ in range(TASKS)]
    done, _ = await asyncio.wait(
        tasks, timeout=end - time.monotonic() + 0.2, return_when=asyncio.FIRST_EXCEPTION
    )
    for each in done:
        each.result()
    return time.process_time() - cpu


def _uncontended(name: str, calls: int = 1000, rounds: int = 7) -> float | None:
    with redis_server() as redis, tempfile.TemporaryDirectory(prefix="planet-benchmark-") as directory:
        acquire = CONTESTANTS[name][1](Setting("http://127.0.0.1:9", directory, redis.url)).acquire()
        if acquire is None:
            return None
        acquire()
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(calls):
                acquire()
            times.append((time.perf_counter() - started) / calls)
    return 1e6 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
