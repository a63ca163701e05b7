"""What a user is told when Planet refuses, answers nonsense or doesn't answer: both kinds of session."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from client_support import ANY, HASTY, NO_ORDER, Connect, config_of, limiter_of, order_request
from planet_provider.client.api import data, orders
from planet_provider.exceptions import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OrderConcurrencyError,
    OrderNotCancellableError,
    OverQuotaError,
    PermissionDeniedError,
    PlanetError,
    RateLimitError,
    RateLimitQueueError,
    ServerError,
    TransportError,
    UnexpectedResponseError,
)
from planet_provider.sandbox import Fault, Sandbox, limits
from ratelimit_support import Clock

pytestmark = pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64)

STATS = "/stats/orders/v2"


def words(error: PlanetError, *expected: str) -> None:
    for word in expected:
        assert word in str(error), f"{word!r} is not in {error}"


class TestRefusals:
    def test_wrong_key(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox, api_key="PLAK-not-this-one")
        with pytest.raises(AuthenticationError) as caught:
            client.send(orders.stats())
        error = caught.value
        assert (error.status, error.request, error.retryable) == (401, f"GET /compute/ops{STATS}", False)
        assert error.messages == ("Please enter your API key, or email and password.",)
        words(error, "-> 401", "Check the API key in the Airflow connection", "PL_API_KEY")
        assert "PLAK-not-this-one" not in repr(error)
        assert len(planet_sandbox.requests) == 1

    def test_forbidden(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=403, body='{"message": "No access to it"}'))
        with pytest.raises(PermissionDeniedError) as caught:
            connect(planet_sandbox).send(orders.stats())
        assert type(caught.value) is PermissionDeniedError
        words(caught.value, "No access to it", "ask your Planet administrator")
        assert len(planet_sandbox.requests) == 1

    def test_not_found(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        with pytest.raises(NotFoundError) as caught:
            connect(planet_sandbox).send(orders.get(NO_ORDER))
        words(caught.value, f"Could not load order ID: {NO_ORDER}", "Check the id", "account")
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (410, NotFoundError),
            (422, BadRequestError),
            (418, APIError),
            (302, APIError),
            (409, ConflictError),
        ],
    )
    def test_other_statuses(
        self, planet_sandbox: Sandbox, connect: Connect, status: int, kind: type[APIError]
    ) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=status, times=None))
        with pytest.raises(APIError) as caught:
            connect(planet_sandbox).send(orders.stats())
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert len(planet_sandbox.requests) == 1

    def test_field_messages_of_the_data_api(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        no_filter = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {}}
        with pytest.raises(BadRequestError) as caught:
            connect(planet_sandbox).pages(data.quick_search(["PSScene"], no_filter))
        assert caught.value.messages
        assert all(": " in message for message in caught.value.messages)
        words(caught.value, *caught.value.messages, "sending it again as it is won't help")

    def test_field_messages_of_the_orders_api(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        body = {
            "field": {"Products": [{"message": "no access to assets"}, {"message": "too many"}]},
            "general": [{"message": "Unable to accept order"}],
        }
        planet_sandbox.faults.add(Fault(kind="status", status=400, body=json.dumps(body)))
        with pytest.raises(BadRequestError) as caught:
            connect(planet_sandbox).send(orders.create({"name": "x", "products": []}))
        assert caught.value.messages == (
            "Products: no access to assets",
            "Products: too many",
            "Unable to accept order",
        )
        assert not caught.value.retryable

    def test_an_item_that_is_not_there(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        product = {"item_ids": ["not_there"], "item_type": "PSScene", "product_bundle": "analytic_udm2"}
        with pytest.raises(BadRequestError) as caught:
            connect(planet_sandbox).send(orders.create({"name": "x", "products": [product]}))
        words(caught.value, "not_there", "Unable to accept order")

    def test_too_late_to_cancel(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        order = client.send(orders.create(order_request(client)))
        planet_sandbox.clock.advance(3600)
        with pytest.raises(OrderNotCancellableError) as caught:
            client.send(orders.cancel(order["id"]))
        words(caught.value, "not in a cancellable state", "Only queued orders")
        assert not caught.value.retryable

    @pytest.mark.planet_sandbox(max_queued_orders=1)
    def test_too_many_orders(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        request = order_request(client)
        client.send(orders.create(request))
        with pytest.raises(OrderConcurrencyError) as caught:
            client.send(orders.create(request))
        words(caught.value, "concurrency limit", "wait until some have ended")
        assert caught.value.retryable

    @pytest.mark.guide("errors-tree")
    @pytest.mark.parametrize("status", [403, 429])
    def test_over_quota(self, planet_sandbox: Sandbox, connect: Connect, status: int) -> None:
        planet_sandbox.reset(rate_limits=False, quota_km2=1.0, over_quota_status=status)
        limiter = limiter_of(config_of(planet_sandbox))
        client = connect(planet_sandbox, limiter=limiter)
        request = order_request(client)
        before = len(planet_sandbox.requests)
        with pytest.raises(OverQuotaError) as caught:
            client.send(orders.create(request))
        assert (caught.value.status, isinstance(caught.value, PermissionDeniedError)) == (status, True)
        words(caught.value, "quota", "account manager")
        assert len(planet_sandbox.requests) == before + 1
        # It is no rate limit: other requests of the class aren't held back.
        assert next(limiter.waits("orders.create"), 0.0) < 0.1

    def test_gateway_text_is_shown_and_cut(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        body = "<h1>Bad gateway</h1> https://s/x?token=abc123 " + "y" * 1000
        planet_sandbox.faults.add(Fault(kind="status", status=502, body=body, times=None))
        with pytest.raises(ServerError) as caught:
            connect(planet_sandbox, max_attempts=1).send(orders.stats())
        words(caught.value, "<h1>Bad gateway</h1>", "token=***")
        assert len(caught.value.messages[0]) <= 301


class TestRateLimit:
    @pytest.mark.planet_sandbox(rate_limits=True)
    @pytest.mark.parametrize("form", ["seconds", "date", "none"])
    def test_refused_by_the_sandbox(
        self, planet_sandbox: Sandbox, connect: Connect, form: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=Clock()))  # it stands still
        planet_sandbox.reset(rate_limits=True, retry_after=form, rates={"orders.stats": 0.01})
        client = connect(planet_sandbox, max_attempts=1)
        with ThreadPoolExecutor(1) as one, pytest.raises(RateLimitError) as caught:
            list(one.map(client.send, [orders.stats()] * 2))
        words(caught.value, "Rate limit exceeded", "Run fewer tasks at once", "rate_limits")
        # A date has no fractions; what is left until then is less where the machine is busy.
        expected = {"seconds": 100.0, "date": pytest.approx(92, abs=10), "none": None}
        assert caught.value.retry_after == expected[form]

    def test_waits_as_long_as_asked(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=429, headers={"Retry-After": "1"}))
        connect(planet_sandbox).send(orders.stats())
        first, second = planet_sandbox.requests
        assert second.at - first.at >= 0.99

    def test_a_date_within_the_budget_is_waited_for(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        at = datetime.now(timezone.utc) + timedelta(seconds=1)
        planet_sandbox.faults.add(
            Fault(kind="status", status=429, headers={"Retry-After": format_datetime(at, usegmt=True)})
        )
        connect(planet_sandbox).send(orders.stats())
        arrived = datetime.now(timezone.utc)
        assert arrived >= at.replace(microsecond=0) - timedelta(milliseconds=10)
        assert len(planet_sandbox.requests) == 2

    def test_beyond_the_budget_it_raises_at_once(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", status=429, headers={"Retry-After": "3600"}, times=None)
        )
        client = connect(planet_sandbox, max_retry_seconds=60.0)
        started = time.monotonic()
        with pytest.raises(RateLimitError) as caught:
            client.send(orders.stats())
        assert caught.value.retry_after == 3600
        # Planet said when: until then the next one isn't even sent.
        with pytest.raises(RateLimitQueueError) as queued:
            client.send(orders.stats())
        assert time.monotonic() - started < 30.0
        assert queued.value.rate_class == "orders.stats"
        assert queued.value.wait_seconds == pytest.approx(3600, abs=30)
        words(queued.value, "orders.stats", "max_queue_seconds", "Run fewer tasks at once")
        assert len(planet_sandbox.requests) == 1

    def test_holds_everybody_of_the_class_back(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        limiter = limiter_of(config_of(planet_sandbox))
        one = connect(planet_sandbox, limiter=limiter, max_attempts=1)
        other = connect(planet_sandbox, limiter=limiter)
        planet_sandbox.faults.add(Fault(kind="status", status=429, path=STATS))
        with pytest.raises(RateLimitError):
            one.send(orders.stats())
        assert next(limiter.waits("orders.list"), 0.0) < 0.1
        other.send(orders.stats())
        refused, held = (request.at for request in planet_sandbox.requests)
        # Without Retry-After: a second.
        assert held - refused >= 0.99


class TestServerErrors:
    @pytest.mark.guide("session-limits-retries")
    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_transient_ones_are_retried(self, planet_sandbox: Sandbox, connect: Connect, status: int) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=status, times=2))
        assert "organization" in connect(planet_sandbox).send(orders.stats())
        assert [request.status for request in planet_sandbox.requests] == [status, status, 200]

    @pytest.mark.parametrize("status", [501, 505])
    def test_lasting_ones_are_not(self, planet_sandbox: Sandbox, connect: Connect, status: int) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=status, times=None))
        with pytest.raises(ServerError):
            connect(planet_sandbox).send(orders.stats())
        assert len(planet_sandbox.requests) == 1

    def test_outlasting_the_attempts(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=503, times=None))
        with pytest.raises(ServerError) as caught:
            connect(planet_sandbox, max_attempts=3).send(orders.stats())
        assert len(planet_sandbox.requests) == 3
        words(caught.value, "-> 503", "Service Unavailable", "try again later")
        assert caught.value.retryable

    def test_outlasting_the_seconds(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(
            Fault(kind="status", status=503, headers={"Retry-After": "0.2"}, times=None)
        )
        started = time.monotonic()
        with pytest.raises(ServerError):
            connect(planet_sandbox, max_attempts=1000, max_retry_seconds=0.5).send(orders.stats())
        assert time.monotonic() - started < 30.0
        assert len(planet_sandbox.requests) <= 3


class TestNoAnswer:
    @pytest.mark.parametrize("kind", ["drop", "drop_after"])
    def test_a_cut_connection_is_retried(self, planet_sandbox: Sandbox, connect: Connect, kind: Any) -> None:
        planet_sandbox.faults.add(Fault(kind=kind))
        assert "user" in connect(planet_sandbox).send(orders.stats())
        assert len(planet_sandbox.requests) == 2

    @pytest.mark.parametrize("kind", ["drop", "drop_after"])
    def test_cut_every_time(self, planet_sandbox: Sandbox, connect: Connect, kind: Any) -> None:
        planet_sandbox.faults.add(Fault(kind=kind, times=None))
        with pytest.raises(TransportError) as caught:
            connect(planet_sandbox, max_attempts=2).send(orders.stats())
        assert caught.value.sent
        words(caught.value, "GET /compute/ops/stats/orders/v2", planet_sandbox.url, "RemoteProtocolError")
        words(caught.value, "Try again later")
        assert len(planet_sandbox.requests) == 2

    def test_too_late(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(Fault(kind="delay", seconds=600.0))
        client = connect(planet_sandbox, **HASTY)
        assert "user" in client.send(orders.stats())
        planet_sandbox.faults.add(Fault(kind="delay", seconds=600.0))
        with pytest.raises(TransportError) as caught:
            connect(planet_sandbox, timeout=5.0, max_attempts=1).send(orders.stats())
        assert caught.value.sent
        words(caught.value, "ReadTimeout", "raise the connection's timeout")

    def test_refused(self, connect: Connect, planet_sandbox: Sandbox) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            with pytest.raises(TransportError) as caught:
                connect(planet_sandbox, base_url=url, max_attempts=2).send(orders.stats())
        assert not caught.value.sent
        words(caught.value, "ConnectError", f"Check that {url} can be reached", "the connection's host")


class TestNonsense:
    @pytest.mark.parametrize(
        "body",
        ["<html>welcome</html>", '{"organization": ', "[]", "null", '"text"', "\ufeffno", "7"],
    )
    def test_not_what_was_asked_for(self, planet_sandbox: Sandbox, connect: Connect, body: str) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body, times=None))
        with pytest.raises(UnexpectedResponseError) as caught:
            connect(planet_sandbox).send(orders.stats())
        words(caught.value, "-> 200", "cannot be understood", "Check that the connection's host")
        assert len(planet_sandbox.requests) == 1

    @pytest.mark.parametrize(
        "body",
        ['{"state": "queued"}', '{"id": 7, "state": "queued"}', '{"id": "a", "state": null}', "", "{}"],
    )
    def test_an_order_without_id_or_state(self, planet_sandbox: Sandbox, connect: Connect, body: str) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
        with pytest.raises(UnexpectedResponseError):
            connect(planet_sandbox).send(orders.get(NO_ORDER))

    @pytest.mark.parametrize(
        "body",
        [
            '{"features": null}',
            '{"features": [7]}',
            '{"features": [{"id": "a"}]}',
            '{"features": [{"id": "a", "properties": {}}]}',
            '{"features": [{"id": 1, "properties": {"item_type": "PSScene"}}]}',
        ],
    )
    def test_items_without_identity(self, planet_sandbox: Sandbox, connect: Connect, body: str) -> None:
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
        with pytest.raises(UnexpectedResponseError):
            connect(planet_sandbox).pages(data.quick_search(["PSScene"], ANY))

    def test_a_cut_body_is_no_answer(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        planet_sandbox.faults.add(Fault(kind="truncate", after_bytes=10))
        client = connect(planet_sandbox)
        assert "user" in client.send(orders.stats())
        assert len(planet_sandbox.requests) == 2
        planet_sandbox.faults.add(Fault(kind="truncate", after_bytes=10, times=None))
        with pytest.raises(TransportError) as caught:
            connect(planet_sandbox, max_attempts=2).send(orders.stats())
        assert caught.value.sent

    def test_what_parsers_say_holds_no_secret(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        body = '{"features": [], "_links": {"_next": {"token": "t0ps3cret"}}}'
        planet_sandbox.faults.add(Fault(kind="status", status=200, body=body))
        with pytest.raises(UnexpectedResponseError) as caught:
            connect(planet_sandbox).pages(data.quick_search(["PSScene"], ANY))
        assert "t0ps3cret" not in str(caught.value)


class TestOrdersAreNotRepeated:
    @pytest.mark.parametrize(
        ("fault", "expected", "accepted"),
        [
            (Fault(kind="drop_after", method="POST", path="orders/v2$", times=None), TransportError, 1),
            (Fault(kind="drop", method="POST", path="orders/v2$", times=None), TransportError, 0),
            (Fault(kind="status", status=503, method="POST", path="orders/v2$"), ServerError, 0),
            (Fault(kind="truncate", method="POST", path="orders/v2$", times=None), TransportError, 1),
        ],
        ids=["cut after", "cut before", "503", "cut body"],
    )
    def test_after_an_unclear_answer(
        self,
        planet_sandbox: Sandbox,
        connect: Connect,
        fault: Fault,
        expected: type[PlanetError],
        accepted: int,
    ) -> None:
        client = connect(planet_sandbox)
        request = order_request(client)
        planet_sandbox.faults.add(fault)
        with pytest.raises(expected):
            client.send(orders.create(request))
        assert len(planet_sandbox.orders) == accepted
        assert sum(one.method == "POST" and one.path.endswith("v2") for one in planet_sandbox.requests) == 1

    def test_too_late(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        request = order_request(connect(planet_sandbox))
        planet_sandbox.faults.add(Fault(kind="delay", seconds=600.0, path="orders/v2$"))
        with pytest.raises(TransportError) as caught:
            # Longer than a busy machine keeps the sandbox from accepting it.
            connect(planet_sandbox, timeout=5.0).send(orders.create(request))
        assert caught.value.sent
        assert len(planet_sandbox.orders) == 1

    def test_but_after_429(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(planet_sandbox)
        request = order_request(client)
        planet_sandbox.faults.add(
            Fault(kind="status", status=429, path="orders/v2$", headers={"Retry-After": "0"})
        )
        order = client.send(orders.create(request))
        assert list(planet_sandbox.orders) == [order["id"]]

    def test_and_when_nobody_listens_yet(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        request = order_request(connect(planet_sandbox))
        with socket.socket() as late:
            late.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{late.getsockname()[1]}"
            opening = threading.Timer(0.2, late.listen)
            answering = threading.Thread(target=answer_once, args=(late, opening))
            opening.start()
            answering.start()
            client = connect(planet_sandbox, base_url=url, max_attempts=100)
            order = client.send(orders.create(request))
            answering.join()
        assert order == {"id": NO_ORDER, "state": "queued"}


def answer_once(server: socket.socket, opening: threading.Timer) -> None:
    """Accept one order, once the port is open."""
    opening.join()
    connection, _ = server.accept()
    with connection:
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
        while len(body) < length:
            body += connection.recv(65536)
        answer = json.dumps({"id": NO_ORDER, "state": "queued"}).encode()
        connection.sendall(
            b"HTTP/1.1 202 Accepted\r\nConnection: close\r\n"
            + f"Content-Length: {len(answer)}\r\n\r\n".encode()
            + answer
        )
