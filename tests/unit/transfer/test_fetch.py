"""Whatever a server does to a file, what comes out is the file or an error. Properties, without sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planet_provider.exceptions import (
    ContentChangedError,
    IncompleteTransferError,
    LinkExpiredError,
    PlanetError,
)
from planet_provider.transfer.digests import Expected
from planet_provider.transfer.download.retry import RetryPolicy
from planet_provider.transfer.download.single import Fetch, Fetched
from planet_provider.transfer.download.sources import Link
from planet_provider.transfer.progress import TransferProgress
from planet_provider.transfer.stores.memory import MemoryStaging

VERSIONS = (b"The quick brown fox jumps over the lazy dog", b"THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG")
SIZE = len(VERSIONS[0])


@dataclass(frozen=True)
class Answer:
    """How a server answers one request.

    :param version: Which content it holds by then.
    :param cut: Bytes after which the body breaks.
    :param silent: Whether the break looks like an end, as without Content-Length.
    """

    version: int = 0
    cut: int | None = None
    silent: bool = False
    length: bool = True
    etag: str = "strong"
    ranges: bool = True
    checks_if_range: bool = True
    off_by: int = 0
    short_by: int = 0
    excess: int = 0
    total: bool = True
    flip: int | None = None
    expired: bool = False

    @property
    def validator(self) -> str | None:
        return {"strong": f'"v{self.version}"', "weak": f'W/"v{self.version}"', "none": None}[self.etag]


class Body(httpx.SyncByteStream):
    def __init__(self, content: bytes, answer: Answer) -> None:
        self._content = content
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        end = len(self._content) if self._answer.cut is None else self._answer.cut
        for start in range(0, min(end, len(self._content)), 7):
            yield self._content[start : min(start + 7, end)]
        if self._answer.cut is not None and not self._answer.silent:
            raise httpx.ReadError("cut")


@dataclass
class Server:
    """Stands for the session; answers as it is told, and at last well."""

    answers: list[Answer]
    last: Answer = field(default_factory=Answer)
    asked: list[Mapping[str, str]] = field(default_factory=list)

    @contextmanager
    def open(self, url: str, *, rate_class: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        self.asked.append(headers)
        answer = self.answers.pop(0) if self.answers else self.last
        if answer.expired:
            raise LinkExpiredError("expired")
        yield _response(answer, headers)


def _response(answer: Answer, asked: Mapping[str, str]) -> httpx.Response:
    content = VERSIONS[answer.version]
    headers = {} if answer.validator is None else {"ETag": answer.validator}
    status, start = 200, 0
    current = asked.get("If-Range") in {None, answer.validator} or not answer.checks_if_range
    if "Range" in asked and answer.ranges and current:
        start = int(asked["Range"].removeprefix("bytes=").removesuffix("-"))
        if start >= SIZE:
            return httpx.Response(416, headers={"Content-Range": f"bytes */{SIZE}"})
        status = 206
        start = max(0, start + answer.off_by)
        end = max(start + 1, SIZE - answer.short_by)
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{SIZE if answer.total else '*'}"
        content = content[:end]
    piece = bytearray(content[start:]) + bytes(answer.excess)
    if answer.flip is not None and piece:
        piece[answer.flip % len(piece)] ^= 1
    if answer.length and not answer.silent:
        headers["Content-Length"] = str(len(piece))
    elif not answer.silent:
        headers["Transfer-Encoding"] = "chunked"
    return httpx.Response(status, headers=headers, stream=Body(bytes(piece), answer))


class Origin:
    """A source whose link can always be renewed."""

    name = "a.tif"
    rate_class = "orders.download"
    renewed = 0

    def link(self) -> Link:
        return Link("https://storage.invalid/a.tif", self.renewed)

    def renew(self, expired: Link) -> None:
        self.renewed += 1


def fetch(server: Server, expected: Expected, staging: MemoryStaging | None = None) -> tuple[Fetched, bytes]:
    staging = staging or MemoryStaging("a.tif", 1000)
    session: Any = server
    fetched = Fetch(
        session,
        Origin(),
        staging,
        expected,
        checksum="sha256",
        watch=TransferProgress(),
        retry_policy=RetryPolicy(pause_seconds=0.0),
    ).run()
    return fetched, bytes(staging.content)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


KNOWN = Expected(SIZE, None, digest(VERSIONS[0]))
HONEST = st.builds(
    Answer,
    version=st.integers(0, 1),
    cut=st.none() | st.integers(0, SIZE),
    length=st.booleans(),
    ranges=st.booleans(),
    short_by=st.sampled_from([0, 0, 5, 20]),
    total=st.booleans(),
    expired=st.booleans(),
)
ANY = st.builds(
    Answer,
    version=st.integers(0, 1),
    cut=st.none() | st.integers(0, SIZE),
    silent=st.booleans(),
    length=st.booleans(),
    etag=st.sampled_from(["strong", "weak", "none"]),
    ranges=st.booleans(),
    checks_if_range=st.booleans(),
    off_by=st.sampled_from([0, 0, 0, -3, 3]),
    short_by=st.sampled_from([0, 0, 5, 20]),
    total=st.booleans(),
    flip=st.none() | st.integers(0, SIZE),
    expired=st.booleans(),
)


@given(st.lists(ANY, max_size=12))
def test_with_a_digest_the_file_is_right_or_there_is_an_error(answers: list[Answer]) -> None:
    try:
        fetched, content = fetch(Server(answers), KNOWN)
    except PlanetError:
        return
    assert content == VERSIONS[0]
    assert (fetched.size, fetched.digest, fetched.verified) == (SIZE, KNOWN.sha256, "sha256")


@given(st.lists(HONEST, max_size=12), st.sampled_from([Expected(), Expected(SIZE)]))
def test_without_a_digest_versions_are_never_mixed(answers: list[Answer], expected: Expected) -> None:
    try:
        fetched, content = fetch(Server(answers), expected)
    except PlanetError:
        return
    assert content in VERSIONS
    assert fetched.digest == digest(content)
    assert fetched.verified == ("length" if expected.size is None else "size")


@given(st.lists(st.integers(1, SIZE - 1), max_size=20))
def test_each_byte_comes_once_through_any_cuts_that_get_further(cuts: list[int]) -> None:
    server = Server([Answer(cut=cut) for cut in cuts])
    _, content = fetch(server, KNOWN)
    assert content == VERSIONS[0]
    held = 0
    for headers, cut in zip(server.asked, cuts, strict=False):
        assert headers.get("Range") == (f"bytes={held}-" if held else None)
        assert headers.get("If-Range") == ('"v0"' if held else None)
        held += cut


@given(st.integers(0, SIZE), st.binary(max_size=SIZE))
def test_what_an_earlier_try_left_is_used_only_if_it_is_right(position: int, other: bytes) -> None:
    for held in (VERSIONS[0][:position], other):
        staging = MemoryStaging("a.tif", 1000)
        staging.write(held)
        staging.remember('"v0"')
        _, content = fetch(Server([]), KNOWN, staging)
        assert content == VERSIONS[0]


def test_a_whole_part_needs_no_request() -> None:
    staging = MemoryStaging("a.tif", 1000)
    staging.write(VERSIONS[0])
    server = Server([])
    fetch(server, KNOWN, staging)
    assert server.asked == []


def test_an_empty_file_needs_no_request() -> None:
    server = Server([])
    fetched, content = fetch(server, Expected(0, None, digest(b"")))
    assert (content, fetched.verified, server.asked) == (b"", "sha256", [])


def test_an_end_that_cannot_be_told_from_a_cut_is_not_believed() -> None:
    with pytest.raises(IncompleteTransferError, match="whether it is whole can't be known"):
        fetch(Server([Answer(cut=10, silent=True)]), Expected())


def test_a_silent_cut_is_continued_where_the_size_is_known() -> None:
    server = Server([Answer(cut=10, silent=True)])
    _, content = fetch(server, KNOWN)
    assert content == VERSIONS[0]
    assert server.asked[1]["Range"] == "bytes=10-"


def test_pieces_without_validator_are_joined_only_under_a_digest() -> None:
    for etag in ("weak", "none"):
        server = Server([Answer(cut=10, etag=etag)])
        fetch(server, Expected(SIZE))
        assert server.asked[1] == {}
        server = Server([Answer(cut=10, etag=etag)])
        fetch(server, KNOWN)
        assert server.asked[1] == {"Range": "bytes=10-"}


def test_a_server_that_ignores_if_range_is_found_out_by_its_etag() -> None:
    server = Server([Answer(cut=10)], last=Answer(version=1, checks_if_range=False))
    _, content = fetch(server, Expected(SIZE))
    assert content == VERSIONS[1]


@pytest.mark.parametrize("off_by", [-3, 3])
def test_a_piece_from_elsewhere_is_not_joined(off_by: int) -> None:
    server = Server([Answer(cut=10), Answer(off_by=off_by)])
    _, content = fetch(server, Expected())
    assert content == VERSIONS[0]
    assert server.asked[2] == {}


@pytest.mark.parametrize("expected", [KNOWN, Expected(SIZE), Expected()])
def test_a_piece_shorter_than_asked_for_is_continued(expected: Expected) -> None:
    server = Server([Answer(cut=10), Answer(short_by=20)])
    _, content = fetch(server, expected)
    assert content == VERSIONS[0]
    assert [headers.get("Range") for headers in server.asked] == [None, "bytes=10-", f"bytes={SIZE - 20}-"]


def test_a_body_with_more_than_its_headers_told_is_fetched_afresh() -> None:
    server = Server([Answer(cut=10), Answer(length=False, excess=3)])
    fetched, content = fetch(server, Expected())
    assert (content, fetched.size) == (VERSIONS[0], SIZE)
    assert server.asked[2] == {}


def test_a_piece_of_a_file_of_unknown_size_is_not_joined() -> None:
    server = Server([Answer(cut=10, length=False), Answer(total=False)])
    _, content = fetch(server, Expected())
    assert content == VERSIONS[0]
    assert server.asked[2] == {}


def test_a_body_that_was_cut_after_its_last_byte_is_whole() -> None:
    server = Server([Answer(cut=SIZE, length=False)])
    fetched, content = fetch(server, Expected())
    assert (content, fetched.verified) == (VERSIONS[0], "length")
    assert server.asked[1]["Range"] == f"bytes={SIZE}-"


def test_a_source_whose_answers_never_fit_is_given_up() -> None:
    server = Server([Answer(cut=10), Answer(off_by=3)] * 4)
    with pytest.raises(ContentChangedError, match="4 times") as caught:
        fetch(server, KNOWN)
    assert caught.value.file == "a.tif"


def test_progress_counts_what_is_here_and_not_what_was_thrown_away() -> None:
    watch = TransferProgress(1, SIZE)
    staging = MemoryStaging("a.tif", 1000)
    session: Any = Server([Answer(cut=10), Answer(ranges=False, cut=20), Answer(flip=3)])
    Fetch(
        session,
        Origin(),
        staging,
        KNOWN,
        checksum="sha256",
        watch=watch,
        retry_policy=RetryPolicy(pause_seconds=0.0),
    ).run()
    assert watch.progress().bytes_done == SIZE


def test_a_compressed_body_is_refused() -> None:
    class Compressing(Server):
        @contextmanager
        def open(self, url: str, *, rate_class: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
            with super().open(url, rate_class=rate_class, headers=headers) as response:
                response.headers["Content-Encoding"] = "gzip"
                yield response

    with pytest.raises(PlanetError, match="compresses"):
        fetch(Compressing([]), KNOWN)
