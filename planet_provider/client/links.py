"""Where people see things of Planet's in a browser. These pages ask for a log-in; they hold no token."""

from __future__ import annotations

from urllib.parse import quote

#: The account's page of orders, as Planet's own QGIS plugin and the guide of its command line link to it.
ORDERS_PAGE = "https://www.planet.com/account/#/orders"


def order_page(order_id: str) -> str:
    """Return the account's page of an order.

    :param order_id: Planet order UUID. It isn't checked: the page stands in error messages.
    """
    return f"{ORDERS_PAGE}/{quote(order_id, safe='')}"
