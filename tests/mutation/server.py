"""A process that has imported Airflow, and forks for each set of tests: ``python server.py TREE``.

Reads ``{"tests": [...], "seconds": ...}`` a line and answers ``{"outcome": ..., "test": ...}``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any


class First:
    """Notes the first test that failed."""

    def __init__(self) -> None:
        self.failed: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note it."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def run(tests: list[str], pipe: int) -> None:
    """Run tests in this process, which ends with them."""
    import pytest

    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    first = First()
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", *tests]
    status = int(pytest.main(arguments, plugins=[first]))
    os.write(pipe, json.dumps({"status": status, "test": first.failed}).encode())
    os._exit(0)


def attempt(tests: list[str], seconds: float) -> dict[str, Any]:
    """Fork, run tests, and return what came of them."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            run(tests, writer)
        finally:
            os._exit(1)
    os.close(writer)
    deadline = time.monotonic() + seconds
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, _ = os.waitpid(child, os.WNOHANG)
        if not ended:
            time.sleep(0.02)
    if not ended:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        return {"outcome": "hung", "test": None}
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # processes that the tests left running
    with os.fdopen(reader) as answer:
        said = json.loads(answer.read() or '{"status": -1, "test": null}')
    outcome = "passed" if said["status"] == 0 else "failed"
    return {"outcome": outcome, "test": said["test"], "status": said["status"]}


def main() -> None:
    """Import what all tests import but our own code, then serve."""
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="planet-mutation-")
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Airflow prints when it is imported.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(sys.argv[1])
    sys.path.insert(0, sys.argv[1])
    import aiohttp.web
    import airflow.providers.common.compat.sdk
    import airflow.sdk
    import boto3
    import httpx
    import hypothesis
    import pyproj
    import pytest
    import rasterio
    import shapely
    import tenacity

    del aiohttp, airflow, boto3, httpx, hypothesis, pyproj, pytest, rasterio, shapely, tenacity
    # Airflow has looked for providers; none of the modules that are mutated may be there yet.
    ours = [name for name in sys.modules if name.startswith("planet_provider.")]
    if ours:
        raise RuntimeError(f"imported too early: {ours}")
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(attempt(asked["tests"], asked["seconds"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
