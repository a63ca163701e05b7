"""Keys and tokens that an endpoint gives and no header can hold; and what a refused one is told."""

from __future__ import annotations

import base64
import json

import pytest

from client_support import session_of
from planet_provider.client.api import orders
from planet_provider.client.auth.credentials import Login, OAuthClient
from planet_provider.client.auth.token_cache import forget_tokens
from planet_provider.exceptions import AuthenticationError, TokenUnavailableError
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)

ODD = ["hunter2\nAAA", "hunter2 AAA", "hunter2\u00e9AAA", "hunter2\x00"]


@pytest.fixture(autouse=True)
def nothing_fetched_before() -> None:
    forget_tokens()


def json_web_token(**claims: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.mark.parametrize("odd", ODD)
def test_an_access_token(planet_sandbox: Sandbox, odd: str) -> None:
    body = json.dumps({"access_token": odd, "expires_in": 300, "token_type": "Bearer"})
    planet_sandbox.faults.add(Fault(kind="status", path="/token", status=200, body=body))
    client = OAuthClient(client_id="c", client_secret="s", token_url=f"{planet_sandbox.url}/token")
    with (
        session_of(planet_sandbox, api_key="", oauth=client, max_attempts=1) as session,
        pytest.raises(TokenUnavailableError, match="cannot be understood") as caught,
    ):
        session.send(orders.stats())
    assert "hunter2" not in str(caught.value)
    assert [request.path for request in planet_sandbox.requests] == ["/token"]


@pytest.mark.parametrize("odd", ODD)
def test_a_login_s_key(planet_sandbox: Sandbox, odd: str) -> None:
    body = json.dumps({"token": json_web_token(api_key=odd)})
    planet_sandbox.faults.add(Fault(kind="status", path="/login", status=200, body=body))
    login = Login(email="me@example.com", password="p-of-this-test")
    with (
        session_of(planet_sandbox, api_key="", login=login, max_attempts=1) as session,
        pytest.raises(TokenUnavailableError, match="no token with an api_key") as caught,
    ):
        session.send(orders.stats())
    assert "hunter2" not in str(caught.value)
    assert [request.path for request in planet_sandbox.requests] == ["/v0/auth/login"]


def test_the_remedy_fits_all_kinds_of_credentials(planet_sandbox: Sandbox) -> None:
    with (
        session_of(planet_sandbox, api_key="PLAK-wrong") as session,
        pytest.raises(AuthenticationError) as caught,
    ):
        session.send(orders.stats())
    for remedy in ("API key", "auth=oauth or login: its login and password", "PL_API_KEY", "~/.planet.json"):
        assert remedy in str(caught.value)
