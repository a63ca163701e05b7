"""Download links of the API origin: opened, then redirected to the storage origin."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from planet_provider.sandbox.errors import ApiError
from planet_provider.sandbox.links import LinkError
from planet_provider.sandbox.objects import StoredObject
from planet_provider.sandbox.pipeline import current_faults
from planet_provider.sandbox.state import STATE, State


def open_link(request: web.Request, purpose: str) -> dict[str, Any]:
    """Return the claims of a request's ``token``.

    :param purpose: ``asset`` or ``order``.
    :raises ApiError: The link is no good, or expired.
    """
    state = request.app[STATE]
    try:
        if "expire" in current_faults():
            raise LinkError(expired=True)
        return state.links.open(request.query.get("token", ""), purpose)
    except LinkError as error:
        status = state.config.expired_link_status if error.expired else 401
        message = "Download link has expired" if error.expired else "Download link is not valid"
        raise ApiError(status, {"message": message, "errors": []}) from None


def redirect(state: State, stored: StoredObject, expires: float) -> web.Response:
    """Return the redirect to a file, signed for as long as the link that led to it.

    :param expires: Sandbox time as seconds since the epoch.
    """
    url = state.links.signed_url(state.storage_url, stored.key, expires)
    return web.Response(status=302, headers={"Location": url, "Cache-Control": "no-store"})
