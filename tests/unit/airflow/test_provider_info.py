"""What Airflow learns about the provider before it imports anything of it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from importlib.metadata import distribution, entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from packaging.version import Version

import planet_provider
from planet_provider import get_provider_info
from planet_provider.hooks import connection
from planet_provider.hooks.planet import PlanetHook

INFO = get_provider_info()
CONNECTION: dict[str, Any] = INFO["connection-types"][0]


def test_it_is_valid_by_airflows_schema() -> None:
    schema = Path(airflow.__path__[0], "provider_info.schema.json")
    jsonschema.validate(INFO, json.loads(schema.read_text()))
    assert json.loads(json.dumps(INFO)) == INFO


def test_names_and_versions_are_the_distributions() -> None:
    installed = distribution("airflow-provider-planet")
    assert INFO["package-name"] == installed.metadata["Name"]
    assert INFO["versions"] == [planet_provider.__version__]


def test_the_entry_point_leads_to_it() -> None:
    found = [
        entry.load()
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist is not None and entry.dist.name == "airflow-provider-planet"
    ]
    assert found == [get_provider_info]


@pytest.mark.parametrize(
    "module",
    [
        name
        for section in ("operators", "sensors", "hooks", "triggers")
        for entry in INFO[section]
        for name in entry["python-modules"]
    ],
)
def test_its_modules_are_there(module: str) -> None:
    assert importlib.import_module(module).__doc__


def test_each_module_with_a_trigger_is_named() -> None:
    folder = Path(planet_provider.__path__[0], "triggers")
    modules = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    triggers = {
        f"planet_provider.triggers.{stem}"
        for stem, text in modules.items()
        if stem != "base" and re.search(r"^class \w+Trigger\(", text, re.MULTILINE)
    }
    assert len(triggers) > 2
    assert {name for entry in INFO["triggers"] for name in entry["python-modules"]} == triggers


def test_airflow_finds_the_hook_and_the_connection_type() -> None:
    manager = ProvidersManager()
    assert "airflow-provider-planet" in manager.providers
    hook = manager.hooks["planet"]
    assert hook is not None
    assert (hook.hook_class_name, hook.hook_name, hook.connection_id_attribute_name) == (
        "planet_provider.hooks.planet.PlanetHook",
        PlanetHook.hook_name,
        PlanetHook.conn_name_attr,
    )
    assert hook.connection_testable
    assert CONNECTION["connection-type"] == PlanetHook.conn_type


def test_the_form_has_a_field_for_each_extra_that_the_code_knows() -> None:
    assert set(CONNECTION["conn-fields"]) == connection.KNOWN_EXTRAS


@pytest.mark.parametrize("name", sorted(CONNECTION["conn-fields"]))
def test_the_forms_fields_are_typed_and_may_stay_empty(name: str) -> None:
    field = CONNECTION["conn-fields"][name]
    assert field["label"]
    assert field["description"].endswith(".")
    jsonschema.Draft202012Validator.check_schema(field["schema"])
    jsonschema.validate(None, field["schema"])


READS_FORMS = pytest.mark.skipif(
    Version(airflow.__version__) < Version("3.2"), reason="Airflow reads forms from provider info since 3.2"
)

#: What the API server does for the page of connections; in a process that has imported nothing else.
FORM = """
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
[planet] = [one for one in HookMetaService.hook_meta_data() if one.connection_type == "planet"]
imported = sorted(name for name in sys.modules if name.startswith("planet_provider."))
print(json.dumps({"fields": sorted(planet.extra_fields), "imported": imported}))
"""


@pytest.mark.ci
@READS_FORMS
def test_the_api_server_shows_the_form_without_importing_the_hook() -> None:
    made = subprocess.run(
        [sys.executable, "-c", FORM], capture_output=True, text=True, timeout=240, check=False
    )
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout.splitlines()[-1])
    assert said["fields"] == sorted(connection.KNOWN_EXTRAS)
    assert [name for name in said["imported"] if name.startswith("planet_provider.hooks")] == []


@READS_FORMS
def test_airflow_shows_the_form() -> None:
    manager = ProvidersManager()
    widgets = {
        widget.field_name: widget.field
        for key, widget in manager.connection_form_widgets.items()
        if key.startswith("extra__planet__")
    }
    assert set(widgets) == connection.KNOWN_EXTRAS
    assert widgets["auth"]["schema"]["enum"] == [*connection.AUTH_METHODS, None]
    behaviour = manager.field_behaviours["planet"]
    assert behaviour["relabeling"]["password"] == "API key, client secret, or password"
    assert set(behaviour["hidden_fields"]) == {"schema", "port"}
