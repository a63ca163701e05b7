"""Pages for people."""

from __future__ import annotations

import pytest

from planet_provider.client.api.links import order_page


@pytest.mark.parametrize(
    ("order_id", "page"),
    [
        ("7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c", "7d5a4e2b-0c3f-4a8e-9b1d-2f6c8e0a1b3c"),
        ("x/../y?z#", "x%2F..%2Fy%3Fz%23"),
    ],
)
def test_the_page_of_an_order(order_id: str, page: str) -> None:
    assert order_page(order_id, "https://api.planet.com") == f"https://www.planet.com/account/#/orders/{page}"


def test_the_page_follows_the_connections_host() -> None:
    assert order_page("x", "http://127.0.0.1:8000") == "http://127.0.0.1:8000/account/#/orders/x"
