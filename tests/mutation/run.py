"""``make mutation``: change the code in small ways, one at a time, and count how many the tests notice.

1. The tests run once with coverage by test, to learn which tests run which line, and how long they take.
2. For each mutant of the sample, the tests that run its line run until one fails: first those of the test file
   that is named like the module, then the quickest, for at most ``--budget`` seconds of the time that they took
   before. Each attempt is a fork of a process that has imported Airflow, in a copy of the repository.

A line that runs only at import, such as a constant, is tried with all tests that run its file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import coverage

sys.path.insert(0, str(Path(__file__).parent))

from mutants import TARGETS, Mutant, sample

REPOSITORY = Path(__file__).resolve().parents[2]
#: The tests of ``make test`` that run in one process.
SELECTION = "not ci and not slow and not integration"
#: Seconds beyond three times what the tests took before. A mutant that hangs is noticed, too.
GRACE_SECONDS = 60.0
NOTICED = ("failed", "hung")


class CoveredLines:
    """Which tests run which lines, and how long each test takes.

    :param folder: Where the results of one run of all tests are, or will be, kept.
    """

    def __init__(self, repository: Path, folder: Path) -> None:
        durations = folder / "durations.json"
        if not durations.exists():
            durations.write_text(json.dumps(_measure(repository, folder)))
        self.durations: dict[str, float] = json.loads(durations.read_text())
        data = coverage.CoverageData(str(folder / "coverage"))
        data.read()
        self._lines = {
            str(Path(file).relative_to(repository)): data.contexts_by_lineno(file)
            for file in data.measured_files()
        }

    def tests_for(self, mutant: Mutant, budget: float, noticed_by: str | None) -> list[str]:
        """Return the tests to run, in order.

        :param budget: Seconds that they may have taken together before.
        :param noticed_by: A test that noticed this mutant before, which runs first.
        """
        lines = self._lines.get(mutant.path, {})
        covering = set(lines.get(mutant.line, ())) - {""} or set().union(*lines.values())
        tests = {context.partition("|")[0] for context in covering} & self.durations.keys()
        named = f"test_{Path(mutant.path).stem}.py"

        def order(test: str) -> tuple[bool, bool, float, str]:
            return test != noticed_by, named not in test, self.durations[test], test

        chosen: list[str] = []
        for test in sorted(tests, key=order):
            budget -= self.durations[test] + 0.01
            if budget < 0:
                break
            chosen.append(test)
        return chosen


def _measure(repository: Path, folder: Path) -> dict[str, float]:
    """Run all tests with coverage by test; return the seconds of those that pass."""
    settings, report = folder / "coveragerc", folder / "junit.xml"
    settings.write_text(
        f"[run]\ndata_file = {folder / 'coverage'}\nconcurrency = thread\nsource = planet_provider\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "load", "-m", SELECTION]
    command += ["--cov", "--cov-report=", f"--cov-config={settings}", "--cov-context=test"]
    command += [f"--junitxml={report}", "-o", "junit_family=legacy"]
    subprocess.run(command, cwd=repository, check=False)
    passed = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if not len(case):
            file = case.attrib["file"]
            inner = case.attrib["classname"].removeprefix(file.removesuffix(".py").replace("/", "."))
            passed["::".join(filter(None, [file, inner.strip("."), case.attrib["name"]]))] = float(
                case.attrib["time"]
            )
    return passed


class Worker:
    """A copy of the repository, and a process that forks for each attempt in it."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._repository = repository
        self._tree = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=repository, check=True, capture_output=True, text=True
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (repository / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(repository / name, folder / name)
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(folder)},
        )

    def attempt(self, mutant: Mutant, tests: Sequence[str], seconds: float) -> dict[str, Any]:
        """Run tests on a mutant.

        :param seconds: After which they count as hung.
        :return: ``{"outcome": "passed" | "failed" | "hung", "test": the first that failed}``
        """
        (self._tree / mutant.path).write_text(mutant.code(self._repository))
        try:
            return self._ask({"tests": tests, "seconds": seconds})
        finally:
            shutil.copy2(self._repository / mutant.path, self._tree / mutant.path)
            # Python compares a source's size and second: two mutants may have the same.
            shutil.rmtree((self._tree / mutant.path).parent / "__pycache__", ignore_errors=True)

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._server.stdin is None or self._server.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return dict(json.loads(self._server.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._server.terminate()
        self._server.wait()


def main() -> int:
    """Try the sample, and print how many mutants were noticed."""
    parser = argparse.ArgumentParser(prog="python tests/mutation/run.py", description=__doc__)
    parser.add_argument("--repository", type=Path, default=REPOSITORY, help="by default this one")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".mutation", help="for the results")
    parser.add_argument("--count", type=int, default=420, help="mutants")
    parser.add_argument("--seed", type=int, default=2026, help="of the sample")
    parser.add_argument("--budget", type=float, default=25.0, help="seconds of tests for one mutant")
    parser.add_argument("--earlier", type=Path, help="results.json of an earlier run, to be quicker")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    repository = options.repository.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    covered = CoveredLines(repository, options.folder)
    mutants = sample(repository, options.count, options.seed)
    noticed_by = _earlier(options.earlier) if options.earlier else {}
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="planet-mutation-") as temporary:
        workers = [Worker(repository, Path(temporary) / str(number)) for number in range(options.workers)]
        idle = list(workers)

        def attempt(mutant: Mutant) -> dict[str, Any]:
            tests = covered.tests_for(mutant, options.budget, noticed_by.get(mutant))
            if not tests:
                return asdict(mutant) | {"outcome": "untested"}
            worker = idle.pop()
            try:
                seconds = 3 * sum(covered.durations[test] for test in tests) + GRACE_SECONDS
                return asdict(mutant) | worker.attempt(mutant, tests, seconds)
            finally:
                idle.append(worker)

        with ThreadPoolExecutor(options.workers) as pool:
            for result in pool.map(attempt, mutants):
                results.append(result)
                print(len(results), json.dumps(result), flush=True)
        for worker in workers:
            worker.close()
    (options.folder / "results.json").write_text(json.dumps(results, indent=1))
    print_table(results)
    return 0


def _earlier(results: Path) -> dict[Mutant, str]:
    fields = Mutant.__dataclass_fields__
    return {
        Mutant(**{name: row[name] for name in fields}): row["test"]
        for row in json.loads(results.read_text())
        if row.get("test")
    }


def print_table(results: Sequence[Mapping[str, Any]]) -> None:
    """Print how many mutants there were, and how many were noticed, by package."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for result in results:
        target = next(target for target in TARGETS if result["path"].startswith(target))
        for group in (target, "all"):
            groups[group].append(result["outcome"] in NOTICED)
    for group, noticed in groups.items():
        share = sum(noticed) / len(noticed)
        print(f"{group:40} {len(noticed):4} mutants {sum(noticed):4} killed {share:6.1%}")


if __name__ == "__main__":
    raise SystemExit(main())
