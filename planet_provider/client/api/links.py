"""Where people see an order in a browser. These pages ask for a log-in; their addresses hold no token."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

#: The host of Planet's API, and the one of its pages.
_API_HOST = "api.planet.com"
_PAGES = "https://www.planet.com"

#: The account's page of orders, as Planet's own QGIS plugin and the guide of its command line link to it.
_ORDERS = "account/#/orders"


def order_page(order_id: str, base_url: str) -> str:
    """Return the account's page of an order: at planet.com, or at the connection's own host, as in the sandbox.

    :param order_id: Planet order UUID. It isn't checked: the page stands in error messages.
    :param base_url: The connection's host.
    """
    origin = _PAGES if urlsplit(base_url).hostname == _API_HOST else base_url
    return f"{origin}/{_ORDERS}/{quote(order_id, safe='')}"
