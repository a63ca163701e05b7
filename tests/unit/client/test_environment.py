"""Certificates and proxies that the environment names wrongly: errors that name the variable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from client_support import Connect, config_of
from planet_provider.client.api import orders
from planet_provider.client.auth.credentials import OAuthClient
from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import ConfigurationError, TokenUnavailableError, TransportError
from planet_provider.sandbox import Sandbox

#: Nothing listens there: port 1 is for a service that nobody has.
DEAD = "http://me:pr0xy-p4ss@127.0.0.1:1"
CONFIG = PlanetConfig(api_key="PLAK-of-this-test-0123", base_url="http://planet.example", max_attempts=1)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("there", [False, True])
def test_certificates_that_are_none(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, there: bool
) -> None:
    path = tmp_path / "gone.pem"
    if there:
        path.write_text("no certificate")
    monkeypatch.setenv(name, str(path))
    with pytest.raises(ConfigurationError, match=name) as caught:
        connect(CONFIG)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("NO_PROXY", "localhost,fd00::/8,.example.com", "'fd00::/8'"),
        ("no_proxy", "::1/128", "'::1/128'"),
        ("NO_PROXY", "[::1]", "'[::1]'"),
        ("HTTPS_PROXY", "http://me:pr0xy/p4ss@proxy.example:3128", "proxy.example:3128"),
        ("HTTPS_PROXY", "me:pr0xy#p4ss@proxy.example:port", "proxy.example:port"),
        ("http_proxy", "http://me:pr0xy p4ss@proxy.example:x1", "proxy.example:x1"),
        ("ALL_PROXY", "ftp://me:pr0xy-p4ss@proxy.example", "ftp://proxy.example"),
    ],
)
def test_proxies_that_are_none(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as caught:
        connect(CONFIG)
    assert shown in str(caught.value)
    assert "p4ss" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("value", ["localhost,10.0.0.0/8,::1,.example.com,2001:db8::1", "*", "", " , "])
def test_exceptions_that_are_fine(connect: Connect, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NO_PROXY", value)
    connect(CONFIG)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_dead_proxy_is_named(connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, DEAD)
    with pytest.raises(TransportError, match=rf"the proxy http://127\.0\.0\.1:1 \({name}\)") as caught:
        connect(CONFIG).send(orders.stats())
    assert "p4ss" not in str(caught.value)
    assert not caught.value.sent


def test_a_dead_proxy_on_the_way_to_a_token(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    client = OAuthClient(client_id="a", client_secret="hush-hush", token_url="http://localhost:1/token")
    config = PlanetConfig(oauth=client, base_url="http://planet.example", max_attempts=1)
    with pytest.raises(TokenUnavailableError, match=r"the proxy http://127\.0\.0\.1:1 \(HTTP_PROXY\)"):
        connect(config).send(orders.stats())


def test_what_goes_past_the_proxy_is_not_its_fault(
    planet_sandbox: Sandbox, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    connect(planet_sandbox).send(orders.stats())
    config = config_of(planet_sandbox, base_url="http://127.0.0.1:1", max_attempts=1)
    with pytest.raises(TransportError) as caught:
        connect(config).send(orders.stats())
    assert "proxy" not in str(caught.value)
