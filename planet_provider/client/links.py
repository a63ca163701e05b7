"""Where people see an order in a browser. These pages ask for a log-in; their addresses hold no token."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

#: The account's page of orders, as Planet's own QGIS plugin and the guide of its command line link to it.
ORDERS_PAGE = "https://www.planet.com/account/#/orders"


#: The host of Planet's API, whose orders that page shows.
_PLANET = "api.planet.com"


def order_page(order_id: str, base_url: str | None = None) -> str:
    """Return the account's page of an order; of another host than Planet's, the order's own address there.

    :param order_id: Planet order UUID. It isn't checked: the page stands in error messages.
    :param base_url: The connection's host; by default Planet's.
    """
    if base_url is not None and urlsplit(base_url).hostname != _PLANET:
        return f"{base_url}/compute/ops/orders/v2/{quote(order_id, safe='')}"
    return f"{ORDERS_PAGE}/{quote(order_id, safe='')}"
