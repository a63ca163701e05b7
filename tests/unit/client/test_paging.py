from __future__ import annotations

import json
from typing import Any

import pytest

from client_support import ANY, Connect
from planet_provider.client.api import data, orders
from planet_provider.client.parse import next_link
from planet_provider.exceptions import PagingCycleError, UnexpectedResponseError
from planet_provider.sandbox import Fault, Sandbox, run

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)

SEARCH = data.quick_search(["PSScene"], ANY, page_size=200)


def page(next_url: Any, *ids: str) -> str:
    features = [{"id": one, "properties": {"item_type": "PSScene"}} for one in ids]
    return json.dumps({"_links": {"_next": next_url}, "features": features})


@pytest.mark.guide("paging")
def test_all_pages_with_the_key_and_the_first_one_s_body_only(
    planet_sandbox: Sandbox, connect: Connect
) -> None:
    pages = connect(planet_sandbox).pages(SEARCH)
    assert len(pages) > 2
    ids = [item["id"] for each in pages for item in each]
    assert len(ids) == len(set(ids))
    first, *rest = planet_sandbox.requests
    assert (first.method, first.query) == ("POST", {"_page_size": "200"})
    assert json.loads(first.body)["item_types"] == ["PSScene"]
    assert len(rest) == len(pages) - 1
    assert all((one.method, one.body, one.authorized) == ("GET", b"", True) for one in rest)


@pytest.mark.guide("paging")
@pytest.mark.planet_sandbox(empty_page_every=2)
def test_empty_pages_are_passed(planet_sandbox: Sandbox, connect: Connect) -> None:
    pages = connect(planet_sandbox).pages(SEARCH)
    with_gaps = [item["id"] for each in pages for item in each]
    assert [] in pages[:-1]
    planet_sandbox.reset(rate_limits=False)
    assert sorted(with_gaps) == sorted(
        item["id"] for each in connect(planet_sandbox).pages(SEARCH) for item in each
    )


@pytest.mark.planet_sandbox(orders_page_size=2)
def test_pages_of_orders(planet_sandbox: Sandbox, connect: Connect) -> None:
    client = connect(planet_sandbox)
    rows = [{"id": f"order {number}", "state": "queued"} for number in range(3)]
    link = f"{planet_sandbox.url}/compute/ops/orders/v2?page_marker=x"
    for body in ({"orders": rows[:2], "_links": {"next": link}}, {"orders": rows[2:], "_links": {}}):
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=json.dumps(body)))
    assert client.pages(orders.list_orders(state=["queued", "running"])) == [rows[:2], rows[2:]]
    # The next link says it all: the filters of the first page are not added to it again.
    assert dict(planet_sandbox.requests[1].query) == {"page_marker": "x"}


def test_a_call_without_pages_is_one(planet_sandbox: Sandbox, connect: Connect) -> None:
    assert len(connect(planet_sandbox).pages(orders.stats())) == 1
    assert len(planet_sandbox.requests) == 1


@pytest.mark.parametrize("length", [1, 3])
def test_going_round_in_circles(planet_sandbox: Sandbox, connect: Connect, length: int) -> None:
    links = [f"{planet_sandbox.url}/data/v1/searches/abc/results?_page={n}" for n in range(length)]
    for number in range(length + 1):
        body = page(links[number % length], f"item {number}")
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
    with pytest.raises(PagingCycleError) as caught:
        connect(planet_sandbox).pages(SEARCH)
    assert "POST /data/v1/quick-search" in str(caught.value)
    assert f"page {length + 1} was already followed" in str(caught.value)
    assert len(planet_sandbox.requests) == length + 1


def test_the_credential_never_goes_abroad(planet_sandbox: Sandbox, connect: Connect) -> None:
    with run(items=400) as elsewhere:
        abroad = f"{elsewhere.url}/data/v1/searches/abc/results?token=t0ps3cret"
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=page(abroad, "a")))
        with pytest.raises(UnexpectedResponseError) as caught:
            connect(planet_sandbox).pages(SEARCH)
        assert elsewhere.requests == []
    message = str(caught.value)
    assert f"{elsewhere.url}/data/v1/searches/abc/results?token=***" in message
    assert f"away from {planet_sandbox.url}" in message
    assert "the connection's host" in message


@pytest.mark.parametrize(
    "link",
    ["https://api.planet.com/x", "//elsewhere/x", "ftp://127.0.0.1/x", "http://[::1", "results?_page=2"],
)
def test_other_links_that_are_not_followed(planet_sandbox: Sandbox, connect: Connect, link: str) -> None:
    planet_sandbox.faults.add(Fault(kind="status", status=200, body=page(link, "a")))
    client = connect(planet_sandbox, max_attempts=1)
    with pytest.raises(UnexpectedResponseError):
        client.pages(SEARCH)
    assert [request.path for request in planet_sandbox.requests] == ["/data/v1/quick-search"]


@pytest.mark.parametrize("links", ["[]", '"x"', '{"_next": 7}', '{"_next": {"href": "x"}}'])
def test_links_that_are_malformed(planet_sandbox: Sandbox, connect: Connect, links: str) -> None:
    body = f'{{"features": [], "_links": {links}}}'
    planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
    with pytest.raises(UnexpectedResponseError, match="cannot be understood"):
        connect(planet_sandbox).pages(SEARCH)


@pytest.mark.parametrize("body", [{}, {"_links": None}, {"_links": {}}, {"_links": {"_next": None}}])
def test_the_last_page(body: dict[str, Any]) -> None:
    assert next_link(body, "_next") is None
    assert next_link({"_links": {"_next": ""}}, "_next") is None
