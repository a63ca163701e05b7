"""``make demo`` from its first line to its last."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from demo.processes import REPOSITORY
from demo.settings import clean_environment

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
    assert re.search(r"wait\[0\]: deferred", result.stdout)
    assert re.search(r"\b2 waits were deferred", result.stdout)
    verified = re.search(r"│ (\d+) files .*│ (\d+) of (\d+) │", result.stdout)
    assert verified
    assert len({*verified.groups()}) == 1
    assert "NO" not in result.stdout
    delivered = [path for path in (folder / "imagery").rglob("PSScene/*") if path.is_file()]
    assert len(delivered) == int(verified[1])
    for path in delivered:
        assert path.name in result.stdout
    picture = (folder / "imagery.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 1500
    assert height > 800
    assert str(folder / "imagery.png") in result.stdout
    assert users(folder) == []
