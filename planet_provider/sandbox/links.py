"""Download links: a token at the API, a signed URL at the storage origin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from planet_provider.sandbox.clock import SandboxClock
from planet_provider.sandbox.signing import BadSignatureError, Signer

BUCKET = "planet-sandbox-delivery"


class LinkError(Exception):
    """A link that doesn't open.

    :param expired: Whether it did once.
    """

    def __init__(self, *, expired: bool) -> None:
        super().__init__("expired" if expired else "invalid")
        self.expired = expired


class Links:
    """Makes and checks links, in sandbox time."""

    def __init__(self, signer: Signer, clock: SandboxClock) -> None:
        self._signer = signer
        self._clock = clock

    def token(self, claims: Mapping[str, Any], expires: datetime) -> str:
        """Return the token of a download link."""
        return self._signer.token({**claims, "exp": expires.timestamp()})

    def open(self, token: str, purpose: str) -> dict[str, Any]:
        """Return a token's claims.

        :param purpose: What the token must be for.
        :raises LinkError: Not a token of this sandbox for this purpose, or expired.
        """
        try:
            claims = self._signer.claims(token)
        except (BadSignatureError, ValueError):
            raise LinkError(expired=False) from None
        if claims.get("for") != purpose:
            raise LinkError(expired=False)
        if claims["exp"] <= self._clock.now().timestamp():
            raise LinkError(expired=True)
        return claims

    def signed_url(self, storage_url: str, key: str, expires: float) -> str:
        """Return a URL of the storage origin.

        :param expires: Sandbox time as seconds since the epoch.
        """
        query = {"Expires": str(int(expires)), "Signature": self._signer.sign(f"{key}\n{int(expires)}")}
        return f"{storage_url}/{BUCKET}/{quote(key)}?{urlencode(query)}"

    def check(self, key: str, query: Mapping[str, str]) -> None:
        """Check a signed URL.

        :raises LinkError: Not signed for this key, or expired.
        """
        expires = query.get("Expires", "")
        if not expires.isdigit() or not self._signer.verify(f"{key}\n{expires}", query.get("Signature", "")):
            raise LinkError(expired=False)
        if int(expires) <= self._clock.now().timestamp():
            raise LinkError(expired=True)
