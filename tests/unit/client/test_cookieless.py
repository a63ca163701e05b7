from __future__ import annotations

import httpx
import pytest

from client_support import Connect
from planet_provider.client.api import orders
from planet_provider.client.http.cookieless import CookielessAsyncClient, CookielessClient
from planet_provider.sandbox import Fault, Sandbox

pytestmark = pytest.mark.planet_sandbox(rate_limits=False)


def test_what_an_answer_sets_goes_with_no_request(planet_sandbox: Sandbox, connect: Connect) -> None:
    planet_sandbox.faults.add(Fault(kind="status", status=503, headers={"Set-Cookie": "who=you; Path=/"}))
    connect(planet_sandbox).send(orders.stats())
    failed, answered = planet_sandbox.requests
    assert (failed.status, answered.status) == (503, 200)
    assert "cookie" not in answered.headers


@pytest.mark.parametrize("kind", [CookielessClient, CookielessAsyncClient])
def test_none_can_be_given_either(kind: type[CookielessClient | CookielessAsyncClient]) -> None:
    client = kind(cookies={"who": "you"})
    client.cookies = httpx.Cookies({"who": "you"})
    assert not client.cookies
    assert "Cookie" not in client.build_request("GET", "http://127.0.0.1/").headers
