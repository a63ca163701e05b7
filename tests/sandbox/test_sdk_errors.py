"""Every exception of the SDK, provoked over real sockets."""

from __future__ import annotations

import asyncio
import json
import uuid

import httpx
import planet
import pytest
from planet import data_filter, exceptions
from sdk import ITEM_TYPE, SMALL, Clients, Feature, fill_bundle_cache, open_clients, order_of, unique

from planet_provider.sandbox import Fault, Sandbox, run

pytest_plugins = ("sdk",)

NOBODY = str(uuid.uuid4())


@pytest.fixture
def impatient(clients: Clients) -> Clients:
    """Clients that give up at the first failure, where the SDK would retry for a minute."""
    clients.session.max_retries = 0
    return clients


@pytest.mark.parametrize(
    "search_filter",
    [
        {"type": "SoundFilter", "config": []},
        {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lt": "cloudy"}},
        {"type": "RangeFilter", "config": {"lt": 0.5}},
        {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gt": "yesterday"}},
        {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gt": "2024-01-01T00:00:00"}},
        {"type": "UpdateFilter", "field_name": "ground_control", "config": {"lt": "2024-01-01T00:00:00Z"}},
        {
            "type": "GeometryFilter",
            "field_name": "geometry",
            "config": {"type": "Circle", "coordinates": [0, 0]},
        },
        {"type": "AndFilter", "config": {}},
        {"type": "NotFilter", "config": []},
    ],
)
async def test_bad_query_for_a_malformed_filter(clients: Clients, search_filter: dict[str, object]) -> None:
    with pytest.raises(exceptions.BadQuery):
        [item async for item in clients.data.search([ITEM_TYPE], search_filter)]
    with pytest.raises(exceptions.BadQuery):
        await clients.data.create_search([ITEM_TYPE], search_filter, unique("bad"))
    with pytest.raises(exceptions.BadQuery):
        await clients.data.get_stats([ITEM_TYPE], search_filter, "day")


async def test_bad_query_for_a_malformed_order(clients: Clients, orderable: list[Feature]) -> None:
    whole = order_of(orderable[:1], unique("bad"))
    for missing in ("name", "products"):
        with pytest.raises(exceptions.BadQuery):
            await clients.orders.create_order({key: whole[key] for key in whole if key != missing})
    with pytest.raises(exceptions.BadQuery):
        await clients.orders.create_order({**whole, "products": []})
    with pytest.raises(exceptions.BadQuery):
        await clients.orders.create_order({**whole, "order_type": "half"})


async def test_bad_query_for_a_malformed_list(clients: Clients) -> None:
    for filters in ({"created_on": "yesterday"}, {"sort_by": "colour"}, {"last_modified": "../.."}):
        with pytest.raises(exceptions.BadQuery):
            [order async for order in clients.orders.list_orders(**filters)]


async def test_invalid_api_key(server: Sandbox) -> None:
    strangers = open_clients(server, "PLAK-not-a-key-at-all-0000")
    async with strangers.session:
        with pytest.raises(exceptions.InvalidAPIKey):
            await strangers.orders.get_order(NOBODY)
        with pytest.raises(exceptions.InvalidAPIKey):
            [item async for item in strangers.data.search([ITEM_TYPE])]


async def test_no_permission_over_quota(orderable: list[Feature]) -> None:
    """The area of the items counts, when the order is placed."""
    with run(rate_limits=False, quota_km2=0.001) as sandbox:
        clients = open_clients(sandbox)
        async with clients.session:
            with pytest.raises(exceptions.NoPermission, match="quota"):
                await clients.orders.create_order(order_of(orderable[:1], "dear"))
            assert not sandbox.orders


async def test_over_quota_in_the_older_form_looks_like_a_rate_limit(orderable: list[Feature]) -> None:
    """A known shortcoming of the SDK: ``OverQuota`` is never raised, and a 429 is retried in vain."""
    with run(rate_limits=False, quota_km2=0.001, over_quota_status=429) as sandbox:
        clients = open_clients(sandbox)
        clients.session.max_retries = 0
        async with clients.session:
            with pytest.raises(exceptions.TooManyRequests, match="Download quota has been exceeded"):
                await clients.orders.create_order(order_of(orderable[:1], "dear"))


async def test_missing_resource(clients: Clients) -> None:
    with pytest.raises(exceptions.MissingResource):
        await clients.orders.get_order(NOBODY)
    with pytest.raises(exceptions.MissingResource):
        await clients.orders.cancel_order(NOBODY)
    with pytest.raises(exceptions.MissingResource):
        await clients.data.get_search(NOBODY)
    with pytest.raises(exceptions.MissingResource):
        await clients.data.list_item_assets(ITEM_TYPE, "20010101_000000_00_0000")


async def test_conflict_at_the_concurrency_limit(orderable: list[Feature]) -> None:
    with run(rate_limits=False, max_queued_orders=1, queued_seconds=1000) as sandbox:
        clients = open_clients(sandbox)
        async with clients.session:
            await clients.orders.create_order(order_of(orderable[:1], "first"))
            with pytest.raises(exceptions.Conflict, match="Order concurrency limit reached"):
                await clients.orders.create_order(order_of(orderable[:1], "second"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, exceptions.BadQuery),
        (401, exceptions.InvalidAPIKey),
        (403, exceptions.NoPermission),
        (404, exceptions.MissingResource),
        (409, exceptions.Conflict),
        (429, exceptions.TooManyRequests),
        (500, exceptions.ServerError),
        (502, exceptions.BadGateway),
        (503, exceptions.APIError),
        (504, exceptions.APIError),
    ],
)
async def test_every_status_has_its_exception(
    impatient: Clients, server: Sandbox, status: int, expected: type[Exception]
) -> None:
    server.faults.add(
        Fault(kind="status", path="/stats/orders/v2", status=status, body='{"message": "fault"}')
    )
    with pytest.raises(exceptions.APIError, match="fault") as caught:
        await impatient.orders.aggregated_order_stats()
    assert type(caught.value) is expected
    await impatient.orders.aggregated_order_stats()


async def test_too_many_requests_beyond_three_orders_a_second(sdk_sandbox: Sandbox) -> None:
    """A session starts ten requests a second, three times what Orders allows; the rest are told 429."""
    with run(rate_limits=True, items=SMALL) as sandbox:
        clients = open_clients(sandbox)
        clients.session.max_retries = 0
        async with clients.session:
            answers = await asyncio.gather(
                *(clients.orders.get_order(NOBODY) for _ in range(8)), return_exceptions=True
            )
        refused = [answer for answer in answers if isinstance(answer, exceptions.TooManyRequests)]
        missing = [answer for answer in answers if isinstance(answer, exceptions.MissingResource)]
        assert len(refused) + len(missing) == 8
        assert 3 <= len(missing) <= 6, "3/s over 0.7 s, with a burst of one second"
        assert [request.status for request in sandbox.requests].count(429) == len(refused)


async def test_too_many_requests_is_retried(sdk_sandbox: Sandbox) -> None:
    """Sent once more after its own pause, the request passes: ``Retry-After`` is not looked at."""
    with run(rate_limits=True, items=SMALL) as sandbox:
        clients = open_clients(sandbox)
        async with clients.session:
            await asyncio.gather(*(clients.orders.aggregated_order_stats() for _ in range(12)))
        assert clients.session.outcomes[exceptions.TooManyRequests] > 0
        assert clients.session.outcomes["Successful"] == 12


async def test_dropped_connection(impatient: Clients, server: Sandbox) -> None:
    server.faults.add(Fault(kind="drop", path="/stats/orders/v2"))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        await impatient.orders.aggregated_order_stats()


async def test_dropped_answer_to_an_order_places_it_twice(
    clients: Clients, orderable: list[Feature], server: Sandbox
) -> None:
    """A known shortcoming of the SDK: it sends an order again that the server already took."""
    server.faults.add(Fault(kind="drop_after", method="POST", path="/orders/v2$"))
    name = unique("twice")
    order = await clients.orders.create_order(order_of(orderable[:1], name))
    placed = [found["id"] for found in server.orders.values() if found["name"] == name]
    assert len(placed) == 2
    assert order["id"] in placed


async def test_read_timeout(server: Sandbox) -> None:
    server.faults.add(Fault(kind="delay", path="/stats/orders/v2", seconds=1.0))
    session = planet.Session(auth=planet.Auth.from_key(server.api_key), read_timeout_secs=0.2)
    session.max_retries = 0
    async with session:
        client = planet.OrdersClient(session, base_url=f"{server.url}/compute/ops")
        with pytest.raises(httpx.ReadTimeout):
            await client.aggregated_order_stats()


async def test_paging_error_for_a_cycle(clients: Clients, server: Sandbox) -> None:
    url = f"{server.url}/data/v1/searches/{uuid.uuid4().hex}/results"
    page = json.dumps({"_links": {"_next": url}, "features": [{"id": "again"}], "type": "FeatureCollection"})
    server.faults.add(Fault(kind="status", path="/results", status=200, body=page, times=3))
    with pytest.raises(exceptions.PagingError, match="Page cycle"):
        [item async for item in clients.data.run_search(url.split("/")[-2], limit=0)]


async def test_paging_stops_at_an_empty_page(orderable: list[Feature]) -> None:
    """A known shortcoming of the SDK: an empty page ends its search though more pages follow."""
    with run(rate_limits=False, search_page_size=20, empty_page_every=2, items=SMALL) as sandbox:
        clients = open_clients(sandbox)
        async with clients.session:
            found = [item async for item in clients.data.search([ITEM_TYPE], limit=0)]
            stats = await clients.data.get_stats([ITEM_TYPE], data_filter.empty_filter(), "year")
    total = sum(bucket["count"] for bucket in stats["buckets"])
    assert len(found) == 20 < total


async def test_client_errors_of_geometry(clients: Clients) -> None:
    with pytest.raises(exceptions.GeoJSONError):
        [item async for item in clients.data.search([ITEM_TYPE], geometry={"type": "Polygon"})]
    with pytest.raises(exceptions.FeatureError):
        [item async for item in clients.data.search([ITEM_TYPE], geometry="my/fields/1")]


async def test_bundle_cache_is_the_sandbox_s(server: Sandbox) -> None:
    """The one thing set by hand: the SDK would fetch this list from Planet's own address."""
    from planet import specs

    fill_bundle_cache(server.url)
    spec = httpx.get(f"{server.url}/compute/ops/bundles/spec").json()
    assert set(specs.get_bundle_names()) == set(spec["bundles"])
    assert ITEM_TYPE in specs.get_item_types("analytic_udm2")
    assert specs.get_supported_assets(ITEM_TYPE)
