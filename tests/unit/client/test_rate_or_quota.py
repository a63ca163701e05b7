"""Over quota is told apart from a rate limit, by what the answer says."""

from __future__ import annotations

import httpx
import pytest

from client_support import session_of
from planet_provider.client.api import orders
from planet_provider.client.http.responses import api_error, transport_error
from planet_provider.exceptions import APIError, OverQuotaError, RateLimitError
from planet_provider.sandbox import Fault, Sandbox

RATE_LIMITS = [
    '{"message": "Request quota of 5 per second exceeded, slow down"}',
    '{"message": "Quota exceeded for quota metric Requests per minute"}',
    '{"message": "Rate limit quota violation"}',
    '{"general": [{"message": "You are over your quota of 300 per hour"}]}',
    "<html>quota</html>",
    '{"message": "Too many of them"}',
]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        *((429, body, RateLimitError) for body in RATE_LIMITS),
        (429, '{"message": "Download quota has been exceeded."}', OverQuotaError),
        (429, '{"message": "exceeded QUOTA dude"}', OverQuotaError),
        (429, '{"message": "You are over quota; a separate one can be generated"}', OverQuotaError),
        (403, '{"message": "Download quota has been exceeded."}', OverQuotaError),
        (403, '{"message": "The request exceeds your quota of 5 per hour"}', OverQuotaError),
        (403, "over quota", OverQuotaError),
    ],
)
def test_by_status_and_message(status: int, body: str, kind: type[APIError]) -> None:
    assert type(api_error(httpx.Response(status, text=body), "GET /orders")) is kind


@pytest.mark.planet_sandbox(rate_limits=False)
@pytest.mark.parametrize("body", RATE_LIMITS)
def test_a_rate_limit_that_calls_itself_a_quota_is_waited_out(planet_sandbox: Sandbox, body: str) -> None:
    headers = {"Retry-After": "0"}
    planet_sandbox.faults.add(Fault(kind="status", status=429, body=body, headers=headers))
    with session_of(planet_sandbox) as session:
        assert "user" in session.send(orders.stats())
    assert [request.faults for request in planet_sandbox.requests] == [("status",), ()]


@pytest.mark.planet_sandbox(rate_limits=False)
def test_a_header_that_cannot_be_sent_is_not_shown(planet_sandbox: Sandbox) -> None:
    with httpx.Client() as client, pytest.raises(httpx.LocalProtocolError, match="ret0123") as caught:
        client.get(planet_sandbox.url, headers={"Authorization": "api-key PLAKsec\nret0123456789"})
    error = transport_error(caught.value, "GET /orders")
    assert "LocalProtocolError" in str(error)
    assert "ret0123" not in str(error)
