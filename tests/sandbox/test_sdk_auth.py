"""The forms of authentication the SDK knows, each against the sandbox."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import planet
import planet_auth
import planet_auth_utils
import pytest
from planet import exceptions

from planet_provider.sandbox import Sandbox
from planet_provider.sandbox.auth import REALM, TOKEN_PATH

pytest_plugins = ("sdk",)


def auth_of(context: planet_auth.Auth) -> planet.Auth:
    """Return the SDK's authentication by a context of its library; no public name takes one."""
    return planet.Auth._from_plauth(context)


async def works(server: Sandbox, auth: planet.Auth) -> None:
    async with planet.Session(auth=auth) as session:
        client = session.client("orders", base_url=f"{server.url}/compute/ops")
        assert "user" in await client.aggregated_order_stats()


def service_account(server: Sandbox, secret: str) -> planet_auth.Auth:
    return planet_auth_utils.PlanetAuthFactory.initialize_auth_client_context_from_custom_config(
        client_config={
            "client_type": "oidc_client_credentials_secret",
            "auth_server": server.url,
            "token_endpoint": f"{server.url}/auth/token",
            "client_id": "sandbox-client",
            "client_secret": secret,
            "scopes": [],
        },
        save_token_file=False,
        save_profile_config=False,
        profile_name="sandbox-m2m",
    )


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty home directory and none of Planet's variables in the environment."""
    for name in ("PL_API_KEY", "PL_AUTH_PROFILE", "PL_AUTH_CLIENT_ID", "PL_AUTH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def test_from_key(server: Sandbox) -> None:
    await works(server, planet.Auth.from_key(server.api_key))
    assert server.requests[-1].headers["authorization"] == f"api-key {server.api_key}"
    assert server.requests[-1].headers["user-agent"].startswith("planet-client-python/")


async def test_from_the_environment(server: Sandbox, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("PL_API_KEY", server.api_key)
    await works(server, planet.Auth.from_user_default_session())
    monkeypatch.setenv("MY_KEY", server.api_key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        await works(server, planet.Auth.from_env("MY_KEY"))


async def test_from_a_secret_file(server: Sandbox, home: Path) -> None:
    secret = home / "secret.json"
    secret.write_text(json.dumps({"key": server.api_key}))
    secret.chmod(0o600)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        auth = planet.Auth.from_file(secret)
    await works(server, auth)


async def test_session_opens_the_client_by_its_name(server: Sandbox) -> None:
    async with planet.Session(auth=planet.Auth.from_key(server.api_key)) as session:
        client = session.client("data", base_url=f"{server.url}/data/v1/")
        assert [item async for item in client.search(["PSScene"], limit=1)]
        with pytest.raises(exceptions.ClientError, match="No such client"):
            session.client("weather")


async def test_empty_key_is_refused() -> None:
    with pytest.raises(exceptions.PlanetError):
        planet.Auth.from_key("")


async def test_legacy_login(server: Sandbox, home: Path) -> None:
    """E-mail and password buy a JWT that carries the API key."""
    context = planet_auth.Auth.initialize_from_config_dict(
        client_config={
            "client_type": "planet_legacy",
            "legacy_auth_endpoint": f"{server.url}/v0/auth/login",
        },
        token_file=str(home / "token.json"),
    )
    context.login(username="user@sandbox.example", password="sandbox-password", allow_tty_prompt=False)
    await works(server, auth_of(context))
    assert server.requests[-1].headers["authorization"] == f"api-key {server.api_key}"


async def test_oauth_client_credentials(server: Sandbox, home: Path) -> None:
    """A service account's token is fetched once, then sent as Bearer."""
    context = service_account(server, "sandbox-client-secret")
    await works(server, auth_of(context))
    assert server.requests[-1].headers["authorization"].startswith("Bearer ")
    before = len(server.requests)
    await works(server, auth_of(context))
    assert [request.path for request in server.requests[before:]] == ["/compute/ops/stats/orders/v2"]


async def test_oauth_by_discovery_in_a_realm_with_the_path_of_planets(server: Sandbox, home: Path) -> None:
    """As ``Auth.from_oauth_m2m`` has it, with this realm in place of Planet's."""
    context = planet_auth_utils.PlanetAuthFactory.initialize_auth_client_context_from_custom_config(
        client_config={
            "client_type": "oidc_client_credentials_secret",
            "auth_server": f"{server.url}{REALM}",
            "client_id": "sandbox-client",
            "client_secret": "sandbox-client-secret",
            "scopes": [],
        },
        save_token_file=False,
        save_profile_config=False,
        profile_name="sandbox-realm",
    )
    await works(server, auth_of(context))
    paths = [request.path for request in server.requests[-3:]]
    assert paths == [f"{REALM}/.well-known/openid-configuration", TOKEN_PATH, "/compute/ops/stats/orders/v2"]
    assert server.requests[-1].headers["authorization"].startswith("Bearer ")


async def test_oauth_token_that_was_revoked(server: Sandbox, home: Path) -> None:
    context = service_account(server, "sandbox-client-secret")
    await works(server, auth_of(context))
    server.revoke_tokens()
    with pytest.raises(exceptions.InvalidAPIKey):
        await works(server, auth_of(context))


async def test_oauth_with_a_wrong_secret(server: Sandbox, home: Path) -> None:
    with pytest.raises(exceptions.InvalidAPIKey):
        await works(server, auth_of(service_account(server, "wrong")))
