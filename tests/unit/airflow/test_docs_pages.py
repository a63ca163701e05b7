"""The pages of docs/: their Python runs against the sandbox, their connections are what they say."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from airflow_support import AOI, FAST, Connect, Scenes

from planet_provider.builders import spec
from planet_provider.client.auth.token_cache import forget_tokens
from planet_provider.hooks.connection import KNOWN_EXTRAS
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.auth import TOKEN_PATH

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("authentication.md", "errors.md", "filters.md", "order-requests.md")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [content for kind, content in _BLOCK.findall(text) if kind == language]


@pytest.mark.parametrize("page", PAGES)
def test_its_python_runs(
    page: str, planet: Sandbox, scenes: Scenes, no_credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = planet.config
    given: dict[str, Any] = {
        "hook": PlanetHook(),
        "item_ids": scenes.item_ids,
        "aoi": AOI,
        "host": planet.url,
        "client_id": config.oauth_client_id,
        "client_secret": config.oauth_client_secret,
        "token_url": f"{planet.url}{TOKEN_PATH}",
        "email": config.email,
        "password": config.password,
        "access_key_id": "AKIA0123456789",
        "secret_access_key": "very-visible-secret",
        "service_account_key": "eyJ9",
    }
    spec.warn.cache_clear()
    with PlanetHook().session() as session:
        namespace = given | {"session": session}
        for number, block in enumerate(blocks(page, "python"), 1):
            exec(compile(block, f"{page}, block {number}", "exec"), namespace)
    assert number >= 1
    assert [record for record in caplog.records if record.name == spec.__name__] == [], "a page's own mistake"


def exported() -> dict[str, str]:
    lines = [line for block in blocks("authentication.md", "bash") for line in block.splitlines()]
    exports = [shlex.split(line)[1] for line in lines if line.startswith("export ")]
    return dict(export.split("=", 1) for export in exports)


@pytest.mark.parametrize("name", exported())
def test_its_connections_are_what_they_say(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "planet.json"
    file.write_text('{"key": "PLAK-of-the-file"}')
    monkeypatch.setenv(name, exported()[name].replace("/run/secrets/planet.json", str(file)))
    monkeypatch.setenv("TEAM_PLANET_KEY", "PLAK-of-the-team")
    config = PlanetHook(name.removeprefix("AIRFLOW_CONN_").lower()).config()
    form = name.removeprefix("AIRFLOW_CONN_PLANET_").removesuffix("_URI")
    if form == "OAUTH":
        assert config.oauth is not None
        assert (config.oauth.client_id, config.oauth.client_secret) == ("client-id", "client-secret")
    elif form == "LOGIN":
        assert config.login is not None
        assert (config.login.email, config.login.password) == ("me@example.com", "password")
    else:
        keys = {"ENV": "PLAK-of-the-team", "FILE": "PLAK-of-the-file"}
        assert config.api_key == keys.get(form, "PLAK...")


def test_the_page_on_authentication_names_each_form_and_extra_of_it() -> None:
    text = (DOCS / "authentication.md").read_text(encoding="utf-8")
    assert len(exported()) >= 9
    for extra in KNOWN_EXTRAS & {"auth", "auth_file", "env_var", "token_url"}:
        assert f"`{extra}`" in text


def test_what_the_test_button_says_is_what_the_page_shows(connect: Connect, planet_sandbox: Sandbox) -> None:
    key, client, refused = blocks("authentication.md", "text")[0].splitlines()
    config = planet_sandbox.config

    def said(**fields: Any) -> str:
        forget_tokens()
        connect(fields)
        text = PlanetHook().test_connection()[1].replace(planet_sandbox.url, "https://api.planet.com")
        return re.sub(r"fingerprint \w+|\d+ (?=orders)|\d+ (?=running)", "…", text)

    def shown(text: str) -> str:
        return re.sub(r"fingerprint \w+|\d+ (?=orders)|\d+ (?=running)", "…", text)

    assert said() == shown(key)
    extra = FAST | {"auth": "oauth", "token_url": f"{planet_sandbox.url}{TOKEN_PATH}"}
    by_client = said(login=config.oauth_client_id, password=config.oauth_client_secret, extra=extra)
    assert by_client.startswith(shown(client).partition("5b6e")[0])
    assert by_client.endswith(shown(client).rpartition(").")[2])
    wrong = said(login=config.oauth_client_id, password="wrong", extra=extra)
    assert wrong.rpartition("invalid_client")[2].endswith(refused.rpartition("secret. ")[2])


@pytest.mark.parametrize("page", PAGES)
def test_its_links_lead_somewhere(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    for target, anchor in _LINK.findall(text):
        other = DOCS / (target or page)
        assert other.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [
                re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
            ]
            assert anchor in slugs, f"{target}#{anchor}"


def test_the_warnings_that_a_page_shows_are_the_real_ones(caplog: pytest.LogCaptureFixture) -> None:
    spec.warn.cache_clear()
    spec.check_item_type("psscene", "products[0].item_type")
    spec.check_product_bundle("analytic_umd2", "PSScene", "products[0].product_bundle")
    first, second = blocks("order-requests.md", "text")[0].splitlines()
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == first
    assert messages[1].startswith(second.removesuffix("..."))
    assert json.dumps(messages)
