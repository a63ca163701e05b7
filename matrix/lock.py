"""``make matrix-lock``: resolve what the environments of the lowest Airflow hold.

``lowest.txt`` has the lowest version that pyproject.toml allows of each direct dependency, ``lowest-airflow.txt``
the lowest Airflow among the newest of all else, as far as ``constraints.txt`` lets them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matrix.run import CORNERS, REPOSITORY, Corner, environment

HERE = Path(__file__).parent
#: The extras that the group ``test`` has: uv doesn't follow a group's reference to its own project here.
EXTRAS = ("geoparquet", "notebook", "openlineage", "redis", "s3", "sandbox")
HEADER = "# Made by `make matrix-lock` from pyproject.toml and constraints.txt, for Python {python}.\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pins.

    :param argv: Arguments; by default those of the process.
    :return: Exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m matrix.lock", description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to use")
    options = parser.parse_args(argv)
    for corner in CORNERS:
        if corner.pins is not None:
            lock(corner, HERE / corner.pins, options.uv)
    return 0


def lock(corner: Corner, pins: Path, uv: str) -> None:
    """Resolve one corner.

    :param pins: Where its pins go.
    :raises subprocess.CalledProcessError: uv says why.
    """
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.txt")
        wanted.write_text(f"-e {REPOSITORY}[{','.join(EXTRAS)}]\napache-airflow=={corner.airflow}\n")
        strategy = "lowest-direct" if corner.name == "lowest" else "highest"
        resolved = subprocess.run(
            [
                *(uv, "pip", "compile", "--quiet", str(wanted), "--group", "pyproject.toml:test"),
                *("--constraints", str(HERE / "constraints.txt"), "--resolution", strategy),
                *("--python-version", corner.python, "--no-header", "--no-annotate"),
                *("--no-emit-index-url", "--no-emit-find-links"),
            ],
            cwd=REPOSITORY,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
    lines = [line for line in resolved.splitlines() if not line.startswith("-e ")]
    pins.write_text(HEADER.format(python=corner.python) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
