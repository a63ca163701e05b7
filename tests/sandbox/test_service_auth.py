"""Credentials in every form."""

from __future__ import annotations

import base64
import json
import logging
import time

import httpx
import pytest
from plain_http import Api

from planet_provider.sandbox import Sandbox, run
from planet_provider.sandbox.auth import REALM, TOKEN_PATH

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)

PATHS = ("/compute/ops/orders/v2", "/data/v1/item-types")


def status(sandbox: Sandbox, path: str = PATHS[0], **headers: str) -> int:
    return httpx.get(f"{sandbox.url}{path}", headers=headers).status_code


def token(sandbox: Sandbox, **form: str) -> httpx.Response:
    config = sandbox.config
    form = {
        "grant_type": "client_credentials",
        "client_id": config.oauth_client_id,
        "client_secret": config.oauth_client_secret,
        **form,
    }
    return httpx.post(f"{sandbox.url}/auth/token", data=form)


@pytest.mark.parametrize("path", PATHS)
class TestKey:
    def test_basic(self, planet_sandbox: Sandbox, path: str) -> None:
        url = f"{planet_sandbox.url}{path}"
        assert httpx.get(url, auth=(planet_sandbox.api_key, "")).status_code == 200
        assert httpx.get(url, auth=("PLAK-of-somebody-else", "")).status_code == 401

    def test_header(self, planet_sandbox: Sandbox, path: str) -> None:
        assert status(planet_sandbox, path, Authorization=f"api-key {planet_sandbox.api_key}") == 200
        assert status(planet_sandbox, path, Authorization="api-key PLAK-of-somebody-else") == 401

    def test_query(self, planet_sandbox: Sandbox, path: str) -> None:
        assert status(planet_sandbox, f"{path}?api_key={planet_sandbox.api_key}") == 200
        assert status(planet_sandbox, f"{path}?api_key=nobody") == 401

    @pytest.mark.parametrize("header", [None, "", "Basic", "Basic !!!", "Bearer", "Bearer a.b.c", "Digest x"])
    def test_none(self, planet_sandbox: Sandbox, path: str, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        answer = httpx.get(f"{planet_sandbox.url}{path}", headers=headers)
        assert answer.status_code == 401
        assert "API key" in answer.json()["message"]


class TestOAuth:
    def test_token(self, planet_sandbox: Sandbox) -> None:
        answer = token(planet_sandbox)
        body = answer.json()
        assert (answer.status_code, body["token_type"]) == (200, "Bearer")
        assert body["expires_in"] == planet_sandbox.config.token_seconds
        assert status(planet_sandbox, Authorization=f"Bearer {body['access_token']}") == 200

    def test_client_in_the_header(self, planet_sandbox: Sandbox) -> None:
        config = planet_sandbox.config
        answer = httpx.post(
            f"{planet_sandbox.url}/auth/token",
            data={"grant_type": "client_credentials"},
            auth=(config.oauth_client_id, config.oauth_client_secret),
        )
        assert answer.status_code == 200

    @pytest.mark.parametrize(
        ("form", "expected", "error"),
        [
            ({"client_secret": "wrong"}, 401, "invalid_client"),
            ({"client_id": "wrong"}, 401, "invalid_client"),
            ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ],
    )
    def test_refused(self, planet_sandbox: Sandbox, form: dict[str, str], expected: int, error: str) -> None:
        answer = token(planet_sandbox, **form)
        assert (answer.status_code, answer.json()) == (expected, {"error": error})

    @pytest.mark.planet_sandbox(token_seconds=0.001)
    def test_expired(self, planet_sandbox: Sandbox) -> None:
        assert (
            status(planet_sandbox, Authorization=f"Bearer {token(planet_sandbox).json()['access_token']}")
            == 401
        )

    def test_expires_by_the_sandboxs_clock_too(self, planet_sandbox: Sandbox) -> None:
        bearer = f"Bearer {token(planet_sandbox).json()['access_token']}"
        half = planet_sandbox.config.token_seconds / 2
        planet_sandbox.clock.advance(half)
        assert status(planet_sandbox, Authorization=bearer) == 200
        planet_sandbox.clock.advance(half)
        assert status(planet_sandbox, Authorization=bearer) == 401

    @pytest.mark.planet_sandbox(speed=100_000.0, token_seconds=60.0)
    def test_lives_in_real_seconds_however_fast_the_clock(self, planet_sandbox: Sandbox) -> None:
        bearer = f"Bearer {token(planet_sandbox).json()['access_token']}"
        time.sleep(0.01)  # a quarter of an hour in the sandbox
        assert status(planet_sandbox, Authorization=bearer) == 200

    def test_the_realm_says_where_tokens_are_had(self, planet_sandbox: Sandbox) -> None:
        config = httpx.get(f"{planet_sandbox.url}{REALM}/.well-known/openid-configuration").json()
        assert config["token_endpoint"] == f"{planet_sandbox.url}{TOKEN_PATH}"
        answer = httpx.post(
            config["token_endpoint"],
            data={
                "grant_type": "client_credentials",
                "client_id": planet_sandbox.config.oauth_client_id,
                "client_secret": planet_sandbox.config.oauth_client_secret,
            },
        )
        assert status(planet_sandbox, Authorization=f"Bearer {answer.json()['access_token']}") == 200

    def test_revoked(self, planet_sandbox: Sandbox) -> None:
        before = token(planet_sandbox).json()["access_token"]
        planet_sandbox.revoke_tokens()
        after = token(planet_sandbox).json()["access_token"]
        assert status(planet_sandbox, Authorization=f"Bearer {before}") == 401
        assert status(planet_sandbox, Authorization=f"Bearer {after}") == 200

    def test_altered(self, planet_sandbox: Sandbox) -> None:
        head, payload, signature = token(planet_sandbox).json()["access_token"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims["exp"] += 1e9
        forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        assert status(planet_sandbox, Authorization=f"Bearer {head}.{forged}.{signature}") == 401


class TestLogin:
    def test_token_holds_the_key(self, planet_sandbox: Sandbox) -> None:
        config = planet_sandbox.config
        answer = httpx.post(
            f"{planet_sandbox.url}/v0/auth/login",
            json={"email": config.email, "password": config.password},
        )
        payload = answer.json()["token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["api_key"] == planet_sandbox.api_key

    @pytest.mark.parametrize(
        ("body", "expected"),
        [(b'{"email": "x", "password": "y"}', 401), (b"{}", 400), (b"[]", 400), (b"nonsense", 400)],
    )
    def test_refused(self, planet_sandbox: Sandbox, body: bytes, expected: int) -> None:
        assert httpx.post(f"{planet_sandbox.url}/v0/auth/login", content=body).status_code == expected


def test_no_key_or_token_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    # The client's own log would show the links.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    location = api.results()[0]["location"]
    httpx.get(location, follow_redirects=True)
    secrets = (api.sandbox.api_key, location.partition("token=")[2])
    text = caplog.text + repr(api.sandbox) + repr(api.sandbox.requests)
    assert not [secret for secret in secrets if secret in text]


def test_a_key_of_ones_own() -> None:
    with run(api_keys=("PLAK-my-very-own-key",)) as sandbox:
        assert sandbox.api_key == "PLAK-my-very-own-key"
        assert httpx.get(f"{sandbox.url}{PATHS[0]}", auth=(sandbox.api_key, "")).status_code == 200
