from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import pytest

from planet_provider.client.auth.credentials import Login, OAuthClient
from planet_provider.client.config import DEFAULT_BASE_URL, DOCUMENTED_RATES, PlanetConfig
from planet_provider.coordination.limiter import account_of
from planet_provider.exceptions import ConfigurationError, CredentialsError

KEY = "PLAK0123456789abcdef"


def config(**settings: Any) -> PlanetConfig:
    return PlanetConfig(**{"api_key": KEY, **settings})


def test_defaults() -> None:
    default = config()
    assert default.base_url == DEFAULT_BASE_URL == "https://api.planet.com"
    assert default.rate_limits == {name: rate * 0.95 for name, rate in DOCUMENTED_RATES.items()}
    assert default.rate_limits["orders.create"] == pytest.approx(2.85)
    assert (default.max_attempts, default.timeout, default.max_queue_seconds) == (6, 60.0, 600.0)


def test_the_key_is_not_shown() -> None:
    shown = repr(config(coordination_store="memory://"))
    assert KEY not in shown
    assert "https://api.planet.com" in shown


@pytest.mark.parametrize("around", [" ", "\n", "\r\n", "\t\u00a0"])
def test_white_space_around_what_is_given_is_no_part_of_it(around: str) -> None:
    def padded(text: str) -> str:
        return f"{around}{text}{around}"

    assert config(api_key=padded(KEY), base_url=padded("https://a.example/")) == config(
        api_key=KEY, base_url="https://a.example"
    )
    assert OAuthClient(client_id=padded("a"), client_secret=padded("hush")) == OAuthClient(
        client_id="a", client_secret="hush"
    )
    assert Login(email=padded("a@b"), password=padded("hush hush")) == Login(
        email="a@b", password="hush hush"
    )


@pytest.mark.parametrize("key", ["", " ", "\n", f"{KEY}\n{KEY}", f"a\x00{KEY}", f"{KEY} b", f"{KEY}\ud800"])
def test_keys_that_cannot_be(key: str) -> None:
    with pytest.raises(CredentialsError, match=r"blank|control characters") as caught:
        config(api_key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["/data/v1", "/data/v1/", "/compute/ops/orders/v2", "/v1", "/gateway/Data/v1"]
)
def test_a_path_of_an_api_in_the_host_is_named(path: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^host=.*the path '{path}' is one of Planet's APIs"):
        config(base_url=f"https://api.planet.com{path}")


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.planet.com/", "https://api.planet.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("HTTPS://API.planet.com", "HTTPS://API.planet.com"),
        ("https://proxy.example/planet/", "https://proxy.example/planet"),
    ],
)
def test_base_urls(url: str, kept: str) -> None:
    assert config(base_url=url).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "api.planet.com",
        "ftp://api.planet.com",
        "https://",
        "https:///data",
        "",
        "https://[::1",
        "https://host:port",
        "https://host:99999",
        "https://api planet.com",
        None,
        7,
    ],
)
def test_base_urls_that_are_none(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"host=.*http or https") as caught:
        config(base_url=url)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "url", ["https://user:s3cr3t@host", "https://s3cr3t@host", "https://host?k=s3cr3t", "https://host#s3cr3t"]
)
def test_no_secrets_in_base_urls(url: str) -> None:
    with pytest.raises(ConfigurationError, match="login and password") as caught:
        config(base_url=url)
    assert "s3cr3t" not in str(caught.value)


def test_malformed_base_urls_show_no_secret() -> None:
    for url in ("ftp://user:s3cr3t@host", "https://user:s3cr3t@host:port", "https://user:s3cr3t@[::1"):
        with pytest.raises(ConfigurationError) as caught:
            config(base_url=url)
        assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout", "max_queue_seconds", "max_retry_seconds", "backoff_seconds"])
@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "60", None, True])
def test_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=.*greater than 0"):
        config(**{name: value})
    assert getattr(config(**{name: 3}), name) == 3


