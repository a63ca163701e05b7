"""The SDK's order calls: create, get, list, cancel, statistics, wait."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from planet import exceptions, order_request
from planet.clients.orders import ORDER_STATE_SEQUENCE
from planet.reporting import StateBar
from sdk import SMALL, Clients, Feature, downloadable, open_clients, order_of, timestamp, unique, until_final

from planet_provider.sandbox import Sandbox, run

pytest_plugins = ("sdk",)

QUEUED, RUNNING = 1000.0, 2000.0


@pytest.fixture(scope="module")
def still_sandbox() -> Iterator[Sandbox]:
    """A sandbox in which orders move only when a test advances the clock."""
    with run(
        rate_limits=False, queued_seconds=QUEUED, running_seconds=RUNNING, orders_page_size=5
    ) as sandbox:
        yield sandbox


@pytest.fixture
async def still(still_sandbox: Sandbox, orderable: list[Feature]) -> AsyncIterator[tuple[Sandbox, Clients]]:
    """That sandbox without orders, and its clients."""
    still_sandbox.reset()
    opened = open_clients(still_sandbox)
    async with opened.session:
        yield still_sandbox, opened


async def listed(clients: Clients, **filters: Any) -> list[dict[str, Any]]:
    return [order async for order in clients.orders.list_orders(**filters)]


def names(orders: list[dict[str, Any]]) -> list[str]:
    return [order["name"] for order in orders]


async def test_create_order(clients: Clients, orderable: list[Feature], server: Sandbox) -> None:
    """The answer is the order as queued, in the fields Planet's own answer has."""
    request = order_of(orderable[:2], unique("create"))
    order = await clients.orders.create_order(request)
    assert uuid.UUID(order["id"])
    assert order["state"] == "queued"
    assert order["name"] == request["name"]
    assert order["products"] == request["products"]
    assert order["error_hints"] == []
    assert order["last_message"]
    assert order["_links"] == {"_self": f"{server.url}/compute/ops/orders/v2/{order['id']}"}
    assert timestamp(order["created_on"]) == timestamp(order["last_modified"])
    assert server.requests[-1].status == 202
    assert [found["id"] for found in server.orders.values() if found["name"] == request["name"]] == [
        order["id"]
    ]


