"""A connection's host and port, and a key that can't be one."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Connection
from airflow_support import Connect

from planet_provider.exceptions import ConfigurationError
from planet_provider.hooks.connection import config_from_connection
from planet_provider.hooks.planet import PlanetHook
from planet_provider.sandbox import Sandbox


def base_url(**fields: Any) -> str:
    return config_from_connection(
        Connection(conn_id="c", conn_type="planet", password="PLAK", **fields)
    ).base_url


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://h/proxy", "port": 8443}, "https://h:8443/proxy"),
        ({"host": "h/proxy", "port": 8443}, "https://h:8443/proxy"),
        ({"host": "h/proxy/", "port": 8443, "schema": "https"}, "https://h:8443/proxy"),
        ({"host": "127.0.0.1", "port": 8080, "schema": "http"}, "http://127.0.0.1:8080"),
        ({"host": "http://[::1]/x", "port": 8080}, "http://[::1]:8080/x"),
        ({"host": "https://h:8443", "port": 8443}, "https://h:8443"),
        ({"host": "https://h:/x", "port": 8443}, "https://h:8443/x"),
        ({"host": "https://h:8443/x"}, "https://h:8443/x"),
    ],
)
def test_the_port_follows_the_host(fields: dict[str, Any], url: str) -> None:
    assert base_url(**fields) == url


@pytest.mark.parametrize("host", ["http://127.0.0.1:80", "h:1/x"])
def test_two_ports_are_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'c': host has port \d+, and port=8080: give one of them"):
        base_url(host=host, port=8080)


@pytest.mark.parametrize("host", ["https://h:a/x", "https://[::1", "https://user:hunter2@h/x"])
def test_what_is_no_base_url_is_told(host: str) -> None:
    with pytest.raises(ConfigurationError, match="'c': host") as caught:
        base_url(host=host, port=8080)
    assert "hunter2" not in str(caught.value)


def test_the_test_button_shows_no_key(planet: Sandbox, connect: Connect) -> None:
    connect({"password": "hunter2AAA\nhunter2BBB"})
    worked, said = PlanetHook().test_connection()
    assert not worked
    assert "line breaks or control characters" in said
    assert "hunter2" not in said
    assert planet.requests == []
