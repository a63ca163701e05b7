"""A task that is killed: nothing wrong is published, and the next try goes on where it was."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from transfer_support import (
    QUICK,
    assert_whole,
    files_below,
    order_id,
    session,
    storage_requests,
)

from client_support import session_of
from planet_provider.client.http.session import PlanetSession
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.transfer import download_order

__all__ = ["order_id", "session"]

pytestmark = pytest.mark.planet_sandbox(**QUICK)

TASK = """
import sys
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import PlanetSession
from planet_provider.transfer import download_order

url, key, order_id, folder = sys.argv[1:]
with PlanetSession(PlanetConfig(api_key=key, base_url=url)) as session:
    download_order(session, order_id, folder, include="*_AnalyticMS.tif", max_concurrency=1)
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_in_the_middle(sandbox: Sandbox, order_id: str, folder: Path) -> Path:
    """Start a download in another process, kill that with SIGKILL while a body arrives, return its part."""
    sandbox.faults.add(
        Fault(kind="stall", origin="storage", path=r"_AnalyticMS\.tif", after_bytes=200_000, seconds=600)
    )
    task = subprocess.Popen([sys.executable, "-c", TASK, sandbox.url, sandbox.api_key, order_id, str(folder)])
    try:
        wait_until(lambda: any(part.stat().st_size > 100_000 for part in folder.rglob("*.part")))
    finally:
        task.kill()
        task.wait()
    sandbox.faults.clear()
    [part] = folder.rglob("*.part")
    return part


def test_a_killed_task_leaves_no_file_and_the_next_one_goes_on(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    part = kill_in_the_middle(planet_sandbox, order_id, tmp_path)
    held = part.stat().st_size
    assert set(files_below(tmp_path)) == {
        part.relative_to(tmp_path).as_posix(),
        part.relative_to(tmp_path).as_posix() + ".json",
    }
    before = len(storage_requests(planet_sandbox))
    download_order(session, order_id, tmp_path)
    assert_whole(tmp_path / order_id)
    resumed = [
        request.headers["range"]
        for request in storage_requests(planet_sandbox)[before:]
        if "range" in request.headers
    ]
    assert resumed == [f"bytes={held}-"]


def test_a_part_that_was_damaged_with_the_crash_is_not_believed(
    planet_sandbox: Sandbox, session: PlanetSession, order_id: str, tmp_path: Path
) -> None:
    part = kill_in_the_middle(planet_sandbox, order_id, tmp_path)
    size = part.stat().st_size
    with part.open("r+b") as file:
        file.seek(size - 5000)
        file.write(bytes(5000))
    download_order(session, order_id, tmp_path)
    assert_whole(tmp_path / order_id)


@pytest.mark.ci
def test_a_task_that_was_taken_for_dead_does_not_disturb_the_next_one(
    planet_sandbox: Sandbox, order_id: str, tmp_path: Path
) -> None:
    planet_sandbox.faults.add(
        Fault(
            kind="stall", origin="storage", path=r"_AnalyticMS\.tif", after_bytes=200_000, seconds=2, times=1
        )
    )
    task = subprocess.Popen(
        [sys.executable, "-c", TASK, planet_sandbox.url, planet_sandbox.api_key, order_id, str(tmp_path)]
    )
    try:
        wait_until(lambda: any(part.stat().st_size > 100_000 for part in tmp_path.rglob("*.part")))
        with session_of(planet_sandbox) as session:
            download_order(session, order_id, tmp_path, include="*_AnalyticMS.tif", max_concurrency=1)
        assert task.wait(120) == 0
        with session_of(planet_sandbox) as session:
            download_order(session, order_id, tmp_path)
    finally:
        task.kill()
        task.wait()
    assert_whole(tmp_path / order_id)
