"""The test matrix: its pins agree with pyproject.toml, it finds Pythons, and says what was not run."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from matrix import run
from matrix.lock import EXTRAS
from matrix.run import CORNERS, LOWEST_AIRFLOW, LOWEST_PYTHON, NEWEST_PYTHON, Corner

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((run.REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = [corner for corner in CORNERS if corner.pins is not None]


def pins(corner: Corner) -> dict[str, Version]:
    text = (run.REPOSITORY / "matrix" / str(corner.pins)).read_text(encoding="utf-8")
    found = (line.partition(";")[0].split("==") for line in text.splitlines() if "==" in line)
    return {canonicalize_name(name): Version(version.strip()) for name, version in found}


def direct() -> list[Requirement]:
    project = PROJECT["project"]
    texts = [
        *project["dependencies"],
        *(text for extra in EXTRAS for text in project["optional-dependencies"][extra]),
        *PROJECT["dependency-groups"]["test"],
    ]
    wanted = map(Requirement, texts)
    return [requirement for requirement in wanted if requirement.name != project["name"]]


@pytest.mark.parametrize("corner", LOCKED, ids=lambda corner: corner.name)
def test_pins_agree_with_the_project(corner: Corner) -> None:
    pinned = pins(corner)
    wrong = [each for each in direct() if pinned[canonicalize_name(each.name)] not in each.specifier]
    assert wrong == [], "make matrix-lock"


def test_the_lowest_corner_has_the_lowest_versions() -> None:
    pinned = pins(CORNERS[0])
    bounds = {
        canonicalize_name(requirement.name): Version(specifier.version)
        for requirement in direct()
        for specifier in requirement.specifier
        if specifier.operator == ">="
    }
    lowest = {name for name, bound in bounds.items() if pinned[name] == bound}
    # The others are kept higher by what else is there, such as Airflow's own bounds.
    assert {"apache-airflow", "obstore", "pyproj", "redis", "shapely", "tenacity", "aiohttp"} <= lowest
    assert len(lowest) > len(bounds) / 2


def test_the_corners_are_those_of_the_project() -> None:
    assert {corner.python for corner in CORNERS} == {LOWEST_PYTHON, NEWEST_PYTHON}
    # What is newer than the newest is not claimed to work: an installer takes no Python that no test has run on.
    major, minor = map(int, NEWEST_PYTHON.split("."))
    assert PROJECT["project"]["requires-python"] == f">={LOWEST_PYTHON},<{major}.{minor + 1}"
    supported = re.findall(r"Python :: (\d\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert (supported[0], supported[-1]) == (LOWEST_PYTHON, NEWEST_PYTHON)
    assert all(pins(corner)["apache-airflow"] == Version(LOWEST_AIRFLOW) for corner in LOCKED)


def test_the_extras_are_those_of_the_tests() -> None:
    [own] = [
        text for text in PROJECT["dependency-groups"]["test"] if text.startswith(PROJECT["project"]["name"])
    ]
    assert set(EXTRAS) == Requirement(own).extras


def test_pins_name_no_place() -> None:
    for corner in LOCKED:
        text = (run.REPOSITORY / "matrix" / str(corner.pins)).read_text(encoding="utf-8")
        assert not re.search(r"://|^-|@ ", text, re.MULTILINE)


def fake_python(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    python = folder / f"python{version}"
    python.write_text(f"#!/bin/sh\necho {version}\n")
    python.chmod(0o755)
    return python


def test_a_python_of_pyenv_is_found_beside_a_shim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = fake_python(tmp_path / "shims", "3.10")
    shim.write_text("#!/bin/sh\nexit 127\n")
    real = fake_python(tmp_path / "versions" / "3.10.13" / "bin", "3.10")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "shims"), "/bin"]))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert run.find_python("3.10", "uv-is-not-asked") == str(real)


def test_a_python_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho no such download >&2\nexit 2\n")
    uv.chmod(0o755)
    with pytest.raises(run.MissingPythonError, match=r"no Python 3\.98 .* no such download"):
        run.find_python("3.98", str(uv))


@pytest.mark.parametrize(
    ("result", "allowed", "status"),
    [
        ("passed in 3 s", "", 0),
        ("FAILED", "", 1),
        ("FAILED", "1", 1),
        ("NOT RUN: no Python", "", 1),
        ("NOT RUN: no Python", "0", 1),
        ("NOT RUN: no Python", "1", 0),
    ],
)
def test_what_was_not_run_is_told_and_an_error(
    result: str, allowed: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    results = {CORNERS[0]: "passed in 2 s", CORNERS[3]: result}
    assert run.report(results, {run.ALLOW_MISSING: allowed}) == status
    assert f"{CORNERS[3]}: {result}" in capsys.readouterr().out
