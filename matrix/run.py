"""``make matrix``: the tests with the lowest and the newest Airflow, each on the lowest and the newest Python.

An environment is built in ``.matrix/`` from its lock: the newest from ``uv.lock``, the lowest from a list of
pins in this folder, which ``python -m matrix.lock`` makes. Python comes from the PATH, from pyenv, or from uv,
where that may download it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENTS = REPOSITORY / ".matrix"
LOWEST_PYTHON, NEWEST_PYTHON = "3.10", "3.13"
LOWEST_AIRFLOW = "3.1.0"
#: Python that is not there is an error, unless this variable of the environment is 1.
ALLOW_MISSING = "MATRIX_ALLOW_MISSING"
#: What runs in each environment: the unit tests, one file of the sandbox's own (no Airflow takes part in the
#: others), and the daily example in a real Airflow.
TESTS = (
    "tests/unit",
    "tests/sandbox/test_service_run.py",
    "tests/integration/test_real_airflow.py",
    "tests/integration/test_secrets.py",
    "tests/integration/test_example_dags.py",
    *("-n", "logical", "--maxprocesses", "4", "--dist", "load", "-m", "not ci and not slow"),
)


@dataclass(frozen=True)
class Corner:
    """An Airflow on a Python.

    :param name: What it is called on the command line.
    :param python: Version of Python, as ``major.minor``.
    :param airflow: Version of Airflow, or ``newest``: that of ``uv.lock``.
    :param pins: File of pins in this folder; without it ``uv.lock``.
    """

    name: str
    python: str
    airflow: str
    pins: str | None = None

    @property
    def environment(self) -> Path:
        """The folder of its environment."""
        return ENVIRONMENTS / self.name

    @property
    def interpreter(self) -> Path:
        """The Python of its environment."""
        return self.environment / "bin" / "python"

    def __str__(self) -> str:
        return f"{self.name}: Airflow {self.airflow}, Python {self.python}"


CORNERS = (
    Corner("lowest", LOWEST_PYTHON, LOWEST_AIRFLOW, "lowest.txt"),
    Corner("lowest-airflow", NEWEST_PYTHON, LOWEST_AIRFLOW, "lowest-airflow.txt"),
    Corner("lowest-python", LOWEST_PYTHON, "newest"),
    Corner("newest", NEWEST_PYTHON, "newest"),
)


class MissingPythonError(RuntimeError):
    """There is no such Python on this machine, and uv can't get it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Build and test environments, one after another.

    :param argv: Arguments; by default those of the process.
    :return: Exit status: 0 where every one ran and passed.
    """
    parser = argparse.ArgumentParser(prog="python -m matrix.run", description=__doc__)
    names = [corner.name for corner in CORNERS]
    parser.add_argument("corners", nargs="*", metavar="CORNER", help=f"by default all: {', '.join(names)}")
    parser.add_argument("--uv", default="uv", help="the uv to use")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.corners) - set(names))
    if unknown:
        parser.error(f"no such corner: {', '.join(unknown)}; there are {', '.join(names)}")
    results = {
        corner: run_corner(corner, options.uv)
        for corner in CORNERS
        if not options.corners or corner.name in options.corners
    }
    return report(results, os.environ)


def run_corner(corner: Corner, uv: str) -> str:
    """Build a corner's environment and run its tests.

    :return: ``passed in ...``, ``FAILED ...``, or ``NOT RUN ...``.
    """
    say(f"=== {corner}")
    started = time.monotonic()
    try:
        build(corner, find_python(corner.python, uv), uv)
    except MissingPythonError as error:
        return f"NOT RUN: {error}"
    except subprocess.CalledProcessError as error:
        return f"FAILED to build: {' '.join(map(str, error.cmd[:3]))} ... ended with {error.returncode}"
    built = time.monotonic()
    command = [str(corner.interpreter), "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    if subprocess.run(command, cwd=REPOSITORY, check=False, env=environment()).returncode:
        return "FAILED"
    ended = time.monotonic()
    return f"passed in {ended - built:.0f} s, built in {built - started:.0f} s"


def build(corner: Corner, python: str, uv: str) -> None:
    """Make a corner's environment what its lock says, by as little as is needed.

    :param python: Its interpreter.
    :raises subprocess.CalledProcessError: uv says why.
    """
    within = environment() | {"UV_PROJECT_ENVIRONMENT": str(corner.environment)}

    def call(*arguments: str | Path) -> None:
        subprocess.run([uv, *arguments], cwd=REPOSITORY, check=True, env=within)

    if corner.pins is None:
        call("sync", "--quiet", "--locked", "--no-default-groups", "--group", "test", "--python", python)
        return
    call("venv", "--quiet", "--allow-existing", "--python", python, corner.environment)
    here = ("--quiet", "--python", corner.interpreter)
    pins = Path(__file__).with_name(corner.pins)
    call("pip", "sync", *here, pins)
    call("pip", "install", *here, "--no-deps", "--editable", ".")


def find_python(version: str, uv: str) -> str:
    """Return a Python of a version: of the PATH, of pyenv, or what uv gets.

    pyenv's shims are passed by: they are on the PATH for versions, too, that are not switched on.

    :raises MissingPythonError: There is none.
    """
    for candidate in [*_on_path(version), *_of_pyenv(version)]:
        if _answers(candidate, version):
            return str(candidate)
    path = os.pathsep.join(map(str, _folders()))
    found = subprocess.run(
        [uv, "venv", "--quiet", "--clear", "--python", version, str(ENVIRONMENTS / f"python-{version}")],
        cwd=REPOSITORY,
        env=environment() | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        said = " ".join(found.stderr.split()) or f"exit status {found.returncode}"
        raise MissingPythonError(f"no Python {version} on the PATH or of pyenv, and uv can't get it: {said}")
    return str((ENVIRONMENTS / f"python-{version}" / "bin" / "python").resolve())


def report(results: Mapping[Corner, str], variables: Mapping[str, str]) -> int:
    """Say what came of each corner.

    :param variables: Of the environment.
    :return: Exit status.
    """
    say("=== Matrix")
    for corner, result in results.items():
        say(f"  {corner}: {result}")
    not_run = [corner for corner, result in results.items() if result.startswith("NOT RUN")]
    if not_run and variables.get(ALLOW_MISSING) != "1":
        say(f"A corner was not run. Install its Python, or set {ALLOW_MISSING}=1 to let that pass.")
    failed = any(result.startswith("FAILED") for result in results.values())
    return int(failed or (bool(not_run) and variables.get(ALLOW_MISSING) != "1"))


def environment() -> dict[str, str]:
    """Return the environment's variables without those that point at another Python."""
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "UV_PROJECT_ENVIRONMENT"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def say(text: str) -> None:
    """Print at once, between what the tests print."""
    print(text, flush=True)


def _folders() -> list[Path]:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    return [folder for folder in folders if folder.name != "shims"]


def _on_path(version: str) -> Iterable[Path]:
    found = shutil.which(f"python{version}", path=os.pathsep.join(map(str, _folders())))
    return [Path(found)] if found else []


def _of_pyenv(version: str) -> Iterable[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    return sorted(root.glob(f"versions/{version}*/bin/python{version}"), reverse=True)


def _answers(python: Path, version: str) -> bool:
    command = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except OSError:
        return False
    return answer.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())