async def test_get_order_through_its_states(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    """Links to the results exist once the order is done, and every GET mints new ones."""
    sandbox, clients = still
    created = await clients.orders.create_order(order_of(orderable[:1], unique("states")))
    order = await clients.orders.get_order(created["id"])
    assert (order["state"], order["name"]) == ("queued", created["name"])
    assert not order["_links"].get("results")

    sandbox.clock.advance(QUEUED)
    order = await clients.orders.get_order(created["id"])
    assert order["state"] == "running"
    assert timestamp(order["last_modified"]) > timestamp(order["created_on"])

    sandbox.clock.advance(RUNNING)
    order = await clients.orders.get_order(created["id"])
    assert order["state"] == "success"
    results = order["_links"]["results"]
    assert f"{created['id']}/manifest.json" in [result["name"] for result in results]
    for result in results:
        assert result["name"].startswith(f"{created['id']}/")
        assert result["delivery"] == "success"
        assert result["location"].startswith(f"{sandbox.url}/compute/ops/download/?token=")
        remaining = timestamp(result["expires_at"]) - sandbox.clock.now()
        assert timedelta(hours=23) < remaining <= timedelta(hours=24)

    again = await clients.orders.get_order(created["id"])
    assert [result["name"] for result in again["_links"]["results"]] == [result["name"] for result in results]
    assert {result["location"] for result in again["_links"]["results"]}.isdisjoint(
        result["location"] for result in results
    )


async def test_get_order_refuses_a_bad_id_before_asking(clients: Clients, server: Sandbox) -> None:
    before = len(server.requests)
    with pytest.raises(exceptions.ClientError, match="not a valid UUID"):
        await clients.orders.get_order("nonsense")
    assert len(server.requests) == before


@pytest.mark.parametrize("field", ["created_on", "last_modified"])
async def test_list_orders_by_time(
    still: tuple[Sandbox, Clients], orderable: list[Feature], field: str
) -> None:
    """A point in time, closed and open intervals; the start belongs to an interval, the end doesn't."""
    sandbox, clients = still
    orders = []
    for number in range(4):
        orders.append(await clients.orders.create_order(order_of(orderable[:1], f"order-{number}")))
        sandbox.clock.advance(60)
    _, first, second, third = (order[field] for order in orders)
    assert names(await listed(clients, **{field: f"{first}/{third}"})) == ["order-2", "order-1"]
    assert names(await listed(clients, **{field: f"{second}/.."})) == ["order-3", "order-2"]
    assert names(await listed(clients, **{field: f"../{second}"})) == ["order-1", "order-0"]
    assert names(await listed(clients, **{field: second})) == ["order-2"]


async def test_list_orders_follows_pages(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    """Newest first, over three pages, in rows without links to the results."""
    sandbox, clients = still
    for number in range(12):
        await clients.orders.create_order(order_of(orderable[:1], f"order-{number:02}"))
    sandbox.clock.advance(QUEUED + RUNNING)
    orders = await listed(clients, limit=0)
    assert names(orders) == [f"order-{number:02}" for number in reversed(range(12))]
    assert all("results" not in order["_links"] for order in orders)
    pages = [request for request in sandbox.requests if request.method == "GET"]
    assert len(pages) == 3
    assert [request.query.get("source_type") for request in pages] == ["all"] * 3

    before = len(sandbox.requests)
    assert len(await listed(clients, limit=7)) == 7
    assert len(sandbox.requests) == before + 2


async def test_list_orders_by_name(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    _, clients = still
    for name in ("alpha", "alphabet", "beta [x] 50%"):
        await clients.orders.create_order(order_of(orderable[:1], name))
    assert names(await listed(clients, name="alpha")) == ["alpha"]
    assert names(await listed(clients, name="beta [x] 50%")) == ["beta [x] 50%"]
    assert names(await listed(clients, name__contains="lpha")) == ["alphabet", "alpha"]
    assert names(await listed(clients, name__contains="[x] 5")) == ["beta [x] 50%"]
    assert names(await listed(clients, name="nothing")) == []


async def test_list_orders_by_state(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    sandbox, clients = still
    await clients.orders.create_order(order_of(orderable[:1], "done"))
    sandbox.outcomes.add(name_contains="broken", state="failed")
    await clients.orders.create_order(order_of(orderable[:1], "broken"))
    sandbox.clock.advance(RUNNING + QUEUED)
    await clients.orders.create_order(order_of(orderable[:1], "running"))
    sandbox.clock.advance(QUEUED)
    given_up = await clients.orders.create_order(order_of(orderable[:1], "given up"))
    await clients.orders.cancel_order(given_up["id"])
    await clients.orders.create_order(order_of(orderable[:1], "waiting"))

    found = {state: names(await listed(clients, state=state)) for state in ORDER_STATE_SEQUENCE}
    assert found == {
        "queued": ["waiting"],
        "running": ["running"],
        "failed": ["broken"],
        "success": ["done"],
        "partial": [],
        "cancelled": ["given up"],
    }
    with pytest.raises(exceptions.ClientError, match="not a valid state"):
        await listed(clients, state="asleep")


async def test_list_orders_by_hosting_destination_and_source(
    still: tuple[Sandbox, Clients], orderable: list[Feature]
) -> None:
    _, clients = still
    ref = "pl:destinations/my-bucket-abc123"
    await clients.orders.create_order(order_of(orderable[:1], "plain"))
    await clients.orders.create_order(order_of(orderable[:1], "hosted", hosting="sentinel_hub"))
    delivery = order_request.delivery(cloud_config=order_request.destination(ref))
    await clients.orders.create_order(order_of(orderable[:1], "delivered", delivery=delivery))

    assert names(await listed(clients, hosting=True)) == ["hosted"]
    assert names(await listed(clients, hosting=False)) == ["delivered", "plain"]
    assert names(await listed(clients, destination_ref=ref)) == ["delivered"]
    assert names(await listed(clients, destination_ref="pl:destinations/other")) == []
    assert names(await listed(clients, source_type="scenes")) == ["delivered", "hosted", "plain"]
    assert names(await listed(clients, source_type="basemaps")) == []


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        ("name", ["a", "b", "c"]),
        ("name DESC", ["c", "b", "a"]),
        ("created_on", ["b", "c", "a"]),
        ("created_on DESC", ["a", "c", "b"]),
        ("last_modified ASC", ["c", "a", "b"]),
        ("state,name", ["b", "a", "c"]),
        ("state DESC,name DESC", ["c", "a", "b"]),
    ],
)
async def test_list_orders_sorted(
    still: tuple[Sandbox, Clients], orderable: list[Feature], sort_by: str, expected: list[str]
) -> None:
    """States sort by name: "cancelled" comes before "queued"."""
    sandbox, clients = still
    created = {}
    for name in ("b", "c", "a"):
        created[name] = await clients.orders.create_order(order_of(orderable[:1], name))
        sandbox.clock.advance(1)
    await clients.orders.cancel_order(created["b"]["id"])
    assert names(await listed(clients, sort_by=sort_by)) == expected


async def test_list_orders_by_user(orderable: list[Feature]) -> None:
    """An account sees its own orders; ``user_id=all`` shows the organisation's."""
    keys = ("PLAK-first-account-0001", "PLAK-second-account-0002")
    with run(api_keys=keys, rate_limits=False, items=SMALL, queued_seconds=QUEUED) as sandbox:
        first, second = (open_clients(sandbox, key) for key in keys)
        async with first.session, second.session:
            item = await anyof(first)
            await first.orders.create_order(order_of([item], "first"))
            await second.orders.create_order(order_of([item], "second"))
            assert names(await listed(first)) == ["first"]
            assert names(await listed(second)) == ["second"]
            assert names(await listed(first, user_id="all")) == ["second", "first"]


async def anyof(clients: Clients) -> Feature:
    [item] = [item async for item in clients.data.search(["PSScene"], downloadable(), limit=1)]
    return item


async def test_cancel_order(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    """A queued order is cancelled; a running one is not, and says so with 409."""
    sandbox, clients = still
    order = await clients.orders.create_order(order_of(orderable[:1], "queued"))
    await clients.orders.cancel_order(order["id"])
    assert (await clients.orders.get_order(order["id"]))["state"] == "cancelled"
    with pytest.raises(exceptions.Conflict, match="Order not in a cancellable state"):
        await clients.orders.cancel_order(order["id"])

    running = await clients.orders.create_order(order_of(orderable[:1], "running"))
    sandbox.clock.advance(QUEUED)
    with pytest.raises(exceptions.Conflict, match="Order not in a cancellable state"):
        await clients.orders.cancel_order(running["id"])
    assert (await clients.orders.get_order(running["id"]))["state"] == "running"


async def test_cancel_orders_by_id(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    sandbox, clients = still
    running = await clients.orders.create_order(order_of(orderable[:1], "running"))
    sandbox.clock.advance(QUEUED)
    queued = [
        await clients.orders.create_order(order_of(orderable[:1], f"queued-{number}")) for number in range(3)
    ]
    answer = await clients.orders.cancel_orders([queued[0]["id"], queued[1]["id"], running["id"]])
    assert answer["result"]["succeeded"]["count"] == 2
    assert answer["result"]["failed"]["count"] == 1
    assert answer["result"]["failed"]["failures"] == [
        {"message": "Order not in a cancellable state", "order_id": running["id"]}
    ]
    states = {order["name"]: order["state"] for order in await listed(clients)}
    assert states == {
        "running": "running", "queued-0": "cancelled", "queued-1": "cancelled", "queued-2": "queued"
    }  # fmt: skip


async def test_cancel_orders_without_ids_cancels_all_queued(
    still: tuple[Sandbox, Clients], orderable: list[Feature]
) -> None:
    """The SDK sends ``{}`` for no ids, and an empty list is no ids to it."""
    sandbox, clients = still
    await clients.orders.create_order(order_of(orderable[:1], "running"))
    sandbox.clock.advance(QUEUED)
    for number in range(3):
        await clients.orders.create_order(order_of(orderable[:1], f"queued-{number}"))
    answer = await clients.orders.cancel_orders([])
    assert answer == {"result": {"failed": {"count": 0, "failures": []}, "succeeded": {"count": 3}}}
    assert names(await listed(clients, state="cancelled")) == ["queued-2", "queued-1", "queued-0"]
    assert names(await listed(clients, state="running")) == ["running"]
    assert (await clients.orders.cancel_orders())["result"]["succeeded"]["count"] == 0


async def test_cancel_orders_refuses_a_bad_id(clients: Clients) -> None:
    with pytest.raises(exceptions.ClientError, match="not a valid UUID"):
        await clients.orders.cancel_orders([str(uuid.uuid4()), "nonsense"])


async def test_aggregated_order_stats(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    sandbox, clients = still
    for number in range(2):
        await clients.orders.create_order(order_of(orderable[:1], f"running-{number}"))
    sandbox.clock.advance(QUEUED)
    await clients.orders.create_order(order_of(orderable[:1], "queued"))
    stats = await clients.orders.aggregated_order_stats()
    assert stats["user"] == {"queued_orders": 1, "running_orders": 2}
    assert stats["organization"] == {"queued_orders": 1, "running_orders": 2}


async def test_wait_calls_back_with_every_state(
    still: tuple[Sandbox, Clients], orderable: list[Feature]
) -> None:
    sandbox, clients = still
    order = await clients.orders.create_order(order_of(orderable[:1], "watched"))
    states: list[str] = []

    with StateBar(order_id=order["id"], disable=True) as bar:

        def watch(state: str) -> None:
            states.append(state)
            bar.update_state(state)
            sandbox.clock.advance({"queued": QUEUED, "running": RUNNING}.get(state, 0))

        assert await clients.orders.wait(order["id"], delay=0, callback=watch) == "success"
        assert bar.state == "success"
    assert states == ["queued", "running", "success"]


async def test_wait_for_an_earlier_state(still: tuple[Sandbox, Clients], orderable: list[Feature]) -> None:
    sandbox, clients = still
    order = await clients.orders.create_order(order_of(orderable[:1], "watched"))
    assert await clients.orders.wait(order["id"], state="queued", delay=0) == "queued"
    with pytest.raises(exceptions.ClientError, match="Maximum number of attempts"):
        await clients.orders.wait(order["id"], state="running", delay=0, max_attempts=2)
    sandbox.clock.advance(QUEUED)
    assert await clients.orders.wait(order["id"], state="running", delay=0) == "running"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_wait_returns_a_bad_end_as_it_is(
    server: Sandbox, clients: Clients, orderable: list[Feature], state: str
) -> None:
    """A known shortcoming of the SDK: an order that failed doesn't raise; its caller has to look."""
    name = unique(state)
    server.outcomes.add(name_contains=name, state=state, error_hints=("No data",), times=1)
    order = await clients.orders.create_order(order_of(orderable[:1], name))
    assert await until_final(clients, order["id"]) == state
    order = await clients.orders.get_order(order["id"])
    assert order["error_hints"] == (["No data"] if state == "failed" else order["error_hints"])


async def test_wait_for_a_partial_order(server: Sandbox, clients: Clients, orderable: list[Feature]) -> None:
    """Only an order that allows it ends as partial; what it lacks is named in the hints."""
    name = unique("partial")
    server.outcomes.add(name_contains=name, state="partial")
    lenient = await clients.orders.create_order(order_of(orderable[:2], name, order_type="partial"))
    strict = await clients.orders.create_order(order_of(orderable[:2], name))
    assert await until_final(clients, lenient["id"]) == "partial"
    assert await until_final(clients, strict["id"]) == "failed"
    order = await clients.orders.get_order(lenient["id"])
    delivered = " ".join(result["name"] for result in order["_links"]["results"])
    assert orderable[0]["id"] in delivered
    assert orderable[1]["id"] not in delivered
    assert order["error_hints"]


async def test_wait_chokes_on_an_unknown_state(
    server: Sandbox, clients: Clients, orderable: list[Feature]
) -> None:
    """A known shortcoming of the SDK: a bare ValueError for a state it doesn't know."""
    name = unique("odd")
    server.outcomes.add(name_contains=name, state="on_hold", times=1)
    order = await clients.orders.create_order(order_of(orderable[:1], name))
    with pytest.raises(ValueError, match="not in tuple"):
        await until_final(clients, order["id"])


async def test_orders_lag_in_lists(orderable: list[Feature]) -> None:
    """A list may be behind: the order exists, and isn't in it yet."""
    with run(rate_limits=False, list_lag_seconds=30, items=SMALL) as sandbox:
        opened = open_clients(sandbox)
        async with opened.session:
            order = await opened.orders.create_order(order_of([await anyof(opened)], "late"))
            assert await listed(opened, name="late") == []
            assert (await opened.orders.get_order(order["id"]))["name"] == "late"
            sandbox.clock.advance(30)
            assert names(await listed(opened, name="late")) == ["late"]
