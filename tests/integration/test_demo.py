"""``make demo`` from its first line to its last."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from shared_airflow import DAILY, Examples

from demo.processes import REPOSITORY
from demo.run import report
from demo.settings import clean_environment
from demo.table import make_console

DEMO_SECONDS = 600


def users(folder: Path) -> list[psutil.Process]:
    """Return the processes whose Airflow home is below a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("AIRFLOW_HOME", "")
        except psutil.Error:
            continue
        if home.startswith(str(folder)):
            found.append(process)
    return found


def check_report(said: str, delivery: Path, imagery: Path) -> None:
    """Compare what was printed with what was delivered; the picture lies beside the folder of all imagery."""
    verified = re.search(r"│ (\d+) files .*│ (\d+) of (\d+) │", said)
    assert verified
    assert len({*verified.groups()}) == 1
    assert "NO" not in said
    delivered = [path for path in delivery.rglob("PSScene/*") if path.is_file()]
    assert len(delivered) == int(verified[1])
    for path in delivered:
        assert path.name in said
    picture = imagery.with_name("imagery.png")
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width > 1500
    assert height > 800
    assert str(picture) in said


@pytest.mark.ci
@pytest.mark.integration
def test_what_was_delivered_is_shown(examples: Examples, capfd: pytest.CaptureFixture[str]) -> None:
    finished = examples.finished(DAILY)
    [run_id] = finished.runs.values()
    assert report(make_console(), finished.airflow, run_id, finished.airflow.imagery)
    check_report(capfd.readouterr().out, finished.destination, finished.airflow.imagery)


@pytest.mark.slow
@pytest.mark.integration
def test_demo_delivers_shows_and_cleans_up(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    result = subprocess.run(
        [sys.executable, "-m", "demo.run", "--folder", str(folder)],
        cwd=REPOSITORY,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "waits were deferred" in result.stdout
    check_report(result.stdout, folder / "imagery", folder / "imagery")
    assert users(folder) == []


@pytest.mark.slow
@pytest.mark.integration
def test_demo_ui_is_an_airflow_of_ones_own(tmp_path: Path) -> None:
    folder, said = tmp_path / "demo", tmp_path / "said"
    with (
        said.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "demo.run", "--keep-open", "--folder", str(folder)],
            cwd=REPOSITORY,
            env=clean_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as demo,
    ):
        try:
            url = until(lambda: re.search(r"Airflow is open at (http://[^/]+)", said.read_text()), demo)[1]
            with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
                token = client.get("/auth/token").json()["access_token"]
                client.headers["Authorization"] = f"Bearer {token}"
                [connection] = client.get("/api/v2/connections").json()["connections"]
                assert (connection["connection_id"], connection["conn_type"]) == ("planet_default", "planet")
                paused = {"is_paused": False}
                client.patch("/api/v2/dags/planet_assets", json=paused).raise_for_status()
                runs = "/api/v2/dags/planet_assets/dagRuns"
                [run] = until(lambda: client.get(runs).json()["dag_runs"], demo)
                assert run["run_type"] == "scheduled"
        finally:
            demo.send_signal(signal.SIGTERM)
    assert demo.returncode == 128 + signal.SIGTERM, said.read_text()
    assert users(folder) == []


def until(found: Callable[[], Any], demo: subprocess.Popen[bytes]) -> Any:
    """Wait until something is found."""
    deadline = time.monotonic() + DEMO_SECONDS
    while not (result := found()):
        assert demo.poll() is None, "the demo has ended"
        assert time.monotonic() < deadline, "the demo takes too long"
        time.sleep(0.5)
    return result
