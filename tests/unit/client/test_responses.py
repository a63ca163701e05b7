from __future__ import annotations

import json
import pickle
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.client.call import Call
from planet_provider.client.http.responses import (
    api_error,
    result,
    retry_after,
    transport_error,
)
from planet_provider.client.parse import decoded, json_object, nothing
from planet_provider.exceptions import (
    APIError,
    BadRequestError,
    OverQuotaError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnexpectedResponseError,
)

LABEL = "GET /x"


def answer(status: int = 200, content: Any = b"", **headers: str) -> httpx.Response:
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return httpx.Response(status, content=content, headers=headers)


def call(parse: Any = json_object) -> Call[Any]:
    return Call(method="GET", path="/x", rate_class="data.other", parse=parse)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [(r"a\ud800b", "a\ufffdb"), (r"\uDFFF\ud83d\ude00", "\ufffd\U0001f600"), (r"\\ud800", r"\ud800")],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_half_of_a_surrogate_pair_goes_into_no_log_and_no_xcom(
    escaped: str, text: str, encoding: str
) -> None:
    assert decoded(f'{{"{escaped}": ["{escaped}"]}}'.encode(encoding)) == {text: [text]}


class TestRetryAfter:
    @pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), (" 0 ", 0.0), ("1.5", 1.5), ("3600", 3600.0)])
    def test_seconds(self, value: str, seconds: float) -> None:
        assert retry_after(answer(429, **{"Retry-After": value})) == seconds

    def test_dates(self) -> None:
        soon = datetime.now(timezone.utc) + timedelta(seconds=90)
        for text in (format_datetime(soon, usegmt=True), soon.strftime("%a, %d %b %Y %H:%M:%S -0000")):
            assert retry_after(answer(429, **{"Retry-After": text})) == pytest.approx(
                75.0, abs=15.0
            )  # a busy machine may stall

    def test_dates_that_are_past(self) -> None:
        assert retry_after(answer(429, **{"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})) == 0.0

    @pytest.mark.parametrize("value", ["", "soon", "-1", "1e3", "Wed, 99 Oct 2015", "1,5", "NaN"])
    def test_what_cannot_be_understood(self, value: str) -> None:
        assert retry_after(answer(429, **{"Retry-After": value})) is None

    def test_none(self) -> None:
        assert retry_after(answer(429)) is None


class TestMessages:
    @pytest.mark.parametrize(
        ("body", "messages"),
        [
            ({"message": "No"}, ("No",)),
            ({"message": "No", "errors": []}, ("No",)),
            ({"error": "invalid_client"}, ("invalid_client",)),
            ({"error": {"message": "deep", "code": 7}}, ("deep",)),
            ({"errors": [{"detail": "one"}, {"title": "two"}, "three"]}, ("one", "two", "three")),
            ({"general": [{"message": "a"}], "field": {}}, ("a",)),
            (
                {"field": {"Products": [{"message": "bad"}], "Name": ["worse"]}},
                ("Products: bad", "Name: worse"),
            ),
            ({"field": "Products", "general": "a"}, ("a",)),
            ({"message": "twice", "detail": "twice"}, ("twice",)),
            (["a", {"message": "b"}], ("a", "b")),
            ("plain", ("plain",)),
            ({"code": 7, "unknown": "x"}, ()),
            (7, ()),
            (None, ()),
        ],
    )
    def test_shapes(self, body: Any, messages: tuple[str, ...]) -> None:
        assert api_error(answer(400, body), LABEL).messages == messages

    @pytest.mark.parametrize("content", [b"<html>", b"\xff\xfe", b"{", b" x "])
    def test_texts(self, content: bytes) -> None:
        error = api_error(answer(500, content), LABEL)
        assert len(error.messages) == 1
        assert error.messages[0] == error.messages[0].strip()

    def test_nothing_was_said(self) -> None:
        error = api_error(answer(400), LABEL)
        assert error.messages == ()
        assert str(error).startswith("GET /x -> 400: Bad Request. Correct the request")
        assert str(api_error(answer(499), LABEL)).startswith("GET /x -> 499: no message. ")

    def test_secrets(self) -> None:
        body = {
            "message": "see https://s/x?sig=s3cr3t",
            "field": {"delivery": [{"message": "token: s3cr3t"}]},
        }
        assert "s3cr3t" not in str(api_error(answer(400, body), LABEL))
        html = b"<a href='https://s/x?sig=" + b"s3cr3t" * 2000 + b"'>"
        assert "s3cr3t" not in str(api_error(answer(502, html), LABEL))

    @given(
        st.recursive(
            st.none() | st.text() | st.integers(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["message", "field", "general", "errors", "detail", "Products"]), inner
                )
            ),
        )
    )
    def test_any_body_makes_an_error(self, body: Any) -> None:
        error = api_error(answer(400, body), LABEL)
        assert isinstance(error, BadRequestError)
        assert all(isinstance(message, str) for message in error.messages)


class TestKinds:
    @pytest.mark.parametrize(
        ("status", "message", "kind"),
        [
            (403, "Download quota has been exceeded.", OverQuotaError),
            (429, "Download QUOTA has been exceeded.", OverQuotaError),
            (403, "No access", PermissionDeniedError),
            (429, "Rate limit exceeded", RateLimitError),
            (400, "quota", BadRequestError),
            (500, "quota", ServerError),
            (599, "", ServerError),
            (418, "", APIError),
        ],
    )
    def test_by_status_and_message(self, status: int, message: str, kind: type[APIError]) -> None:
        error = api_error(answer(status, {"message": message}, **{"Retry-After": "3"}), LABEL)
        assert type(error) is kind
        assert (error.status, error.request, error.retry_after) == (status, LABEL, 3.0)
        assert type(pickle.loads(pickle.dumps(error))) is kind


class TestResult:
    def test_success(self) -> None:
        assert result(call(), answer(200, {"a": 1})) == ({"a": 1}, {"a": 1})
        assert result(call(nothing), answer(204)) == (None, None)
        assert result(call(nothing), answer(202, b"{}")) == (None, {})

    @pytest.mark.parametrize("error", [KeyError("features"), TypeError("no"), ValueError("token=s3cr3t")])
    def test_content_that_cannot_be_read(self, error: Exception) -> None:
        def parse(body: Any) -> None:
            raise error

        with pytest.raises(UnexpectedResponseError) as caught:
            result(call(parse), answer(200, {}))
        assert type(error).__name__ in str(caught.value)
        assert "s3cr3t" not in str(caught.value)
        assert caught.value.__cause__ is None

    def test_our_own_mistakes_are_not_planet_s(self) -> None:
        def parse(body: Any) -> None:
            raise RuntimeError("a bug")

        with pytest.raises(RuntimeError):
            result(call(parse), answer(200, {}))


class TestTransportErrors:
    REQUEST = httpx.Request("POST", "https://user:s3cr3t@api.planet.com:8443/x?token=s3cr3t")

    @pytest.mark.parametrize(
        ("error", "sent"),
        [
            (httpx.ConnectError("refused"), False),
            (httpx.ConnectTimeout("slow"), False),
            (httpx.PoolTimeout("busy"), False),
            (httpx.ProxyError("no proxy"), False),
            (httpx.ReadTimeout("slow"), True),
            (httpx.WriteTimeout("slow"), True),
            (httpx.ReadError("reset"), True),
            (httpx.WriteError("reset"), True),
            (httpx.RemoteProtocolError("cut"), True),
        ],
    )
    def test_whether_it_was_sent(self, error: httpx.RequestError, sent: bool) -> None:
        error.request = self.REQUEST
        raised = transport_error(error, LABEL)
        assert raised.sent is sent
        assert f"GET /x: no answer from https://api.planet.com:8443: {type(error).__name__}" in str(raised)
        assert ("can be reached" in str(raised)) is not sent
        assert "s3cr3t" not in str(raised)

    def test_without_a_request(self) -> None:
        assert "no answer from Planet: ReadError: reset." in str(
            transport_error(httpx.ReadError("reset."), LABEL)
        )
        assert "no answer from Planet: ReadError. " in str(transport_error(httpx.ReadError(""), LABEL))
