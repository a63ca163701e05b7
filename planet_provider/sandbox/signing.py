"""Tokens and signed URLs, valid for one run of a sandbox."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any


class BadSignatureError(Exception):
    """Not signed by this sandbox, or altered since."""


class Signer:
    """HMAC-SHA256 over a secret drawn at construction."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, text: str) -> str:
        """Return the signature of a text, in hexadecimal."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def verify(self, text: str, signature: str) -> bool:
        """Tell whether a signature is the text's."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode())

    def token(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT (HS256) of the claims."""
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        digest = hmac.new(self._secret, signed.encode(), hashlib.sha256).digest()
        return f"{signed}.{_base64url(digest)}"

    def claims(self, token: str) -> dict[str, Any]:
        """Return a token's claims. Its expiry is the caller's to check.

        :raises BadSignatureError: The token isn't of this sandbox.
        """
        signed, _, signature = token.rpartition(".")
        digest = hmac.new(self._secret, signed.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(_base64url(digest).encode(), signature.encode()):
            raise BadSignatureError
        claims: dict[str, Any] = decode_json(signed.partition(".")[2])
        return claims


def encode_json(value: Any) -> str:
    """Return a value as URL-safe base64 of its JSON."""
    return _encode(value)


def decode_json(text: str) -> Any:
    """Return the value of :func:`encode_json`.

    :raises ValueError: The text isn't of that form.
    """
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _encode(value: Any) -> str:
    return _base64url(json.dumps(value, separators=(",", ":"), sort_keys=True).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
