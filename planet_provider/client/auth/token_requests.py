"""Asking for tokens: OAuth 2 client credentials, and Planet's legacy login.

An attempt is made once here: what may be repaired by waiting is retried by the session's policy, with the
request that wanted the token, which surely was not sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import ssl
import time
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from planet_provider.client.auth.credentials import (
    LOGIN_PATH,
    Login,
    OAuthClient,
    fits_header,
)
from planet_provider.client.auth.token_cache import SharedToken, Token, shared_token
from planet_provider.client.http.bounded import (
    ACCEPT_ENCODING,
    MAX_ERROR_BYTES,
    Bounds,
    read,
)
from planet_provider.client.http.environment import client_of, proxy_to, tls_context
from planet_provider.client.http.responses import EXCHANGE_ERRORS, retry_after, whole
from planet_provider.client.http.transport import use_large_reads
from planet_provider.client.parse import decoded
from planet_provider.coordination.interrupt import within
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    TokenUnavailableError,
    UnexpectedResponseError,
)
from planet_provider.known_secrets import REDACTED, remember
from planet_provider.redact import install_log_redaction, redact_text

#: Seconds that a token holds where the endpoint doesn't say (RFC 6749, 5.1, only recommends that it does).
DEFAULT_LIFE_SECONDS = 300.0

#: What a token may say of its holder that is of use to a reader, and no secret.
SHOWN_CLAIMS = ("email", "preferred_username", "user_id", "organization_id", "account", "client_id", "azp")

_TRY_LATER = frozenset({408, 425, 429})
#: Beside redirects, what answers where there is no such endpoint.
_NO_ENDPOINT = frozenset({404, 405, 410})
_SHOWN_TEXT = 300

#: Seconds that an answer may take in all, at least.
_LEAST_SECONDS = 60.0


def oauth_token(client: OAuthClient, timeout: float, tls: ssl.SSLContext | None = None) -> SharedToken:
    """Return the process's access token of a service account.

    :param timeout: Seconds to wait for a connection, or between two reads.
    :param tls: Certificates to trust; by default as httpx does.
    """
    key = ("oauth", client.token_url, client.client_id, _hash(client.client_secret))
    return shared_token(key, lambda: _fetch_oauth(client, timeout, tls))


def login_key(login: Login, base_url: str, timeout: float, tls: ssl.SSLContext | None = None) -> SharedToken:
    """Return the API key of an account, as the process has it.

    :param base_url: The API's base URL.
    :param timeout: As for :func:`oauth_token`.
    :param tls: Likewise.
    """
    key = ("login", base_url, login.email, _hash(login.password))
    return shared_token(key, lambda: _fetch_login(login, f"{base_url}{LOGIN_PATH}", timeout, tls))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _fetch_oauth(client: OAuthClient, timeout: float, tls: ssl.SSLContext | None) -> Token:
    # The secret goes into the body, as the official SDK sends it: Planet's realm insists on that.
    form = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    hint = "Check the connection's login (client id), password (client secret) and token_url."
    answer = _Asked(client.token_url, client.client_secret, hint, "the extra token_url")
    started = time.monotonic()
    body = answer.post(timeout, tls, data=form)
    value, life = body.get("access_token"), _life(body.get("expires_in", DEFAULT_LIFE_SECONDS))
    if not isinstance(value, str) or not fits_header(value) or life is None:
        answer.not_understood("it holds no access_token with a life in seconds")
    if str(body.get("token_type", "Bearer")).lower() != "bearer":
        answer.not_understood("its token is no Bearer token")
    return Token(value=value, started=started, life=life, claims=_shown(_claims(value)))


def _fetch_login(login: Login, url: str, timeout: float, tls: ssl.SSLContext | None) -> Token:
    hint = "Check the connection's login (the account's e-mail) and password."
    answer = _Asked(url, login.password, hint, "the host")
    started = time.monotonic()
    body = answer.post(timeout, tls, json={"email": login.email, "password": login.password})
    claims = _claims(body.get("token"))
    key = claims.get("api_key")
    if not isinstance(key, str) or not fits_header(key):
        answer.not_understood("it holds no token with an api_key in it")
    return Token(value=key, started=started, claims=_shown(claims))


class _Asked:
    """A request for a token, and how its failures are told.

    :param secret: What no message may hold.
    :param hint: What to do where it is refused.
    :param told_by: What of the connection says where the endpoint is.
    """

    def __init__(self, url: str, secret: str, hint: str, told_by: str) -> None:
        self._url = url
        self._secret = secret
        self._hint = hint
        self._told_by = told_by

    def post(self, timeout: float, tls: ssl.SSLContext | None, **content: Any) -> dict[str, Any]:
        install_log_redaction()
        remember((self._secret,))
        response = self._sent(timeout, tls_context() if tls is None else tls, content)
        status = response.status_code
        if response.is_success:
            return self._body(response)
        said = self._said(response)
        if status >= 500 or status in _TRY_LATER:
            raise TokenUnavailableError(
                f"No token from {self._url}: {status}: {said}. Try again later.",
                retry_after=retry_after(response),
            )
        if response.is_redirect or status in _NO_ENDPOINT:
            raise ConfigurationError(
                f"POST {self._url} -> {status}: {said}. That is no token endpoint: check {self._told_by} of the "
                "connection."
            )
        raise AuthenticationError(
            f"POST {self._url} -> {status}: {said}. {self._hint}",
            status=status,
            request=f"POST {urlsplit(self._url).path}",
            messages=(said,),
        )

    def not_understood(self, what: str) -> NoReturn:
        raise TokenUnavailableError(
            f"No token from {self._url}: the answer cannot be understood: {what}. "
            "Check that this is the token endpoint, and that no proxy answers in its stead."
        )

    def _sent(self, timeout: float, tls: ssl.SSLContext, content: dict[str, Any]) -> httpx.Response:
        bounds = Bounds(MAX_ERROR_BYTES, max(timeout, _LEAST_SECONDS))
        try:
            # Redirects are not followed: the secret goes where the connection says, and nowhere else.
            with (
                client_of(
                    lambda: httpx.Client(timeout=timeout, verify=tls, follow_redirects=False)
                ) as client,
                within(bounds.seconds),
            ):
                use_large_reads(client)
                headers = {"Accept": "application/json", "Accept-Encoding": ACCEPT_ENCODING}
                request = client.build_request("POST", self._url, headers=headers, **content)
                response = client.send(request, stream=True)
                return whole(response, read(response, bounds))
        except (ConfigurationError, TokenUnavailableError):
            raise
        except (UnexpectedResponseError, *EXCHANGE_ERRORS) as error:
            what = f"{type(error).__name__}: {self._clean(str(error))}".rstrip(": .")
            proxy = proxy_to(self._url)
        through = f" through {proxy}" if proxy is not None else ""
        raise TokenUnavailableError(
            f"No token from {self._url}{through}: no answer: {what}. Try again later."
        )

    def _body(self, response: httpx.Response) -> dict[str, Any]:
        body = _decoded(response)
        if not isinstance(body, dict):
            self.not_understood("it is no JSON object")
        return body

    def _said(self, response: httpx.Response) -> str:
        body = _decoded(response)
        found = (
            [body.get(name) for name in ("error", "error_description", "message")]
            if isinstance(body, dict)
            else []
        )
        said = ": ".join(text for text in found if isinstance(text, str) and text)
        return self._clean(said or response.reason_phrase or "no message").rstrip(".")

    def _clean(self, text: str) -> str:
        return redact_text(text.replace(self._secret, REDACTED), _SHOWN_TEXT)


def _decoded(response: httpx.Response) -> Any:
    try:
        return decoded(response.content)
    except (RecursionError, ValueError):
        return None


def _life(seconds: Any) -> float | None:
    try:
        life = float(seconds)
    except (OverflowError, TypeError, ValueError):
        return None
    return life if math.isfinite(life) and life >= 0 and not isinstance(seconds, bool) else None


def _claims(token: Any) -> dict[str, Any]:
    """Read a JSON web token's payload. Its signature is the API's to check."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (AttributeError, IndexError, RecursionError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _shown(claims: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: redact_text(str(claims[name]), _SHOWN_TEXT)
        for name in SHOWN_CLAIMS
        if isinstance(claims.get(name), (str, int)) and claims[name]
    }
