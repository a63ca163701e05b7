from __future__ import annotations

import base64
import json
import logging
import pickle
import re
import string
import time
import traceback
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from client_support import NO_ORDER, order_request, session_of
from planet_provider.client.api import data, orders
from planet_provider.exceptions import PlanetError
from planet_provider.known_secrets import REDACTED
from planet_provider.redact import (
    MAX_CHARACTERS,
    RedactingFilter,
    install_log_redaction,
    origin,
    redact_text,
    redact_url,
)
from planet_provider.sandbox import Fault, Sandbox

#: What tokens, signatures and keys are made of; long enough not to occur by chance.
secrets = st.text(string.ascii_letters + string.digits + "-_.~", min_size=16, max_size=64).filter(
    lambda text: text not in "authorization credentials signature"
)
#: Passwords and cloud secrets are of anything.
wild_secrets = st.text(min_size=8, max_size=40).map(lambda text: f"s3cr3t{text}t3rc3s")
prose = st.sampled_from(["", "GET ", "failed: ", "(see ", "'", '"', "[", "HTTP Request: GET "])
endings = st.sampled_from(["", " ", ")", "'", '"', "]", ' "HTTP/1.1 200 OK"', "\n", ", and more", "}"])
signed_names = st.sampled_from(
    ["token", "X-Amz-Signature", "X-Amz-Credential", "Signature", "sig", "se", "Expires", "X-Goog-Signature"]
)
secret_fields = st.sampled_from(
    [
        "token",
        "access_token",
        "refresh_token",
        "password",
        "api_key",
        "client_secret",
        "aws_access_key_id",
        "aws_secret_access_key",
        "sas_token",
        "credentials",
        "customer_access_key_id",
        "customer_secret_key",
        "access_key_id",
        "secret_access_key",
        "signature",
        "private_key",
        "Authorization",
    ]
)


class TestTime:
    @pytest.mark.parametrize(
        "piece",
        [
            "?",
            "?&",
            "token:[",
            "token:{",
            "token='",
            'token=\\"',
            "eyJ-",
            "bearer ",
            "basic-",
            "cookie: ",
            "'?",
        ],
    )
    def test_grows_with_the_text_s_length_and_has_an_end(self, piece: str) -> None:
        """Twenty seconds it were, where each of these began a search to the end of the text."""
        started = time.thread_time()
        assert len(redact_text(piece * 10_000)) <= MAX_CHARACTERS + 1
        redact_text("x" * 10_000_000)
        assert time.thread_time() - started < 2


