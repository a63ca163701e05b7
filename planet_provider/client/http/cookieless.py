"""httpx's clients without cookies: no host is told what another answer of its said.

Neither Planet's APIs nor storage behind signed links need any, and looking for them in each answer takes a tenth
of the time that a small file does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from httpx._types import CookieTypes


class _NoCookies(httpx.Cookies):
    """A jar that stays empty."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave an answer's cookies where they are."""


class _Cookieless:
    """Keeps no cookies, whatever is set or answered."""

    @property
    def cookies(self) -> httpx.Cookies:
        """Return a jar that is empty."""
        return _NO_COOKIES

    @cookies.setter
    def cookies(self, cookies: CookieTypes) -> None:
        pass


_NO_COOKIES = _NoCookies()


class CookielessClient(_Cookieless, httpx.Client):
    """For tasks."""


class CookielessAsyncClient(_Cookieless, httpx.AsyncClient):
    """For an event loop."""
