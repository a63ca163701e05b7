from __future__ import annotations

import pytest

from planet_provider.client.config import PlanetConfig
from planet_provider.coordination.open import check_store_url
from planet_provider.coordination.redis_url import check_redis_url, redis_secrets
from planet_provider.exceptions import ConfigurationError

#: Passwords that were not percent-encoded, so that a URL's parts are not where they seem to be.
UNREADABLE = [
    "redis://:s3cr/etPW@host:6379/0",
    "redis://:s3cr#etPW@host:6379/0",
    "redis://:s3cr?etPW@host:6379/0",
    "redis://:s3cr[etPW@host:6379/0",
    "redis://:[s3cretPW]@host:6379/0",
    "redis://etPW:6379/s3cr@host",
    "redis://etPW:6379?s3cr@host",
    "redis://etPW:6379#s3cr@host",
    "rediss://user:s3cr/etPW@host/0",
    "redis+sentinel://:s3cr/etPW@h:1/service/0",
    "redis+sentinel://:s3cr#etPW@h:1/service/0",
    "redis+sentinel://:s3cr?etPW@h:1/service/0",
    "redis+sentinel://:s3cr]etPW@h:1/service/0",
    "redis://u:s3cretPW@host:70000/0",
    "redis://u:s3cretPW@host:port/0",
    "redis://u:s3cretPW@/0",
    "redis://host/s3cretPW",
]


@pytest.mark.parametrize("url", UNREADABLE)
@pytest.mark.parametrize(
    "check",
    [check_redis_url, check_store_url, lambda url: PlanetConfig(api_key="PLAK0", coordination_store=url)],
    ids=["redis", "store", "configuration"],
)
def test_what_can_t_be_read_is_refused_without_showing_any_of_it(url: str, check: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check(url)  # type: ignore[operator]
    said = f"{caught.value!s} {caught.value!r}"
    assert "s3cr" not in said
    assert "etPW" not in said
    assert "host:" not in said.replace("[user:password@]host[:port]", "").replace("host:26379", "")
    assert f"coordination_store='{url.partition(':')[0]}://...'" in said
    assert "percent-encode" in said
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("url", ["file://[x/y", "file://:s3cr]etPW@host/x"])
def test_another_store_s_url_that_can_t_be_read_is_refused_too(url: str) -> None:
    with pytest.raises(ConfigurationError, match="absolute path"):
        check_store_url(url)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("redis://host", []),
        ("redis://host:6379/0", []),
        ("redis://user@host/1", []),
        ("redis://:plain@host/0", ["plain"]),
        ("redis://u:a%2Fb%40c@host:1/0?socket_timeout=5", ["a%2Fb%40c", "a/b@c"]),
        ("rediss://u:p@ss@host/0", ["p@ss"]),
        ("redis://host/0?password=b%3Fc", ["b?c"]),
        ("redis+sentinel://:x%25y@a:1,b:2/service/3?sentinel_password=z", ["x%25y", "x%y", "z"]),
        ("redis+sentinel://[::1]:1,b/service", []),
    ],
)
def test_a_good_one_tells_what_is_secret_in_it(url: str, secrets: list[str]) -> None:
    check_store_url(url)
    assert redis_secrets(url) == secrets
