"""The quick start, as a reader types it: its commands in one shell, from an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.processes import REPOSITORY
from demo.settings import clean_environment
from planet_provider.sandbox.config import SandboxConfig

pytestmark = [pytest.mark.integration, pytest.mark.ci]

PAGE = (REPOSITORY / "docs" / "quick-start.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 600


def sections() -> dict[str, tuple[str, str]]:
    """Return the page's sections: language and code of each first block, by the heading's number."""
    found = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        block = _BLOCK.search(section)
        if block:
            found[section.partition(".")[0]] = block[1], block[2]
    return found


#: Around the page's commands: any port that is free instead of the reader's, the time that a reader takes until
#: the sandbox has started, and what Planet has in the end.
SCRIPT = """
set -eu
trap 'kill $(jobs -p)' EXIT
{start}
until [ -s sandbox.json ]; do kill -0 $!; sleep 0.2; done
url=$(python -c 'import json; print(json.load(open("sandbox.json"))["url"])')
count='import httpx, sys; print(len(httpx.get(sys.argv[1] + "/sandbox/v1/orders").json()["orders"]))'
{connect}
{run}
echo first: $(python -c "$count" $url)
{run}
echo second: $(python -c "$count" $url)
"""


def test_the_quick_start_delivers_and_places_one_order(tmp_path: Path) -> None:
    steps = sections()
    assert [language for language, _ in steps.values()] == ["bash", "bash", "bash", "python", "bash", "bash"]
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "first_imagery.py").write_text(steps["4"][1], encoding="utf-8")
    start, connect, go = (steps[number][1] for number in "235")
    assert SandboxConfig().api_keys[0] in connect
    assert "--port 8765" in start
    assert "http://127.0.0.1:8765" in connect
    script = SCRIPT.format(
        start=start.replace("--port 8765", "--port 0"),
        connect=connect.replace("http://127.0.0.1:8765", "'$url'"),
        run=go,
    )
    environment = clean_environment() | {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    made = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-5000:] + made.stderr[-5000:]
    lines = made.stdout.splitlines()
    assert [line for line in lines if re.fullmatch(r"(first|second): \d+", line)] == ["first: 1", "second: 1"]
    assert [line for line in lines if re.fullmatch(r"imagery/[^/]+/manifest\.json", line)]
    assert list((tmp_path / "imagery").rglob("*.tif"))