class TestText:
    @given(before=prose, name=signed_names, secret=secrets, after=endings, page=st.booleans())
    def test_signed_links(self, before: str, name: str, secret: str, after: str, page: bool) -> None:
        query = urlencode([("page_size", "20"), (name, secret)] if page else [(name, secret)])
        text = f"{before}https://store.example/bucket/a.tif?{query}{after}"
        shown = redact_text(text)
        assert secret not in shown
        assert f"https://store.example/bucket/a.tif?{'page_size=20&' if page else ''}{name}=***" in shown
        assert shown.startswith(before)
        # What follows at once may belong to the link, for all one can tell.
        assert shown.endswith(after.lstrip(","))

    @given(name=signed_names, secret=wild_secrets)
    def test_any_value_of_a_query(self, name: str, secret: str) -> None:
        encoded = quote(secret, safe="")
        for link in (f"https://store.example/a?{name}={encoded}", f"/a?x=1&{name}={encoded}&y=2"):
            shown = redact_text(f"GET {link} -> 403")
            assert encoded not in shown
            assert shown.endswith(" -> 403")

    @given(secret=secrets)
    def test_links_that_are_not_quite_right(self, secret: str) -> None:
        for text in (
            f"https://store.example/?{secret}",
            f"https://user:{secret}@store.example/x",
            f"https://user:a)b{secret}@store.example/x?sig=({secret})",
            f"https://store.example/x#{secret}",
            f"HTTPS://store.example/x?SIG={secret}",
            f"redis://:{secret}@redis.example:6379/0",
            f"https://[{secret}",
        ):
            assert secret not in redact_text(text)
            assert secret not in redact_url(text)

    @given(
        field=secret_fields, secret=wild_secrets, ascii_only=st.booleans(), indent=st.sampled_from([None, 2])
    )
    @example(field="password", secret='s3cr3t"\\"t3rc3s', ascii_only=True, indent=None)
    def test_json(self, field: str, secret: str, ascii_only: bool, indent: int | None) -> None:
        body = {"name": "weekly", "delivery": {"amazon_s3": {field: secret, "bucket": "b"}}, "n": 1}
        text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
        shown = redact_text(text)
        assert "s3cr3t" not in shown
        assert "t3rc3s" not in shown
        assert '"bucket": "b"' in shown
        assert '"name": "weekly"' in shown

    @given(field=secret_fields, secret=wild_secrets)
    def test_json_in_json(self, field: str, secret: str) -> None:
        shown = redact_text(json.dumps({"message": json.dumps({"id": 7, field: secret, "n": 1})}))
        assert "s3cr3t" not in shown
        assert "t3rc3s" not in shown
        assert '\\"id\\": 7' in shown

    @given(field=secret_fields, secret=wild_secrets)
    def test_reprs(self, field: str, secret: str) -> None:
        for value in ({field: secret, "n": 1}, {field: secret.encode(), "n": 1}):
            shown = redact_text(repr(value))
            assert "s3cr3t" not in shown
            assert "t3rc3s" not in shown
            assert shown.endswith(", 'n': 1}")
        headers = [(field.encode(), secret.encode()), (b"Host", b"api.planet.com")]
        shown = redact_text(f"return_value={headers!r}")
        assert "s3cr3t" not in shown
        assert shown.endswith(", (b'Host', b'api.planet.com')]")

    @given(field=secret_fields, secret=wild_secrets, cut=st.integers(1, 20))
    def test_json_that_was_cut(self, field: str, secret: str, cut: int) -> None:
        text = json.dumps({field: secret})[: -2 - cut]
        assert "s3cr3t" not in redact_text(text)

    @given(key=secrets, scheme=st.sampled_from(["api-key", "Bearer", "bearer", "Basic", "basic"]))
    def test_headers(self, key: str, scheme: str) -> None:
        value = key if scheme.lower() != "basic" else base64.b64encode(f"{key}:".encode()).decode()
        for text in (
            f"Authorization: {scheme} {value}",
            f"authorization: {scheme} {value}\r\nHost: x",
            f"{{'Authorization': '{scheme} {value}'}}",
            f"[(b'Authorization', b'{scheme} {value}')]",
        ):
            assert value not in redact_text(text)

    @pytest.mark.parametrize(
        "key", ["PLAK0123456789abcdef", "PLAKc0ffeec0ffeec0ffeec0ffee", "0a1b2c3d4e5f60718293a4b5"]
    )
    def test_schemes_without_a_header(self, key: str) -> None:
        basic = base64.b64encode(f"{key}:".encode()).decode()
        for text in (f"sent api-key {key}.", f"sent Bearer {key}", f"sent Basic {basic} to it"):
            shown = redact_text(text)
            assert key not in shown
            assert basic not in shown
            assert REDACTED in shown

    def test_by_their_own_look(self) -> None:
        jwt = "eyJhbGciOiJIUzI1NiJ9.eyJhcGlfa2V5IjoiUExBSyJ9.c2lnbmF0dXJl"
        assert redact_text(f"key PLAK0123456789 and {jwt}.") == "key *** and ***."

    def test_values_that_are_no_strings(self) -> None:
        assert redact_text('{"token": ["abc", "def"], "n": 1}') == '{"token": ***, "n": 1}'
        assert (
            redact_text('{"credentials": {"private_key": "abc"}, "n": 1}') == '{"credentials": ***, "n": 1}'
        )
        assert redact_text("Cookie: a=abc; b=def\nHost: x") == "Cookie: ***\nHost: x"

    @pytest.mark.parametrize(
        "text",
        [
            "basic analytic_udm2",
            "no digest for token bucket",
            "digest: no token, bucket",
            "Bundle is basic products only",
            "basic authentication is not available",
            "the api-key header and the bearer token",
            "PSScene 20220125_075509_67_1061 has no asset 'basic_analytic_4b'; it has: basic_udm2, ortho_udm2.",
            "The request signature does not match",
            "Check the API key in the Airflow connection (or PL_API_KEY, or ~/.planet.json).",
            "PLAK...",
            "GET /compute/ops/orders/v2 -> 409: Order concurrency limit reached.",
            "https://api.planet.com/compute/ops/orders/v2/f05b1ed7-11f0-43da-960c-a624f7c355c8",
            "https://api.planet.com/data/v1/quick-search?_sort=acquired%20desc",
            "(see https://docs.planet.com/develop/apis/)",
            "Is a & b = c? Yes, x=1.",
            "s3://planet_s3@bucket/prefix",
            "products[0].item_ids=['a', 'b']: are there more than once",
            "",
        ],
    )
    def test_harmless_text_stays(self, text: str) -> None:
        assert redact_text(text) == text

    @given(st.text(string.ascii_lowercase + " .,\n-_/()", max_size=200))
    def test_plain_words_stay(self, text: str) -> None:
        assert redact_text(text) == text

    @given(st.text(max_size=200))
    def test_any_text_can_be_redacted_twice(self, text: str) -> None:
        once = redact_text(text)
        assert redact_text(once) == once

    @pytest.mark.ci
    def test_long_texts_take_no_long_time(self) -> None:
        for unit in ("token", "token: ", "&", "?&", '\\"', "https://x/?", "'", "a.", "eyJ", "basic "):
            redact_text(unit * 2000)


