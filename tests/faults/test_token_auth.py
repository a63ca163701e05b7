"""OAuth clients and logins against the sandbox: one token for a process, renewed in time, never shown."""

from __future__ import annotations

import asyncio
import base64
import logging
import pickle
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest

from client_support import HASTY, Connect, config_of, item_ids, limiter_of, order_request
from gate import gate_to
from planet_provider.client.api import orders
from planet_provider.client.auth import token_cache, token_requests
from planet_provider.client.auth.credentials import Login, OAuthClient
from planet_provider.client.auth.flows import api_key_of, who_is
from planet_provider.client.auth.token_cache import forget_tokens
from planet_provider.client.config import PlanetConfig
from planet_provider.client.http.session import AsyncPlanetSession, PlanetSession
from planet_provider.exceptions import (
    AuthenticationError,
    ConfigurationError,
    CredentialsError,
    PlanetError,
    TokenUnavailableError,
    TransportError,
)
from planet_provider.sandbox import Fault, Sandbox
from planet_provider.sandbox.auth import TOKEN_PATH

pytestmark = pytest.mark.planet_sandbox(
    rate_limits=False, scene_pixels=64, queued_seconds=0, running_seconds=0
)

LOGIN = "/v0/auth/login"
STATS = "/compute/ops/stats/orders/v2"
MANY = 100
#: Seconds that a token lives: far more than any test takes.
LIFE = 3600.0


@pytest.fixture(autouse=True)
def no_tokens() -> Iterator[None]:
    forget_tokens()
    yield
    forget_tokens()


def oauth(sandbox: Sandbox, secret: str | None = None, **settings: Any) -> PlanetConfig:
    client = OAuthClient(
        client_id=sandbox.config.oauth_client_id,
        client_secret=sandbox.config.oauth_client_secret if secret is None else secret,
        token_url=f"{sandbox.url}{TOKEN_PATH}",
    )
    return config_of(sandbox, **{"api_key": "", "oauth": client, "max_connections": MANY, **settings})


def login(sandbox: Sandbox, password: str | None = None, **settings: Any) -> PlanetConfig:
    account = Login(
        email=sandbox.config.email,
        password=sandbox.config.password if password is None else password,
    )
    return config_of(sandbox, **{"api_key": "", "login": account, "max_connections": MANY, **settings})


#: What of a connection says where the endpoint is.
PLACES = {"oauth": "the extra token_url", "login": "the host"}

FORMS = {"oauth": (oauth, TOKEN_PATH, "Bearer "), "login": (login, LOGIN, "api-key ")}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def asked(sandbox: Sandbox, path: str) -> list[Any]:
    return [request for request in sandbox.requests if request.path == path]


def refuse_the_token(sandbox: Sandbox, path: str = STATS, times: int | None = 1) -> None:
    sandbox.faults.add(Fault(kind="status", status=401, path=path, times=times))


