"""``make demo`` from its first line to its last."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

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