class TestUrl:
    def test_shows_what_is_harmless(self) -> None:
        shown = redact_url(
            "https://u:p@Host.example:8443/a/b?_sort=published%20desc&token=x&limit=&flag#frag"
        )
        assert shown == "https://Host.example:8443/a/b?_sort=published%20desc&token=***&limit=&***"

    def test_malformed(self) -> None:
        assert redact_url("https://[::1") == REDACTED

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("https://api.planet.com", "https://API.planet.com:443/data/v1", True),
            ("http://api.planet.com", "http://u:p@api.planet.com:80?x", True),
            ("https://api.planet.com", "http://api.planet.com", False),
            ("https://api.planet.com", "https://api.planet.com:8443", False),
            ("https://api.planet.com", "https://api.planet.com.evil.example", False),
            ("https://api.planet.com", "https://api.planet.com@evil.example/", False),
            ("https://api.planet.com", "https://evil.example/api.planet.com", False),
            ("https://api.planet.com", "//api.planet.com", False),
            ("https://api.planet.com", "https://[api.planet.com", False),
            ("https://api.planet.com", "https://api.planet.com:port", False),
        ],
    )
    def test_origin(self, one: str, other: str, same: bool) -> None:
        assert (origin(one) == origin(other)) is same


def secrets_seen(sandbox: Sandbox) -> set[str]:
    """All credentials and signatures that the sandbox was shown."""
    found = {sandbox.api_key}
    for request in sandbox.requests:
        found |= {request.query[name] for name in ("token", "Signature") if name in request.query}
        found |= {request.headers["authorization"]} if request.authorized else set()
    return found


