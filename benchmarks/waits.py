"""Wait for many orders in one process: our triggers and Planet's SDK, and one task's process for comparison.

Each contestant has a sandbox in a process of its own, with Planet's documented rate limits, whose orders begin
to run and end at times spread evenly. All run at the same time, so this takes as long as the orders do. It ends
with exit code 1 where ours misses a target of :mod:`benchmarks.waits_report`, and says which.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from benchmarks.waits_report import HEAD, Row, missed

#: Orders that each contestant waits for.
OURS, SDK = (10, 100, 1000, 5000), (10, 100, 1000)
#: Processes of waiting tasks to measure.
TASKS = 3


@dataclass
class Contest:
    """A contestant with its sandbox.

    :param result: File for its figures.
    """

    name: str
    count: int
    server: subprocess.Popen[str]
    client: subprocess.Popen[str]
    result: Path


def start(name: str, count: int, arguments: argparse.Namespace, folder: Path, stack: ExitStack) -> Contest:
    """Start a sandbox, and a contestant that waits for its orders."""
    server = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.waits_server", str(count), str(arguments.seconds), "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    stack.callback(server.terminate)
    assert server.stdout is not None
    told = server.stdout.readline()
    if not told:
        raise RuntimeError("The sandbox did not start; see above.")
    result = folder / f"{name}-{count}.json"
    home = folder / f"{name}-{count}"
    home.mkdir()
    client = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.waits_client", name, str(arguments.interval), str(result)],
            stdin=subprocess.PIPE,
            stdout=(home / "log").open("w"),
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "AIRFLOW_HOME": str(home)},
        )
    )
    stack.callback(client.terminate)
    assert client.stdin is not None
    client.stdin.write(told)
    client.stdin.close()
    return Contest(name, count, server, client, result)


def finish(contest: Contest) -> Row:
    """Wait for a contestant's end, and return its row."""
    contest.client.wait()
    output, _ = contest.server.communicate()
    asked = json.loads(output.splitlines()[-1])
    figures: dict[str, Any] = json.loads(contest.result.read_text())
    for error, times in Counter(figures["errors"]).most_common(3):
        print(f"{contest.name} {contest.count}: {times} x {error}", file=sys.stderr)
    return Row.of(contest.name, contest.count, figures, asked)


def tasks(arguments: argparse.Namespace, folder: Path) -> str:
    """Measure the memory of tasks that wait in processes of their own."""
    with ExitStack() as stack:
        server = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.waits_server", str(TASKS), "1000", "1"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(server.terminate)
        assert server.stdout is not None
        told = server.stdout.readline()
        processes = []
        for _ in range(TASKS):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.waits_task"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env={**os.environ, "AIRFLOW_HOME": str(folder)},
                )
            )
            stack.callback(process.terminate)
            assert process.stdin is not None
            process.stdin.write(told)
            process.stdin.close()
            processes.append(process)
        time.sleep(arguments.settle)
        assert all(process.poll() is None for process in processes)
        memory = [psutil.Process(process.pid).memory_full_info() for process in processes]
        rss, pss = (
            statistics.median(getattr(one, kind) for one in memory) / 2**20 for kind in ("rss", "pss")
        )
    return f"A task that waits in a process of its own: {rss:.0f} MB RSS, {pss:.0f} MB PSS (no supervisor)."


def main(words: Sequence[str] | None = None) -> int:
    """Run the contest and print its table.

    :return: 1 where ours misses a target, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--ours", type=int, nargs="*", default=OURS, metavar="N", help="orders for our triggers"
    )
    parser.add_argument("--sdk", type=int, nargs="*", default=SDK, metavar="N", help="orders for the SDK")
    parser.add_argument("--seconds", type=float, default=1800.0, help="time over which the orders end")
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two looks")
    parser.add_argument(
        "--settle", type=float, default=30.0, help="seconds until a task's memory is measured"
    )
    parser.add_argument("--no-tasks", action="store_true", help="measure no task processes")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="planet-waits-") as name, ExitStack() as stack:
        folder = Path(name)
        if not arguments.no_tasks:
            print(tasks(arguments, folder), flush=True)
        contests = [
            start(kind, count, arguments, folder, stack)
            for kind, counts in (("ours", arguments.ours), ("sdk", arguments.sdk))
            for count in counts
        ]
        print(HEAD)
        rows = []
        for contest in contests:
            rows.append(finish(contest))
            print(rows[-1], flush=True)
    misses = missed(rows, arguments.interval)
    for miss in misses:
        print(f"MISSED: {miss}")
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