@pytest.mark.parametrize("name", ["max_connections", "max_attempts"])
@pytest.mark.parametrize("value", [0, -1, 1.0, "3", None, True])
def test_counts(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}=.*whole number of at least 1"):
        config(**{name: value})
    assert getattr(config(**{name: 1}), name) == 1


def test_rates_complete_each_other() -> None:
    given = {"orders.create": 1}
    limits = config(rate_limits=given).rate_limits
    assert limits["orders.create"] == 1.0
    assert limits["orders.get"] == pytest.approx(2.85)
    given["orders.create"] = 99
    assert limits["orders.create"] == 1.0
    with pytest.raises(TypeError):
        limits["orders.create"] = 5.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ({"orders.crate": 1}, "no such class; the classes are orders.create"),
        ({"orders.create": 0}, r"rate_limits\['orders.create'\]=0"),
        ({"orders.create": "3"}, "finite number greater than 0"),
        ([3], "must map classes to requests per second"),
        (3, "must map classes to requests per second"),
    ],
)
def test_rates_that_are_none(rates: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        config(rate_limits=rates)


@pytest.mark.parametrize("value", [0, -0.1, 1.5, "half", None, True, math.nan])
def test_fallbacks_that_are_none(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="coordination_fallback"):
        config(coordination_fallback=value)


@pytest.mark.parametrize("value", [0.1, 1, "fail"])
def test_fallbacks(value: Any) -> None:
    assert config(coordination_fallback=value).coordination_fallback == value


def test_is_frozen_and_can_be_changed_into_another() -> None:
    one = config(rate_limits={"orders.get": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.timeout = 1.0  # type: ignore[misc]
    other = dataclasses.replace(one, timeout=1.0)
    assert (other.timeout, other.rate_limits) == (1.0, one.rate_limits)
    assert isinstance(other.rate_limits, Mapping)


def test_one_credential() -> None:
    client = OAuthClient(client_id="a", client_secret="hush")
    login = Login(email="me@example.com", password="hush")
    for given in ({"oauth": client}, {"login": login}):
        assert "hush" not in repr(PlanetConfig(**given))  # type: ignore[arg-type]
        with pytest.raises(CredentialsError, match="Several credentials"):
            config(**given)
    with pytest.raises(CredentialsError, match="Several credentials"):
        PlanetConfig(oauth=client, login=login)
    with pytest.raises(CredentialsError, match="empty or blank"):
        PlanetConfig()


def test_identities_are_not_their_secrets() -> None:
    def by_client(secret: str, url: str = "https://a.example/token") -> PlanetConfig:
        return PlanetConfig(oauth=OAuthClient(client_id="a", client_secret=secret, token_url=url))

    def by_login(email: str, password: str) -> PlanetConfig:
        return PlanetConfig(login=Login(email=email, password=password))

    assert by_client("one").account == by_client("two").account
    assert by_client("one").account != by_client("one", "https://b.example/token").account
    assert by_login("Me@Example.com", "one").account == by_login("me@example.com", "two").account
    assert config().account == account_of(KEY)


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://auth.example/token", True),
        ("http://127.0.0.1:8080/token", True),
        ("http://127.9.9.9/token", True),
        ("http://[::1]:8080/token", True),
        ("http://localhost/token", True),
        ("http://localhost.evil.example/token", False),
        ("http://127.0.0.1.evil.example/token", False),
        ("http://10.0.0.1/token", False),
        ("ftp://auth.example/token", False),
        ("https://user:pass@auth.example/token", False),
        ("https://auth.example/token?key=x", False),
        ("https:///token", False),
        ("https://auth.example:port/token", False),
        (" https://auth.example/token", False),
        ("", False),
        (None, False),
    ],
)
def test_where_secrets_may_be_sent(url: Any, fine: bool) -> None:
    if fine:
        assert OAuthClient(client_id="a", client_secret="b", token_url=url).token_url == url
    else:
        with pytest.raises(ConfigurationError, match="token_url="):
            OAuthClient(client_id="a", client_secret="b", token_url=url)