class TokenClock:
    """The clock that tokens are timed by, here and in the sandbox: it stands until it is moved."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.now = 5000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self._sandbox.clock.advance(seconds)


@pytest.fixture
def clock(planet_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> TokenClock:
    clock = TokenClock(planet_sandbox)
    for module in (token_cache, token_requests):
        monkeypatch.setattr(module, "time", clock)
    return clock


def await_renewal() -> None:
    """Wait until no token is on its way in the background."""
    for thread in threading.enumerate():
        if thread.name == "planet-token":
            thread.join(60)
            assert not thread.is_alive(), "the renewal does not end"


class TestOneFetch:
    @pytest.mark.guide("auth-oauth")
    def test_sessions_of_a_process_share_it(
        self, planet_sandbox: Sandbox, connect: Connect, form: str
    ) -> None:
        make, path, scheme = FORMS[form]
        for _ in range(3):
            client = connect(make(planet_sandbox))
            for _ in range(3):
                assert "user" in client.send(orders.stats())
        assert len(asked(planet_sandbox, path)) == 1
        headers = [request.headers["authorization"] for request in asked(planet_sandbox, STATS)]
        assert len(headers) == 9
        assert len(set(headers)) == 1
        assert headers[0].startswith(scheme)

    @pytest.mark.guide("auth-login")
    def test_a_login_is_exchanged_for_the_accounts_key(
        self, planet_sandbox: Sandbox, connect: Connect
    ) -> None:
        connect(login(planet_sandbox)).send(orders.stats())
        assert planet_sandbox.requests[-1].headers["authorization"] == f"api-key {planet_sandbox.api_key}"
        assert api_key_of(login(planet_sandbox)) == planet_sandbox.api_key
        assert len(asked(planet_sandbox, LOGIN)) == 1

    def test_100_threads_fetch_once(self, planet_sandbox: Sandbox, form: str) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind="delay", path=path, seconds=0.3))
        config = make(planet_sandbox)

        def ask(_: int) -> None:
            with PlanetSession(config, limiter=limiter_of(config)) as session:
                session.send(orders.stats())

        with ThreadPoolExecutor(MANY) as pool:
            list(pool.map(ask, range(MANY)))
        assert len(asked(planet_sandbox, path)) == 1
        assert len(asked(planet_sandbox, STATS)) == MANY

    async def test_100_tasks_fetch_once_and_the_loop_goes_on(
        self, planet_sandbox: Sandbox, form: str
    ) -> None:
        make, path, _ = FORMS[form]
        with gate_to(planet_sandbox.url) as gate:
            config = replace(make(planet_sandbox), base_url=gate.url)
            if config.oauth is not None:
                token_url = f"{gate.url}{TOKEN_PATH}"
                config = replace(config, oauth=replace(config.oauth, token_url=token_url))
            async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
                asking = [asyncio.create_task(session.send(orders.stats())) for _ in range(MANY)]
                while not gate.arrived:
                    await asyncio.sleep(0.005)
                # The answer is held back until the loop has gone round some more: blocked, it never would.
                for _ in range(20):
                    await asyncio.sleep(0.001)
                assert not any(task.done() for task in asking)
                gate.open()
                await asyncio.gather(*asking)
            assert not gate.gave_up, "the loop was blocked"
        assert len(asked(planet_sandbox, path)) == 1
        assert len(asked(planet_sandbox, STATS)) == MANY

    def test_the_token_is_anothers_with_another_secret(
        self, planet_sandbox: Sandbox, connect: Connect, form: str
    ) -> None:
        make, path, _ = FORMS[form]
        connect(make(planet_sandbox)).send(orders.stats())
        with pytest.raises(AuthenticationError):
            connect(make(planet_sandbox, "rotated-away")).send(orders.stats())
        assert len(asked(planet_sandbox, path)) == 2


class TestRenewal:
    @pytest.mark.planet_sandbox(token_seconds=LIFE)
    def test_in_time_so_that_no_request_is_refused(
        self, planet_sandbox: Sandbox, connect: Connect, clock: TokenClock
    ) -> None:
        client = connect(oauth(planet_sandbox))
        began, fetched_at = clock.now, []
        for _ in range(21):  # two and a half lives, in eighths
            before = len(asked(planet_sandbox, TOKEN_PATH))
            client.send(orders.stats())
            await_renewal()
            client.send(orders.stats())
            await_renewal()
            fetched_at += [clock.now - began] * (len(asked(planet_sandbox, TOKEN_PATH)) - before)
            clock.advance(LIFE / 8)
        assert {request.status for request in asked(planet_sandbox, STATS)} == {200}
        assert fetched_at == [0.0, 0.75 * LIFE, 1.5 * LIFE, 2.25 * LIFE], "each at 3/4 of the last one's life"
        tokens = [request.headers["authorization"] for request in asked(planet_sandbox, STATS)]
        assert len(tokens) == 42
        assert len(set(tokens)) == 4
        assert tokens[12] == tokens[0], "the old one serves while the next is fetched"
        assert tokens[13] not in tokens[:13], "the next one is used as soon as it is there"

    def test_after_a_401_once(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(oauth(planet_sandbox))
        client.send(orders.stats())
        planet_sandbox.revoke_tokens()
        assert "user" in client.send(orders.stats())
        assert [request.status for request in asked(planet_sandbox, STATS)] == [200, 401, 200]
        assert len(asked(planet_sandbox, TOKEN_PATH)) == 2

    def test_when_the_servers_clock_says_so(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(oauth(planet_sandbox))
        client.send(orders.stats())
        planet_sandbox.clock.advance(planet_sandbox.config.token_seconds)
        client.send(orders.stats())
        assert [request.status for request in asked(planet_sandbox, STATS)] == [200, 401, 200]

    def test_of_many_refused_at_once_there_is_one(self, planet_sandbox: Sandbox) -> None:
        config = oauth(planet_sandbox)
        with PlanetSession(config, limiter=limiter_of(config)) as session:
            session.send(orders.stats())
            planet_sandbox.revoke_tokens()
            with ThreadPoolExecutor(MANY) as pool:
                answers = list(pool.map(lambda _: session.send(orders.stats()), range(MANY)))
        assert len(answers) == MANY
        assert len(asked(planet_sandbox, TOKEN_PATH)) == 2

    def test_with_fewer_connections_than_those_who_wait(self, planet_sandbox: Sandbox) -> None:
        """The token is fetched over a connection of its own, so those who wait for it can't starve it."""
        config = oauth(planet_sandbox, max_connections=2)
        with PlanetSession(config, limiter=limiter_of(config)) as session:
            session.send(orders.stats())
            planet_sandbox.revoke_tokens()
            planet_sandbox.faults.add(Fault(kind="delay", path=TOKEN_PATH, seconds=0.2))
            with ThreadPoolExecutor(8) as pool:
                assert len(list(pool.map(lambda _: session.send(orders.stats()), range(8)))) == 8
        assert len(asked(planet_sandbox, TOKEN_PATH)) == 2

    def test_an_order_that_was_refused_is_placed_once(
        self, planet_sandbox: Sandbox, connect: Connect
    ) -> None:
        client = connect(oauth(planet_sandbox))
        request = order_request(client)
        planet_sandbox.revoke_tokens()
        placed = client.send(orders.create(request))
        assert list(planet_sandbox.orders) == [placed["id"]]
        posts = [request.status for request in planet_sandbox.requests if request.path.endswith("/orders/v2")]
        assert posts == [401, 202]

    def test_no_more_than_once(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        refuse_the_token(planet_sandbox, times=None)
        with pytest.raises(AuthenticationError) as caught:
            connect(oauth(planet_sandbox)).send(orders.stats())
        assert caught.value.status == 401
        assert len(asked(planet_sandbox, STATS)) == 2
        assert len(asked(planet_sandbox, TOKEN_PATH)) == 2

    def test_a_key_that_a_login_gives_again_is_not_sent_again(
        self, planet_sandbox: Sandbox, connect: Connect
    ) -> None:
        refuse_the_token(planet_sandbox, times=None)
        with pytest.raises(AuthenticationError):
            connect(login(planet_sandbox)).send(orders.stats())
        assert len(asked(planet_sandbox, STATS)) == 1
        assert len(asked(planet_sandbox, LOGIN)) == 2

    def test_a_key_that_was_rotated_is_fetched_anew(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = connect(login(planet_sandbox))
        client.send(orders.stats())
        planet_sandbox.reset(api_keys=("PLAK-another-0123456789",), rate_limits=False)
        client.send(orders.stats())
        assert [request.status for request in asked(planet_sandbox, STATS)] == [401, 200]
        assert planet_sandbox.requests[-1].headers["authorization"] == "api-key PLAK-another-0123456789"


GARBAGE = {
    "a page": "<html>Welcome to the proxy</html>",
    "nothing": "",
    "a list": "[]",
    "no token": "{}",
    "a number": '{"access_token": 5, "expires_in": 60, "token": 5}',
    "a line break": '{"access_token": "a\\nb", "expires_in": 60, "token": "a\\nb"}',
    "no JWT": '{"expires_in": 60, "token": "not-a-jwt"}',
    "a payload that is no JSON": '{"expires_in": 60, "token": "a.!!!.c"}',
    "a payload that is no object": f'{{"token": "a.{base64.urlsafe_b64encode(b"[]").decode()}.c"}}',
}


class TestEndpointInTrouble:
    @pytest.mark.parametrize("kind", ["status", "drop", "drop_after", "truncate"])
    def test_it_is_asked_again(self, planet_sandbox: Sandbox, connect: Connect, form: str, kind: Any) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind=kind, path=path, times=2, status=500))
        client = connect(make(planet_sandbox))
        assert "user" in client.send(orders.stats())
        assert len(asked(planet_sandbox, path)) == 3
        assert len(asked(planet_sandbox, STATS)) == 1

    @pytest.mark.parametrize("kind", ["delay", "stall"])
    def test_it_is_asked_again_where_the_answer_takes_too_long(
        self, planet_sandbox: Sandbox, connect: Connect, form: str, kind: Any
    ) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind=kind, path=path, times=2, seconds=60.0))
        client = connect(make(planet_sandbox, **HASTY))
        assert "user" in client.send(orders.stats())
        # A busy machine may let other answers be too late as well.
        assert [request.faults for request in asked(planet_sandbox, path)][:3] == [(kind,), (kind,), ()]

    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_no_longer_than_the_budget(
        self, planet_sandbox: Sandbox, connect: Connect, form: str, status: int
    ) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind="status", path=path, times=None, status=status))
        with pytest.raises(TokenUnavailableError) as caught:
            connect(make(planet_sandbox, max_attempts=3)).send(orders.stats())
        error = caught.value
        assert isinstance(error, TransportError)
        assert (error.sent, error.retryable) == (False, True)
        assert f"No token from {planet_sandbox.url}{path}: {status}" in str(error)
        assert len(asked(planet_sandbox, path)) == 3
        assert asked(planet_sandbox, STATS) == []

    def test_retry_after_is_kept(self, planet_sandbox: Sandbox, connect: Connect, form: str) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind="status", path=path, status=429, headers={"Retry-After": "1"}))
        connect(make(planet_sandbox)).send(orders.stats())
        first, second = asked(planet_sandbox, path)
        assert second.at - first.at >= 1.0

    @pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
    def test_garbage(self, planet_sandbox: Sandbox, connect: Connect, form: str, body: str) -> None:
        make, path, _ = FORMS[form]
        planet_sandbox.faults.add(Fault(kind="status", path=path, times=None, status=200, body=body))
        with pytest.raises(TokenUnavailableError, match="cannot be understood"):
            connect(make(planet_sandbox, max_attempts=1)).send(orders.stats())
        assert asked(planet_sandbox, STATS) == []

    @pytest.mark.parametrize("life", ['"soon"', "-1", "null", "true", "1e999", "[]"])
    def test_a_life_that_is_none(self, planet_sandbox: Sandbox, connect: Connect, life: str) -> None:
        body = f'{{"access_token": "abc", "expires_in": {life}}}'
        planet_sandbox.faults.add(Fault(kind="status", path=TOKEN_PATH, status=200, body=body))
        with pytest.raises(TokenUnavailableError, match="life in seconds"):
            connect(oauth(planet_sandbox, max_attempts=1)).send(orders.stats())

    def test_a_token_of_another_kind(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        body = '{"access_token": "abc", "expires_in": 60, "token_type": "mac"}'
        planet_sandbox.faults.add(Fault(kind="status", path=TOKEN_PATH, status=200, body=body))
        with pytest.raises(TokenUnavailableError, match="no Bearer token"):
            connect(oauth(planet_sandbox, max_attempts=1)).send(orders.stats())

    def test_an_order_is_placed_once_all_the_same(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        """Placing one is not repeated after a time-out; the token's time-out is another matter."""
        request = order_request(connect(planet_sandbox))
        planet_sandbox.faults.add(Fault(kind="delay", path=TOKEN_PATH, times=1, seconds=60.0))
        client = connect(oauth(planet_sandbox, timeout=5.0))
        client.send(orders.create(request))
        assert len(planet_sandbox.orders) == 1
        assert len(asked(planet_sandbox, TOKEN_PATH)) >= 2

    @pytest.mark.planet_sandbox(token_seconds=LIFE)
    def test_a_token_that_holds_outlasts_it(
        self, planet_sandbox: Sandbox, connect: Connect, clock: TokenClock
    ) -> None:
        client = connect(oauth(planet_sandbox))
        client.send(orders.stats())
        planet_sandbox.faults.add(Fault(kind="drop", path=TOKEN_PATH, times=None))
        clock.advance(0.8 * LIFE)
        for _ in range(2):
            client.send(orders.stats())
            await_renewal()
        assert [request.status for request in asked(planet_sandbox, STATS)] == [200, 200, 200]
        assert len(asked(planet_sandbox, TOKEN_PATH)) == 2, "the renewal was tried"

    def test_nobody_there(self, planet_sandbox: Sandbox, connect: Connect) -> None:
        client = OAuthClient(client_id="a", client_secret="hush-secret", token_url="http://127.0.0.1:1/token")
        with pytest.raises(TokenUnavailableError, match="no answer: ConnectError"):
            connect(oauth(planet_sandbox, oauth=client, max_attempts=2)).send(orders.stats())


class TestRefusals:
    def test_wrong_secrets_are_not_tried_again(
        self, planet_sandbox: Sandbox, connect: Connect, form: str
    ) -> None:
        make, path, _ = FORMS[form]
        with pytest.raises(AuthenticationError) as caught:
            connect(make(planet_sandbox, "hush-wrong")).send(orders.stats())
        error = caught.value
        assert (error.status, error.request, error.retryable) == (401, f"POST {path}", False)
        expected = {
            "oauth": "invalid_client. Check the connection's login (client id)",
            "login": "Invalid email or password. Check the connection's login (the account's e-mail)",
        }
        assert expected[form] in str(error)
        assert len(asked(planet_sandbox, path)) == 1
        assert asked(planet_sandbox, STATS) == []

    @pytest.mark.parametrize("status", [302, 400, 403, 404, 405])
    def test_other_answers(self, planet_sandbox: Sandbox, connect: Connect, form: str, status: int) -> None:
        make, path, _ = FORMS[form]
        headers = {"Location": f"{planet_sandbox.storage_url}/elsewhere"}
        planet_sandbox.faults.add(Fault(kind="status", path=path, status=status, headers=headers))
        # Where there is no such endpoint, it is the address that is wrong.
        kind, place = (
            (AuthenticationError, "") if status in (400, 403) else (ConfigurationError, PLACES[form])
        )
        with pytest.raises(kind, match=f"-> {status}.*{place}"):
            connect(make(planet_sandbox)).send(orders.stats())
        assert [request.path for request in planet_sandbox.requests] == [path], "no redirect is followed"

    def test_an_oauth_client_has_no_key(self, planet_sandbox: Sandbox) -> None:
        with pytest.raises(CredentialsError, match="has no API key"):
            api_key_of(oauth(planet_sandbox))


def test_the_token_goes_home_only(planet_sandbox: Sandbox, form: str) -> None:
    make, _, scheme = FORMS[form]
    config = make(planet_sandbox)
    with PlanetSession(config, limiter=limiter_of(config)) as session:
        order = session.send(orders.create(order_request(session)))
        results = session.send(orders.get(order["id"]))["_links"]["results"]
        with session.open(results[0]["location"], rate_class="orders.download") as response:
            assert response.read()
    home = [request for request in planet_sandbox.requests if "/download" in request.path]
    away = [request for request in planet_sandbox.requests if request.origin == "storage"]
    assert home[0].headers["authorization"].startswith(scheme)
    assert away
    assert not [request for request in away if "authorization" in request.headers]


def test_who_one_is(planet_sandbox: Sandbox) -> None:
    client_id, email = planet_sandbox.config.oauth_client_id, planet_sandbox.config.email
    assert who_is(oauth(planet_sandbox)) == (
        f"OAuth client {client_id} (account organization-of-{client_id})"
    )
    assert who_is(login(planet_sandbox)) == f"login {email} (user_id 1)"
    by_key = who_is(config_of(planet_sandbox))
    assert by_key.startswith("API key with fingerprint ")
    assert planet_sandbox.api_key not in by_key


async def test_secrets_are_nowhere(
    planet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a log at DEBUG, a representation, an error's text, chain or pickle."""
    make, path, _ = FORMS[form]
    tokens: list[str] = []
    fetched = token_requests.Token

    def remember(**given: Any) -> Any:
        tokens.append(given["value"])
        return fetched(**given)

    monkeypatch.setattr(token_requests, "Token", remember)
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # whatever another test has set
        caplog.set_level(logging.DEBUG, logger=name)
    config = make(planet_sandbox, max_attempts=2)
    errors: list[PlanetError] = []
    with PlanetSession(config, limiter=limiter_of(config)) as session:
        session.send(orders.stats())
        planet_sandbox.revoke_tokens()
        session.send(orders.stats())
        refuse_the_token(planet_sandbox, times=2)
        with suppress(AuthenticationError):
            session.send(orders.stats())
        shown = [repr(session), repr(config), *map(repr, vars(session).values())]
    secret = planet_sandbox.config.oauth_client_secret if form == "oauth" else planet_sandbox.config.password
    echo = f'{{"error": "invalid_client", "error_description": "{secret} is not it", "message": "{secret}"}}'
    for fault in (
        Fault(kind="status", path=path, status=401, body=echo),
        Fault(kind="status", path=path, status=500, body=echo, times=2),
        Fault(kind="status", path=path, status=200, body=f'"{secret}"', times=2),
        Fault(kind="drop", path=path, times=2),
    ):
        forget_tokens()
        planet_sandbox.faults.add(fault)
        async with AsyncPlanetSession(config, limiter=limiter_of(config)) as session:
            with pytest.raises(PlanetError) as caught:
                await session.send(orders.stats())
        errors.append(caught.value)
    assert len(errors) == 4
    for error in errors:
        shown += [repr(error), repr(vars(error)), "".join(traceback.format_exception(error))]
        shown.append(pickle.dumps(error).decode("latin-1"))
        chain = error.__cause__ or error.__context__
        assert not isinstance(chain, httpx.HTTPError), "it would hold the request, and the secret in its body"
    assert len(tokens) >= 2
    basic = base64.b64encode(f"{planet_sandbox.config.oauth_client_id}:{secret}".encode()).decode()
    for hidden in {secret, basic, *tokens}:
        assert hidden not in caplog.text
        assert not [text for text in shown if hidden in text]
    assert "POST" in caplog.text, "the log was looked at"


@pytest.mark.planet_sandbox(rate_limits=True)
def test_the_rate_limit_counts_by_client_not_by_secret(planet_sandbox: Sandbox) -> None:
    assert oauth(planet_sandbox).account == oauth(planet_sandbox, "rotated").account
    assert login(planet_sandbox).account == login(planet_sandbox, "rotated").account
    assert len({make(planet_sandbox).account for make in (oauth, login, config_of)}) == 3
    config = oauth(planet_sandbox, rate_limits={"orders.stats": 4.0})
    with PlanetSession(config) as first, PlanetSession(config) as second:
        started = time.monotonic()
        for session in (first, second) * 2:
            session.send(orders.stats())
    assert time.monotonic() - started >= 3 / 4.0 - 0.05
    assert {request.status for request in asked(planet_sandbox, STATS)} == {200}


def test_item_search_with_a_token(planet_sandbox: Sandbox, connect: Connect, form: str) -> None:
    assert len(item_ids(connect(FORMS[form][0](planet_sandbox)), 3)) == 3
