"""The import rules: who may know whom, and what the parsing of a DAG may load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import airflow.sdk
import pytest

import planet_provider

PACKAGE = Path(planet_provider.__file__).parent
OURS = PACKAGE.name

#: The rooms of each floor know those of lower floors alone. The lowest are modules without imports of ours.
LEAVES = {"exceptions", "wording", "redact", "known_secrets"}
BUILDERS = {*LEAVES, "builders"}
CLIENT = {*BUILDERS, "coordination", "client"}
WORK = {*CLIENT, "ordering", "transfer"}

LAYERS = {
    "exceptions": set(),
    "wording": set(),
    "known_secrets": set(),
    "redact": {"known_secrets"},
    "builders": LEAVES,
    "coordination": LEAVES,
    "client": {*BUILDERS, "coordination"},
    "ordering": CLIENT,
    "transfer": CLIENT,
    "export": WORK,
    "links": WORK,
    "hooks": {*WORK, "export"},
    "triggers": {*WORK, "hooks"},
    "sensors": {*WORK, "triggers", "hooks", "links"},
    "operators": {*WORK, "triggers", "hooks", "links", "export"},
    "notebook": WORK,
    "sandbox": set(),
}

#: Libraries that only the layers named may import, at any place in their modules.
RESERVED = {
    "airflow": {"hooks", "links", "triggers", "sensors", "operators"},
    "httpcore": {"client"},
    "httpx": {"client", "transfer"},
    "pyarrow": {"export"},
    "tqdm": {"notebook"},
    "aiohttp": {"sandbox"},
    "planet": set(),
}

#: What DAG parsing must not load: clients of stores, imaging, data frames, our own sandbox.
HEAVY = {
    "aiobotocore",
    "aiohttp",
    "boto3",
    "botocore",
    "geopandas",
    "matplotlib",
    "numpy",
    "obstore",
    "pandas",
    "planet",
    "planet_provider.notebook",
    "planet_provider.sandbox",
    "pyarrow",
    "pyproj",
    "rasterio",
    "redis",
    "s3fs",
    "shapely",
    "tqdm",
}


def modules(layer: str) -> list[Path]:
    single = PACKAGE / f"{layer}.py"
    return [single] if single.exists() else sorted((PACKAGE / layer).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all that a module imports, inside of functions too."""
    own = [OURS, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = own[: len(own) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def knows(layer: str) -> set[tuple[str, str]]:
    """Which other layers the modules of one import: (module, imported)."""
    found = set()
    for path in modules(layer):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == OURS and len(parts) > 1 and parts[1] not in {layer, "__version__"}:
                found.add((path.relative_to(PACKAGE).as_posix(), parts[1]))
    return found


def test_each_module_has_a_layer() -> None:
    tops = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir()}
    assert tops - {"__init__", "__pycache__", "py"} - {"py.typed"} == LAYERS.keys()
    assert all(modules(layer) for layer in LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_knows_only_those_below(layer: str) -> None:
    allowed = LAYERS[layer]
    assert {(module, other) for module, other in knows(layer) if other not in allowed} == set()


@pytest.mark.parametrize("library", RESERVED)
def test_libraries_stay_in_their_layers(library: str) -> None:
    strangers = {
        path.relative_to(PACKAGE).as_posix()
        for layer in LAYERS.keys() - RESERVED[library]
        for path in modules(layer)
        if any(name.partition(".")[0] == library for name in imports(path))
    }
    assert strangers == set()


def test_the_package_itself_imports_nothing() -> None:
    """Airflow reads its provider info at every start of every component."""
    names = {name.partition(".")[0] for name in imports(PACKAGE / "__init__.py")}
    assert names <= {"__future__", "typing"}


def test_the_rules_see_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "client" / "bad.py"
    module.parent.mkdir()
    module.write_text(
        f"import airflow.sdk\n"
        f"from {OURS} import hooks, __version__\n"
        f"def later():\n"
        f"    from ..transfer.plan import plan_files\n"
        f"    from . import call\n"
    )
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    assert set(imports(module)) == {
        "airflow.sdk",
        f"{OURS}.hooks",
        f"{OURS}.__version__",
        f"{OURS}.transfer.plan.plan_files",
        f"{OURS}.client.call",
    }
    assert knows("client") == {("client/bad.py", "hooks"), ("client/bad.py", "transfer")}


DAG_PARSING = """
import importlib, json, socket, sys

import airflow.sdk, airflow.triggers.base, httpx, pendulum, tenacity
import airflow.providers.common.compat.sdk

def refused(*args, **kwargs):
    raise AssertionError("a socket was opened")

class Refused(socket.socket):
    __init__ = refused

socket.socket = Refused
socket.create_connection = socket.getaddrinfo = refused
before = set(sys.modules)
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(names: list[str], folder: Path) -> set[str]:
    """Modules that importing these adds to what a DAG file loads anyway, in a process that may open no socket."""
    done = subprocess.run(
        [sys.executable, "-c", DAG_PARSING, json.dumps(names)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def dag_modules() -> list[str]:
    # Retry policies came with Airflow 3.3.
    other = set() if hasattr(airflow.sdk, "RetryPolicy") else {"retry_policy"}
    return [
        ".".join([OURS, *path.relative_to(PACKAGE).with_suffix("").parts])
        for layer in ("operators", "sensors", "hooks", "triggers")
        for path in modules(layer)
        if path.stem not in {"__init__", *other}
    ]


@pytest.mark.ci
def test_parsing_a_dag_loads_nothing_heavy_and_opens_no_socket(tmp_path: Path) -> None:
    names = dag_modules()
    assert f"{OURS}.operators.orders" in names
    added = loaded_by(names, tmp_path)
    assert set(names) <= added
    heavy = {name for name in added for root in HEAVY if name == root or name.startswith(f"{root}.")}
    assert heavy == set()


#: Our modules that all operators and sensors together may load when a DAG is parsed: parameters, names and checks.
#: What a task runs is imported when it runs.
MOST_MODULES = 45


def test_operators_and_sensors_load_little(tmp_path: Path) -> None:
    names = [
        f"{OURS}.{layer}.{path.stem}"
        for layer in ("operators", "sensors")
        for path in modules(layer)
        if "(Planet" in path.read_text(encoding="utf-8") and path.stem != "retry_policy"
    ]
    assert len(names) > 8
    ours = [name for name in loaded_by(names, tmp_path) if name.partition(".")[0] == OURS]
    assert len(ours) <= MOST_MODULES, ours


@pytest.mark.parametrize("entrance", [OURS, f"{OURS}.sandbox", f"{OURS}.sandbox.pytest_plugin"])
def test_light_entrances(entrance: str, tmp_path: Path) -> None:
    """What entry points load at a start stays small; the plugin comes with every run of pytest."""
    code = (
        "import pytest, sys; before = set(sys.modules); import importlib; "
        f"importlib.import_module({entrance!r}); print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert roots <= {OURS}
