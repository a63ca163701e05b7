"""Who asks: API keys, OAuth client credentials, the legacy login."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
from aiohttp import web

from planet_provider.sandbox.clock import SandboxClock
from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.errors import ApiError, unauthorized
from planet_provider.sandbox.signing import BadSignatureError, Signer

REALM = "/auth/realms/main"
"""Where the realm for service accounts is, by the path of Planet's own."""

TOKEN_PATH = f"{REALM}/protocol/openid-connect/token"


@dataclass(frozen=True)
class Account:
    """A user of the sandbox's one organisation.

    :param user_id: Number of the user, from 1.
    """

    user_id: int


class Authenticator:
    """Accounts and their credentials.

    :param signer: Signs the tokens.
    :param clock: What access tokens expire by: moved forward, they are over.
    """

    def __init__(self, config: SandboxConfig, signer: Signer, clock: SandboxClock) -> None:
        self._signer = signer
        self._clock = clock
        self._generation = 0
        self.reset(config)

    def reset(self, config: SandboxConfig) -> None:
        """Take over a configuration's credentials."""
        self._config = config
        self._keys = {key: Account(number) for number, key in enumerate(config.api_keys, 1)}

    def revoke_tokens(self) -> None:
        """Make every access token issued so far invalid."""
        self._generation += 1

    def account(self, request: web.Request) -> Account:
        """Return who sent a request.

        :raises ApiError: 401.
        """
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        account: Account | None
        if scheme.lower() == "basic":
            account = self._keys.get(_basic(request)[0])
        elif scheme.lower() == "api-key":
            account = self._keys.get(credentials.strip())
        elif scheme.lower() == "bearer":
            account = self._bearer(credentials.strip())
        else:
            account = self._keys.get(request.query.get("api_key", ""))
        if account is None:
            raise unauthorized()
        return account

    async def issue_token(self, request: web.Request) -> web.Response:
        """``POST /auth/realms/main/protocol/openid-connect/token``: client credentials (RFC 6749, 4.4)."""
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            raise ApiError(400, {"error": "unsupported_grant_type"})
        basic = request.headers.get("Authorization", "").lower().startswith("basic ")
        client_id, secret = _basic(request) if basic else (form.get("client_id"), form.get("client_secret"))
        expected = self._config.oauth_client_id, self._config.oauth_client_secret
        if not _same(client_id, expected[0]) or not _same(secret, expected[1]):
            raise ApiError(401, {"error": "invalid_client"})
        now, life = time.time(), self._config.token_seconds
        # Its holder times it with its own clock, so it lives that long in real seconds; unless time is moved.
        over = self._clock.now() + timedelta(seconds=life * self._clock.speed)
        claims = {
            "sub": expected[0],
            "azp": expected[0],
            "account": f"organization-of-{expected[0]}",
            "iat": now,
            "exp": now + life,
            "sandbox_exp": over.timestamp(),
            "generation": self._generation,
        }
        return web.json_response(
            {
                "access_token": self._signer.token(claims),
                "token_type": "Bearer",
                "expires_in": int(self._config.token_seconds),
                "scope": "planet",
            },
            headers={"Cache-Control": "no-store"},
        )

    async def discovery(self, request: web.Request) -> web.Response:
        """``GET /auth/realms/main/.well-known/openid-configuration``."""
        origin = f"{request.scheme}://{request.host}"
        return web.json_response(
            {
                "issuer": f"{origin}{REALM}",
                "token_endpoint": f"{origin}{TOKEN_PATH}",
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "response_types_supported": [],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["HS256"],
            }
        )

    async def login(self, request: web.Request) -> web.Response:
        """``POST /v0/auth/login``: a JWT whose payload holds the account's API key."""
        try:
            body = await request.json()
            email, password = body["email"], body["password"]
        except (ValueError, TypeError, KeyError):
            raise ApiError(400, {"message": "email and password are required", "errors": []}) from None
        if not _same(email, self._config.email) or not _same(password, self._config.password):
            raise ApiError(401, {"message": "Invalid email or password", "errors": []})
        key = self._config.api_keys[0]
        claims = {"email": email, "user_id": self._keys[key].user_id, "api_key": key}
        return web.json_response({"token": self._signer.token(claims)})

    def _bearer(self, token: str) -> Account | None:
        try:
            claims = self._signer.claims(token)
        except (BadSignatureError, ValueError):
            return None
        over = claims.get("sandbox_exp", 0) <= self._clock.now().timestamp()
        if claims.get("generation") != self._generation or over:
            return None
        return self._keys[self._config.api_keys[0]]


def _basic(request: web.Request) -> tuple[str, str]:
    try:
        login = aiohttp.BasicAuth.decode(request.headers["Authorization"])
    except ValueError:
        raise unauthorized() from None
    return login.login, login.password


def _same(given: object, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())