@pytest.mark.planet_sandbox(rate_limits=False, scene_pixels=64, queued_seconds=0, running_seconds=0)
class TestLogs:
    def test_a_full_run_shows_no_secret(
        self, planet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for name in ("httpx", "httpcore"):
            caplog.set_level(logging.DEBUG, logger=name)
        delivery = {
            "amazon_s3": {
                "aws_access_key_id": "AKIAs3cr3t",
                "aws_secret_access_key": "very-s3cr3t",
                "bucket": "b",
                "aws_region": "eu-west-1",
            }
        }
        with session_of(planet_sandbox) as session:
            session.send(orders.create(order_request(session, delivery=delivery)))
            order = session.send(orders.create(order_request(session)))
            links = session.send(orders.get(order["id"]))["_links"]["results"]
            for result in links:
                with session.open(result["location"], rate_class="orders.download") as response:
                    response.read()
        secrets_shown = secrets_seen(planet_sandbox) | {"s3cr3t"}
        secrets_shown |= {dict(parse_qsl(urlsplit(result["location"]).query))["token"] for result in links}
        assert len(secrets_shown) > 2 + 2 * len(links)
        for secret in secrets_shown:
            assert secret not in caplog.text
        by_logger = {record.name for record in caplog.records}
        assert {"httpx", "httpcore.http11", "httpcore.connection"} <= by_logger
        # The lines are there, with all that is harmless in them.
        assert f"GET {planet_sandbox.url}/compute/ops/orders/v2/{order['id']}" in caplog.text
        assert "download/?token=***" in caplog.text
        assert "Signature=***" in caplog.text

    def test_retries_say_no_secret_either(
        self, planet_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        body = json.dumps({"message": "retry https://s/x?token=t0ps3cret please"})
        planet_sandbox.faults.add(Fault(kind="status", status=503, body=body))
        with session_of(planet_sandbox) as session:
            session.send(orders.stats())
        assert "attempt 1 of 6 failed" in caplog.text
        assert "retry https://s/x?token=*** please" in caplog.text
        assert "t0ps3cret" not in caplog.text

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(kind="expire", origin="storage", times=None),
            Fault(kind="expire", origin="api", times=None),
            Fault(kind="drop", origin="storage", times=None),
            Fault(kind="drop", origin="api", path="download", times=None),
            Fault(kind="status", origin="storage", status=500, times=None),
            Fault(kind="truncate", origin="storage", times=None, after_bytes=3),
        ],
        ids=lambda fault: f"{fault.kind} {fault.origin}",
    )
    def test_errors(self, planet_sandbox: Sandbox, fault: Fault) -> None:
        with session_of(planet_sandbox, max_attempts=2) as session:
            order = session.send(orders.create(order_request(session)))
            link = session.send(orders.get(order["id"]))["_links"]["results"][0]["location"]
            planet_sandbox.faults.add(fault)
            with (
                pytest.raises((PlanetError, httpx.TransportError)) as caught,
                session.open(link, rate_class="orders.download") as response,
            ):
                response.read()
        error = caught.value
        texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
        if isinstance(error, PlanetError):
            texts.append(pickle.dumps(error).decode("latin-1"))
            assert isinstance(pickle.loads(pickle.dumps(error)), type(error))
        else:
            assert fault.kind == "truncate"
        for secret in secrets_seen(planet_sandbox):
            assert not any(secret in text for text in texts)


class TestInstallation:
    def test_once_a_logger(self) -> None:
        for _ in range(3):
            install_log_redaction()
        for name in ("httpx", "httpcore.http11"):
            filters = [one for one in logging.getLogger(name).filters if isinstance(one, RedactingFilter)]
            assert len(filters) == 1

    def test_all_loggers_of_the_libraries_are_covered(self) -> None:
        """A new version of httpcore may bring another one."""
        import importlib
        import pkgutil

        import httpcore
        import httpx

        used = set()
        for package in (httpx, httpcore):
            for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                spec = importlib.util.find_spec(info.name)
                assert spec is not None
                with open(str(spec.origin), encoding="utf-8") as file:
                    used |= set(re.findall(r"getLogger\(\"([\w.]+)\"\)", file.read()))
        assert {"httpx", "httpcore.http11"} <= used
        install_log_redaction()
        for name in used:
            assert any(isinstance(one, RedactingFilter) for one in logging.getLogger(name).filters), name

    def test_filters_rewrite_and_drop_nothing(self) -> None:
        record = logging.LogRecord("httpx", logging.INFO, "", 0, "%s %d", ("GET /x?token=abc", 200), None)
        assert RedactingFilter().filter(record) is True
        assert (record.getMessage(), record.args) == ("GET /x?token=*** 200", None)


def test_calls_show_neither_body_nor_query() -> None:
    call: Any = orders.create({"name": "x", "delivery": {"amazon_s3": {"aws_secret_access_key": "s3cr3t"}}})
    assert "s3cr3t" not in repr(call)
    link = data.activate("https://api.planet.com/data/v1/assets/abc/activate?token=s3cr3t")
    assert link.label == "GET /data/v1/assets/abc/activate"
    assert orders.get(NO_ORDER).label == f"GET /compute/ops/orders/v2/{NO_ORDER}"
