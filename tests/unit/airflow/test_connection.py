"""From an Airflow connection, as JSON, as URI or from the form, to the client's configuration."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import supervisor, task_runner
from airflow.sdk.execution_time.comms import ErrorResponse
from airflow_support import CONNECTION, Connect

from planet_provider.client.api import orders
from planet_provider.client.auth.credentials import Login, OAuthClient
from planet_provider.client.config import DEFAULT_BASE_URL, RATE_SHARE, PlanetConfig
from planet_provider.exceptions import (
    ConfigurationError,
    CredentialsError,
    PlanetError,
    TransportError,
)
from planet_provider.hooks import planet as hook_module
from planet_provider.hooks.connection import KNOWN_EXTRAS, default_store
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox

KEY = "PLAK-of-this-test-0123456789"

#: A value other than the default for each extra that sets something of the client, as JSON and as the text
#: that a form's field or a URI holds.
SETTINGS: dict[str, tuple[Any, str]] = {
    "rate_limits": ({"orders.create": 1.5}, '{"orders.create": 1.5}'),
    "coordination_store": ("memory://other", "memory://other"),
    "coordination_fallback": (0.5, "0.5"),
    "timeout": (12.5, "12.5"),
    "max_connections": (3, "3"),
    "max_attempts": (2, "2"),
    "max_retry_seconds": (7.0, "7"),
    "max_queue_seconds": (11.0, "11.0"),
    "backoff_seconds": (0.25, "0.25"),
    "max_response_bytes": (1_000_000, "1000000"),
    "max_pages": (40, "40"),
    "max_order_items": (1000, "1000"),
    "max_vertices": (5000, "5000"),
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Read ``planet_default`` with these fields."""

    def read(extra: Any = None, **fields: Any) -> PlanetConfig:
        connection = {"conn_type": "planet", "password": KEY, **fields}
        if extra is not None:
            connection["extra"] = extra
        monkeypatch.setenv(CONNECTION, json.dumps(connection))
        return PlanetHook().config()

    return read


@pytest.mark.guide("auth-key")
def test_a_key_is_enough(config: Any) -> None:
    assert config() == PlanetConfig(
        api_key=KEY, base_url=DEFAULT_BASE_URL, coordination_store=default_store()
    )


