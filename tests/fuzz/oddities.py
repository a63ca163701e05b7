"""Odd values, and odd changes of valid ones, for hypothesis to choose from."""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Literal

from hypothesis import strategies as st

# No text here is an absolute path: a call that takes one may write there.
_TEXTS = (
    "",
    " ",
    "x",
    "None",
    "true",
    "-1",
    "1e999",
    "{",
    "[]",
    "[7]",
    '{"a": 1}',
    "{{",
    "{{ nothing }}",
    "a\x00b",
    "a\nb",
    "\ud800",
    "²",
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59-12:00",
    "http://[::1",
    "http://127.0.0.1:99999/x",
    "s3://nobody@bucket/x",
    "pl:features/my/a/b",
    "../../x",
    "x" * 5000,
    "[" * 5000,
    "9" * 5000,
)
_NUMBERS = (
    0,
    -1,
    1,
    2,
    500,
    10**18,
    10**400,
    -(10**4000),
    0.5,
    -0.0,
    1e-320,
    1e308,
    float("inf"),
    float("nan"),
)
_DEEP: list[Any] = []
for _ in range(300):  # Airflow's own constructors take no more than some 900
    _DEEP = [_DEEP]

#: What may stand in JSON.
JSON_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    *_NUMBERS,
    *_TEXTS,
    [],
    [None],
    [[[]]],
    [{}],
    ["x", 7],
    {},
    {"": None},
    {"a": {"b": []}},
    {"type": "Point", "coordinates": [float("nan"), "x"]},
)
#: What Python has beside it. Not what can be called: Airflow calls that when it renders.
PYTHON_VALUES: tuple[Any, ...] = (
    _DEEP,
    b"",
    b"\xff\x00",
    bytearray(b"x"),
    object(),
    ...,
    1 + 2j,
    Decimal("NaN"),
    Decimal("1.5"),
    date(2024, 1, 31),
    datetime(2024, 1, 31),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone.utc),
    timedelta(days=999_999_999),
    timedelta(seconds=-1),
    uuid.UUID(int=0),
    PurePosixPath("odd"),
    {"x"},
    frozenset({7}),
    ("x",),
    range(3),
    (one for one in "ab"),
    {7: "x"},
    {None: None},
    {b"x": ()},
    {("a", 1): {}},
    {"\ud800": "\ud800"},
)


@dataclass(frozen=True)
class Change:
    """A change at one place of a valid value.

    :param where: Which of the value's nodes, counted from the root, modulo their number.
    """

    how: Literal["replace", "delete", "wrap", "add", "turn"]
    where: int
    value: Any = None

    def of(self, valid: Any) -> Any:
        """Return a changed copy."""
        root = [_copied(valid)]
        places = list(_places(root, 0))
        holder, key = places[self.where % len(places)]
        node = holder[key]
        if self.how == "delete" and holder is not root:
            del holder[key]
        elif self.how == "wrap":
            holder[key] = [node]
        elif self.how == "add" and isinstance(node, dict):
            node["odd"] = self.value
        elif self.how == "add" and isinstance(node, list):
            node.append(self.value)
        elif self.how == "turn":
            holder[key] = _turned(node)
        else:
            holder[key] = self.value
        return root[0]


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except TypeError:  # generators and the like
        return value


def _places(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    yield holder, key
    node = holder[key]
    keys: Any = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for inner in keys:
        yield from _places(node, inner)


def _turned(node: Any) -> Any:
    if isinstance(node, dict):
        return list(node.values())
    if isinstance(node, list):
        return {str(index): one for index, one in enumerate(node)}
    if isinstance(node, str):
        return list(node)
    return str(node)


def changes(values: tuple[Any, ...]) -> st.SearchStrategy[Change]:
    """Choose a change; what is put in place is one of these values."""
    how = st.sampled_from(["replace", "replace", "replace", "delete", "wrap", "add", "turn"])
    return st.builds(Change, how, st.integers(0, 2000), st.sampled_from(values))


@dataclass(frozen=True)
class Reply:
    """An answer, as bytes."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def sent(self) -> bytes:
        """Return all of it."""
        lines = [f"HTTP/1.1 {self.status} Odd", *(f"{name}: {value}" for name, value in self.headers), "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True)
class OddJSON:
    """An answer whose JSON is changed."""

    change: Change

    def of(self, reply: Reply) -> Reply:
        """Return a changed answer."""
        try:
            body = json.dumps(self.change.of(json.loads(reply.body))).encode()
        except (ValueError, RecursionError):  # of files, and too deep
            body = b"odd"
        return _with_body(reply, body)


@dataclass(frozen=True)
class OddBytes:
    """An answer with another body, status or header."""

    body: bytes | None = None
    status: int | None = None
    header: tuple[str, str] | None = None

    def of(self, reply: Reply) -> Reply:
        """Return a changed answer."""
        if self.body is not None:
            reply = _with_body(reply, self.body)
        headers = reply.headers
        if self.header is not None:
            name = self.header[0].lower()
            headers = (*(one for one in headers if one[0].lower() != name), self.header)
        return replace(reply, status=self.status or reply.status, headers=headers)


def _with_body(reply: Reply, body: bytes) -> Reply:
    kept = tuple(one for one in reply.headers if one[0].lower() != "content-length")
    return replace(reply, headers=(*kept, ("Content-Length", str(len(body)))), body=body)


_BODIES = (
    None,
    b"",
    b"null",
    b"[]",
    b"7",
    b"{}",
    b"<p>sorry</p>",
    b"\xff\xfe\x00",
    b'{"a":' * 20_000,
    b"[" * 20_000,
    b'{"n": ' + b"9" * 5000 + b"}",
)
_STATUSES = (None, 199, 201, 202, 204, 206, 299, 301, 302, 304, 400, 401, 403, 404, 409, 410, 416, 418)
_LATER_STATUSES = (422, 429, 451, 500, 502, 503, 504, 599, 600, 999)
_HEADERS = (
    None,
    ("Content-Type", "text/html; charset=no-such"),
    ("Content-Length", "5"),
    ("Content-Length", "99999"),
    ("Content-Length", "x"),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br"),
    ("Transfer-Encoding", "chunked"),
    ("Location", "http://[::1"),
    ("Location", "x" * 70_000),
    ("Location", "mailto:a@b"),
    ("Location", "/"),
    ("Retry-After", "-5"),
    ("Retry-After", "9" * 5000),
    ("Retry-After", "Fri, 31 Dec 9999 23:59:59 -2359"),
    ("Date", "Fri, 99 Dec 99999 99:99:99 GMT"),
    ("ETag", "\udcff"),
    ("Content-Range", "bytes 9-1/x"),
    ("Content-MD5", "²"),
    ("Content-Disposition", 'attachment; filename="../../x"'),
    ("odd name", "x"),
)

#: Changes of an answer.
REPLIES: st.SearchStrategy[OddJSON | OddBytes] = st.one_of(
    st.builds(OddJSON, changes(JSON_VALUES)),
    st.builds(OddJSON, changes(JSON_VALUES)),
    st.builds(
        OddBytes,
        st.sampled_from(_BODIES),
        st.sampled_from(_STATUSES + _LATER_STATUSES),
        st.sampled_from(_HEADERS),
    ),
)