def test_the_machines_processes_share_a_rate_limit_by_default(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = f"file://{os.environ['AIRFLOW_HOME']}/planet-rate-limits"
    assert config().coordination_store == here
    monkeypatch.delenv(CONNECTION)
    monkeypatch.setenv("PL_API_KEY", KEY)
    assert PlanetHook().config() == config()


def test_every_setting_of_the_client_is_an_extra_and_tested_here() -> None:
    settings = {field.name for field in fields(PlanetConfig)} - {"api_key", "oauth", "login", "base_url"}
    assert set(SETTINGS) == settings == KNOWN_EXTRAS - {"auth", "auth_file", "env_var", "token_url"}


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_each_extra_sets_what_it_names(config: Any, name: str, as_text: bool) -> None:
    value, text = SETTINGS[name]
    got = getattr(config({name: text if as_text else value}), name)
    if name == "rate_limits":
        assert got["orders.create"] == 1.5
        assert got["orders.get"] == 3.0 * RATE_SHARE
    else:
        assert got == value
        assert type(got) is type(value)
    assert got != getattr(config(), name)


def test_empty_fields_of_the_form_are_defaults(config: Any) -> None:
    assert config(dict.fromkeys(KNOWN_EXTRAS, "")) == config()
    assert config(dict.fromkeys(KNOWN_EXTRAS)) == config()


@pytest.mark.parametrize("extra", [{"timout": 5}, {"rate_limit": {}}, {"tokenurl": "https://x"}])
def test_an_unknown_extra_is_refused_by_name(config: Any, extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="'planet_default': unknown extra") as caught:
        config(extra)
    assert repr(next(iter(extra))) in str(caught.value)
    assert "max_retry_seconds" in str(caught.value), "the known ones are named"


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": -1.5}, "timeout=-1.5"),
        ({"timeout": "soon"}, "timeout='soon': must be a number"),
        ({"timeout": "nan"}, "timeout=nan"),
        ({"timeout": [5]}, "timeout="),
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"max_attempts": 2.5}, "max_attempts=2.5"),
        ({"max_attempts": True}, "max_attempts=True"),
        ({"max_connections": "many"}, "max_connections='many'"),
        ({"max_retry_seconds": "inf"}, "max_retry_seconds=inf"),
        ({"rate_limits": "fast"}, "rate_limits='fast': must be a JSON object"),
        ({"rate_limits": "[1]"}, "rate_limits="),
        ({"rate_limits": {"orders.make": 1}}, "orders.make"),
        ({"rate_limits": {"orders.create": 0}}, "orders.create"),
        ({"rate_limits": {"orders.create": "3"}}, "orders.create"),
        ({"coordination_store": 5}, "coordination_store=5: must be a string"),
        ({"coordination_store": "gopher://x"}, "coordination_store: unknown scheme 'gopher'"),
        ({"coordination_fallback": 1.5}, "coordination_fallback=1.5"),
        ({"coordination_fallback": "never"}, "coordination_fallback='never'"),
        ({"auth": "magic"}, "auth='magic': must be one of api_key, oauth, login, env, file"),
        ({"auth": ["env"]}, "auth="),
        ({"auth": "env", "env_var": 5}, "env_var=5"),
        ({"auth": "file", "auth_file": {}}, "auth_file="),
        ([1], "must be a JSON object"),
    ],
)
def test_a_bad_value_is_refused_by_name(config: Any, extra: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(extra)
    assert "Connection 'planet_default'" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("ftp://api.planet.com", "host='ftp://api.planet.com'"),
        ("https://user:secret-word@api.planet.com", "host"),  # pragma: allowlist secret
        ("https://api.planet.com?x=secret-word", "host"),
    ],
)
def test_a_bad_host_is_refused(config: Any, host: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(host=host)
    assert said in str(caught.value)
    assert "secret-word" not in str(caught.value)


def test_an_extra_that_is_no_json_is_refused(config: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a JSON object"):
        config("timeout=5")


@pytest.mark.parametrize(
    ("uri", "base_url"),
    [
        (f"planet://:{KEY}@", DEFAULT_BASE_URL),
        (f"planet://:{KEY}@eu.planet.com", "https://eu.planet.com"),
        (f"planet://:{KEY}@127.0.0.1:8080/http", "http://127.0.0.1:8080"),
        (f"planet://http://:{KEY}@127.0.0.1:8080", "http://127.0.0.1:8080"),
        (f"planet://:{KEY}@http%3A%2F%2F127.0.0.1%3A8080", "http://127.0.0.1:8080"),
        (f"planet://:{KEY}@http%3A%2F%2F127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_uris(monkeypatch: pytest.MonkeyPatch, uri: str, base_url: str) -> None:
    monkeypatch.setenv(CONNECTION, uri)
    config = PlanetHook().config()
    assert (config.api_key, config.base_url) == (KEY, base_url)


def test_extras_of_a_uri_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONNECTION, f"planet://:{KEY}@?timeout=5&max_attempts=3&auth=api_key")
    config = PlanetHook().config()
    assert (config.timeout, config.max_attempts) == (5.0, 3)


@pytest.mark.guide("auth-env")
def test_auth_env(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    monkeypatch.setenv("OTHER_KEY", "PLAK-other-0123456789")
    assert config({"auth": "env"}).api_key == "PLAK-standard-0123456789"
    assert config({"auth": "env", "env_var": "OTHER_KEY"}).api_key == "PLAK-other-0123456789"
    with pytest.raises(CredentialsError, match=r"planet_default.* NOT_THERE is not set"):
        config({"auth": "env", "env_var": "NOT_THERE"})


@pytest.mark.guide("auth-file")
def test_auth_file(config: Any, no_credentials: Path, tmp_path: Path) -> None:
    (no_credentials / ".planet.json").write_text('{"key": "PLAK-home-0123456789"}')
    other = tmp_path / "secret.json"
    other.write_text('{"key": "PLAK-elsewhere-0123456789"}')
    assert config({"auth": "file"}).api_key == "PLAK-home-0123456789"
    assert config({"auth": "file", "auth_file": str(other)}).api_key == "PLAK-elsewhere-0123456789"
    other.write_text("PLAK-not-json-0123456789")
    with pytest.raises(CredentialsError, match="is not JSON") as caught:
        config({"auth": "file", "auth_file": str(other)})
    assert "PLAK" not in str(caught.value)


@pytest.mark.guide("auth-oauth")
def test_auth_oauth(config: Any) -> None:
    fields = {"login": "client-1", "password": "hush-secret"}
    default = config({"auth": "oauth"}, **fields)
    assert default.oauth == OAuthClient(client_id="client-1", client_secret="hush-secret")
    assert default.oauth.token_url.startswith("https://services.sentinel-hub.com/auth/realms/main/")
    assert (default.api_key, default.login) == ("", None)
    elsewhere = config({"auth": "oauth", "token_url": "http://127.0.0.1:8080/token"}, **fields)
    assert elsewhere.oauth.token_url == "http://127.0.0.1:8080/token"
    assert "hush-secret" not in repr(elsewhere)


def test_auth_login(config: Any) -> None:
    given = config({"auth": "login"}, login="me@example.com", password="hush-secret")
    assert given.login == Login(email="me@example.com", password="hush-secret")
    assert (given.api_key, given.oauth) == ("", None)
    assert "hush-secret" not in repr(given)


@pytest.mark.parametrize(
    ("fields", "extra", "said"),
    [
        ({}, {"auth": "oauth"}, "the OAuth client id (the connection's login) is missing"),
        ({"login": "a"}, {"auth": "oauth"}, "the OAuth client secret (the connection's password) is missing"),
        ({"password": "hush"}, {"auth": "login"}, "the account's e-mail (the connection's login) is missing"),
        ({"login": "a"}, {"auth": "login"}, "the account's password (the connection's password) is missing"),
        ({"login": "a", "password": "hu\nsh"}, {"auth": "oauth"}, "has line breaks"),
        (
            {"login": "a", "password": "hush"},
            {"auth": "oauth", "token_url": "http://planet.example/token"},
            "token_url='http://planet.example/token': must be https",
        ),
        (
            {"login": "a", "password": "hush", "host": "http://planet.example"},
            {"auth": "login"},
            "host='http://planet.example/v0/auth/login': must be https",
        ),
        (
            {"login": "a", "password": "hush"},
            {"auth": "oauth", "token_url": "https://u:hush@planet.example/token"},
            "must have no user, password",
        ),
        (
            {"login": "a", "password": "hush"},
            {"auth": "oauth", "token_url": "planet.example"},
            "must be a URL",
        ),
        (
            {"login": "a", "password": "hush"},
            {"auth": "oauth", "token_url": 5},
            "token_url=5: must be a string",
        ),
    ],
)
def test_what_oauth_and_login_need(
    config: Any, fields: dict[str, Any], extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config(extra, **{"password": None, **fields})
    assert "Connection 'planet_default'" in str(caught.value)
    assert said in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("planet://client-1:hush-secret@?auth=oauth", "oauth"),
        ("planet://me%40example.com:hush%2Fsecret@?auth=login", "login"),
        ("planet://:hush@?auth=env&env_var=TEAM_KEY", "env"),
    ],
)
def test_uris_of_other_forms(monkeypatch: pytest.MonkeyPatch, uri: str, form: str) -> None:
    monkeypatch.setenv(CONNECTION, uri)
    monkeypatch.setenv("TEAM_KEY", KEY)
    config = PlanetHook().config()
    got = config.oauth or config.login or config.api_key
    assert (
        got
        == {
            "oauth": OAuthClient(client_id="client-1", client_secret="hush-secret"),
            "login": Login(email="me@example.com", password="hush/secret"),
            "env": KEY,
        }[form]
    )


def test_the_secrets_of_all_forms_are_masked(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hook_module, "mask_secret", masked.append)
    for auth in ("oauth", "login"):
        config({"auth": auth}, login="a", password=f"hush-{auth}")
    assert masked == ["hush-oauth", "hush-login"]


def test_auth_api_key_without_password(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    for extra in (None, {"auth": "api_key"}):
        with pytest.raises(CredentialsError, match="'planet_default': no API key: put it into the password"):
            config(extra, password=None)


def test_without_a_connection_the_environment_speaks_then_the_file(
    monkeypatch: pytest.MonkeyPatch, no_credentials: Path
) -> None:
    with pytest.raises(CredentialsError) as caught:
        PlanetHook().config()
    for remedy in ("connection of type 'planet'", "PL_API_KEY", "~/.planet.json"):
        assert remedy in str(caught.value)
    (no_credentials / ".planet.json").write_text('{"key": "PLAK-home-0123456789"}')
    assert PlanetHook().config().api_key == "PLAK-home-0123456789"
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    assert PlanetHook().config().api_key == "PLAK-standard-0123456789"


async def test_the_event_loop_reads_the_same(
    monkeypatch: pytest.MonkeyPatch, connect: Connect, planet_sandbox: Sandbox
) -> None:
    with pytest.raises(CredentialsError):
        await PlanetHook().async_config()
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    assert (await PlanetHook().async_config()).api_key == "PLAK-standard-0123456789"
    connect(timeout=5)
    assert (await PlanetHook().async_config()) == PlanetHook().config()
    with pytest.raises(AirflowNotFoundException, match="elsewhere"):
        await PlanetHook("elsewhere").async_config()


async def refused(hook: PlanetHook, kind: type[PlanetError]) -> str:
    """Return what both ways to read a connection say."""
    with pytest.raises(kind) as caught:
        hook.config()
    with pytest.raises(kind) as caught_in_loop:
        await hook.async_config()
    assert str(caught.value) == str(caught_in_loop.value)
    return str(caught.value)


@pytest.mark.parametrize("value", ["{not json", '{"conn_type": 7}', "planet://[x"])
@pytest.mark.parametrize("conn_id", ["planet_default", "other"])
async def test_a_variable_that_cannot_be_read_gives_way_to_no_other_key(
    monkeypatch: pytest.MonkeyPatch, value: str, conn_id: str
) -> None:
    monkeypatch.setenv("PL_API_KEY", "PLAK-of-another-account-0123")
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    monkeypatch.setenv(variable, value)
    said = await refused(PlanetHook(conn_id), ConfigurationError)
    assert variable in said
    assert value not in said


@pytest.mark.parametrize(
    "answer",
    [
        ErrorResponse(error=ErrorType.GENERIC_ERROR),
        AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)),
        OSError("the supervisor is gone"),
    ],
    ids=["answered", "raised", "broken"],
)
async def test_an_api_server_that_fails_gives_way_to_no_other_key(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    class Supervisor:
        def send(self, message: Any, **_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def asend(self, message: Any) -> Any:
            return self.send(message)

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(), raising=False)
    monkeypatch.setenv("PL_API_KEY", "PLAK-of-another-account-0123")
    assert "try again later" in await refused(PlanetHook(), TransportError)


async def test_a_secrets_backend_that_fails_gives_way_to_no_other_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Vault:
        def get_connection(self, conn_id: str) -> None:
            raise RuntimeError("sealed, and the token is s3cr3t")

    monkeypatch.setattr(supervisor, "ensure_secrets_backend_loaded", lambda: [Vault()])
    monkeypatch.setenv("PL_API_KEY", "PLAK-of-another-account-0123")
    said = await refused(PlanetHook(), TransportError)
    assert "Vault" in said
    assert "s3cr3t" not in said


async def test_the_log_names_where_the_key_is_from(
    monkeypatch: pytest.MonkeyPatch, no_credentials: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (no_credentials / ".planet.json").write_text('{"key": "PLAK-home-0123456789"}')
    PlanetHook().config()
    assert "'planet_default' is not defined anywhere: using the API key of ~/.planet.json" in caplog.text
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    await PlanetHook().async_config()
    assert "using the API key of PL_API_KEY" in caplog.text
    assert "0123456789" not in caplog.text


@pytest.mark.parametrize("source", ["json", "uri", "env", "file"])
def test_white_space_is_dropped_wherever_the_key_is_from(
    config: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    padded, host = f" {KEY}\r\n", " https://planet.example/\n"
    (tmp_path / "key").write_text(json.dumps({"key": padded}))
    monkeypatch.setenv("MINE", padded)
    if source == "uri":
        monkeypatch.setenv(
            CONNECTION, f"planet://:{quote(padded, safe='')}@{quote(' planet.example ', safe='')}"
        )
        got = PlanetHook().config()
    elif source == "json":
        got = config(password=padded, host=host)
    elif source == "env":
        got = config({"auth": "env", "env_var": " MINE "}, host=host)
    else:
        got = config({"auth": "file", "auth_file": f" {tmp_path}/key\n"}, host=host)
    assert (got.api_key, got.base_url) == (KEY, "https://planet.example")


def test_airflow_redacts_a_token(config: Any, planet_sandbox: Sandbox) -> None:
    token_url = f"{planet_sandbox.url}/auth/token"
    client = {
        "login": planet_sandbox.config.oauth_client_id,
        "password": planet_sandbox.config.oauth_client_secret,
    }
    config({"auth": "oauth", "token_url": token_url}, host=planet_sandbox.url, **client)
    with PlanetHook().session() as session:
        session.send(orders.stats())
    token = planet_sandbox.requests[-1].headers["authorization"].removeprefix("Bearer ")
    assert token not in str(redact(f"got {token}"))


def test_another_connection_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    with pytest.raises(AirflowNotFoundException, match="elsewhere"):
        PlanetHook("elsewhere").config()


async def test_a_key_from_outside_of_airflow_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[str] = []
    monkeypatch.setattr(hook_module, "mask_secret", masked.append)
    monkeypatch.setenv("PL_API_KEY", "PLAK-standard-0123456789")
    PlanetHook().config()
    assert masked == ["PLAK-standard-0123456789"]


async def test_airflow_redacts_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_API_KEY", "PLAK-by-loop-0123456789")
    await PlanetHook().async_config()
    assert "PLAK" not in str(redact("key PLAK-by-loop-0123456789"))
    monkeypatch.setenv("PL_API_KEY", "PLAK-by-worker-0123456789")
    assert "PLAK" in str(redact("key PLAK-by-worker-0123456789"))
    PlanetHook().config()
    assert "PLAK" not in str(redact("key PLAK-by-worker-0123456789"))


def redact(text: str) -> Any:
    from airflow.sdk._shared.secrets_masker import redact as airflow_redact

    return airflow_redact(text)


def test_the_key_is_not_shown(config: Any) -> None:
    assert KEY not in repr(config())
