"""One file's way from a link into a staging: resumed where it breaks, verified while it streams."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from planet_provider.exceptions import (
    ChecksumError,
    IncompleteTransferError,
    LinkExpiredError,
    UnexpectedResponseError,
)
from planet_provider.transfer.digests import (
    Checksum,
    Expected,
    Hash,
    Verified,
    new_hash,
)
from planet_provider.transfer.download.body import pieces
from planet_provider.transfer.download.hashing import BackgroundHasher
from planet_provider.transfer.download.headers import (
    content_length,
    content_range,
    has_end,
    strong_etag,
)
from planet_provider.transfer.download.pool import DownloadPool
from planet_provider.transfer.download.ranged import RangedDownload
from planet_provider.transfer.download.resolved_url import Location
from planet_provider.transfer.download.retry import (
    CutError,
    MisfitError,
    RetryPolicy,
    RetryState,
)
from planet_provider.transfer.download.sources import Link, Source
from planet_provider.transfer.progress import TransferProgress
from planet_provider.transfer.stores.base import Staging
from planet_provider.wording import file_size

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)

#: Bytes of a piece for which handing it to another thread costs less than hashing it.
_BEHIND_BYTES = 512 << 10


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A file that arrived whole.

    :param size: In bytes.
    :param checksum: Which digest was taken.
    :param digest: Its value.
    :param verified: What was compared.
    """

    size: int
    checksum: Checksum
    digest: str
    verified: Verified


class _WrongContentError(Exception):
    """The source's bytes are not those expected."""

    def __init__(self, problem: str, expected: object, got: object) -> None:
        super().__init__(f"expected {problem} {expected}, got {got}")
        self.details = {"problem": problem, "expected": expected, "got": got}


class Fetch:
    """Bring one file, whole.

    :param session: Sends the requests.
    :param source: Where the file is.
    :param staging: Where it goes; may hold the file's beginning.
    :param expected: What it has to be.
    :param checksum: The digest to take where there is a choice.
    :param watch: Counts the bytes, and stops.
    :param retry_policy: How often to try.
    :param pool: The threads that may help; by default none.
    """

    def __init__(
        self,
        session: PlanetSession,
        source: Source,
        staging: Staging,
        expected: Expected,
        *,
        checksum: Checksum,
        watch: TransferProgress,
        retry_policy: RetryPolicy | None = None,
        pool: DownloadPool | None = None,
    ) -> None:
        self._session = session
        self._source = source
        self._staging = staging
        self._expected = expected
        self._watch = watch
        self._retry_policy = retry_policy or RetryPolicy()
        known = expected.digest(checksum)
        self._checksum = checksum if known is None else known[0]
        self._digest = None if known is None else known[1]
        self._hash: Hash = new_hash(self._checksum)
        self._behind: BackgroundHasher | None = None
        self._total: int | None = None  # as the last answer tells it
        self._pool = pool
        self._plainly = False  # through one connection, and httpx

    def run(self) -> Fetched:
        """Bring the file into the staging; publishing it is the caller's.

        A wrong file is fetched afresh once.

        :raises ChecksumError: It was wrong again.
        :raises IncompleteTransferError: The body was cut too often at the same place.
        :raises LinkExpiredError: Renewed links are not valid either.
        :raises ContentChangedError: The source's answers don't fit together.
        """
        self._take_up()
        try:
            return self._verified()
        except _WrongContentError as wrong:
            log.warning("%s: %s; fetching it afresh.", self._source.name, wrong)
        self._restart()
        try:
            return self._verified()
        except _WrongContentError as wrong:
            self._restart()
            raise self._checksum_error(wrong) from None

    def _checksum_error(self, wrong: _WrongContentError) -> ChecksumError:
        name = self._source.name
        return ChecksumError(
            f"{name}: {wrong}, twice. Nothing was published. "
            "Try again later; if it stays, report it to Planet.",
            file=name,
            problems=[{"path": name, **wrong.details}],
        )

    def _verified(self) -> Fetched:
        self._bring()
        digest = self._hash.hexdigest()
        if self._digest is not None and digest != self._digest:
            raise _WrongContentError(self._checksum, self._digest, digest)
        verified: Verified = "length"
        if self._digest is not None:
            verified = self._checksum
        elif self._expected.size is not None:
            verified = "size"
        return Fetched(size=self._staging.position, checksum=self._checksum, digest=digest, verified=verified)

    def _take_up(self) -> None:
        if not self._staging.position:
            return
        log.info(
            "%s: going on after %s of an earlier try.", self._source.name, file_size(self._staging.position)
        )
        for chunk in self._staging.replay():
            self._hash.update(chunk)
            self._watch.moved(len(chunk), reused=True)

    def _restart(self) -> None:
        self._await_hash()
        self._plainly = True
        self._watch.dropped(self._staging.position)
        self._staging.reset()
        self._hash = new_hash(self._checksum)

    def _bring(self) -> None:
        """Read until the whole body is here, through cuts and expired links."""
        tries = RetryState(self._source.name, self._retry_policy, self._staging.position)
        while self._staging.position != self._expected.size:
            link = self._source.link()
            try:
                self._attempt(link)
            except LinkExpiredError:
                tries.expired()
                self._source.renew(link)
            except MisfitError as misfit:
                tries.misfit(misfit)
                self._restart()
            except (httpx.TransportError, CutError) as cut:
                self._watch.pause(tries.cut(cut, self._staging.position))
            else:
                return

    def _attempt(self, link: Link) -> None:
        """Read one body to its end.

        :raises httpx.TransportError: It was cut, or stalled.
        """
        if self._staging.position and not self._can_continue():
            self._restart()
        with self._session.open(
            link.url, rate_class=self._source.rate_class, headers=self._headers()
        ) as response:
            if self._accept(response):
                self._read(response, self._spread(response, link))
            self._check_end(response)

    def _read(self, response: httpx.Response, ranged: RangedDownload | None) -> None:
        with ExitStack() as shared:
            if ranged is not None and self._pool is not None:
                shared.enter_context(self._pool.sharing(ranged))
                shared.enter_context(ranged)
            try:
                self._read_alone(response, ranged)
            except httpx.TransportError:
                if ranged is None or not ranged.is_split:
                    raise
            finally:
                self._await_hash()
            if ranged is not None and ranged.is_split:
                response.close()
                ranged.finish()

    def _read_alone(self, response: httpx.Response, ranged: RangedDownload | None) -> None:
        """Read to the body's end, or to where another thread has begun to read."""
        directly = self._digest is not None and not self._plainly
        with nullcontext() if self._pool is None else self._pool.reading():
            for piece in pieces(response, past_httpx=directly, is_kept=lambda: self._behind is not None):
                if ranged is None:
                    self._take(piece)
                    continue
                allowed = ranged.reserve(len(piece))
                self._take(piece[:allowed])
                if allowed < len(piece) and ranged.is_split:
                    return
                if allowed < len(piece):
                    raise _WrongContentError("size", ranged.limit, f"more than {ranged.limit}")

    def _spread(self, response: httpx.Response, link: Link) -> RangedDownload | None:
        """Prepare to have others help, if the file is so large, and its parts can be told to be its parts."""
        pool, staging = self._pool, self._staging
        size = self._total if self._expected.size is None else self._expected.size
        if pool is None or self._plainly or pool.connections < 2 or size is None:
            return None
        if size - staging.position < pool.ranges.min_bytes or not self._can_continue():
            return None
        if response.headers.get("Accept-Ranges", "").lower() == "none":
            return None
        return RangedDownload(
            pool,
            name=self._source.name,
            location=Location(self._session, self._source, link.url, response, self._retry_policy),
            staging=staging,
            size=size,
            digest=self._hash,
            retry_policy=self._retry_policy,
        )

    def _can_continue(self) -> bool:
        # Without an ETag the pieces may be of different files: only a digest would show it.
        return self._staging.validator is not None or self._digest is not None

    def _headers(self) -> Mapping[str, str]:
        position, validator = self._staging.position, self._staging.validator
        headers = {"Range": f"bytes={position}-"} if position else {}
        if position and validator is not None:
            headers["If-Range"] = validator
        return headers

    def _accept(self, response: httpx.Response) -> bool:
        """Look at an answer's headers.

        :return: Whether its body belongs here.
        """
        if response.headers.get("Content-Encoding", "identity").lower() not in {"", "identity"}:
            raise UnexpectedResponseError(
                f"{self._source.name}: the server compresses what was asked for as it is."
            )
        if response.status_code == 200:
            self._accept_whole(response)
            return True
        piece = content_range(response.headers)
        if response.status_code == 206 and piece is not None and piece.start == self._staging.position:
            self._accept_piece(response, piece.total)
            return True
        if response.status_code == 416 and piece is not None and piece.total == self._staging.position:
            self._check_size(piece.total)
            self._total = piece.total
            return False
        raise MisfitError(f"answer {response.status_code} to bytes from {self._staging.position}")

    def _accept_whole(self, response: httpx.Response) -> None:
        if self._staging.position:
            log.info("%s: the server sends the whole file again.", self._source.name)
            self._restart()
        self._total = content_length(response.headers)
        self._check_size(self._total)
        self._staging.remember(strong_etag(response.headers))

    def _accept_piece(self, response: httpx.Response, total: int | None) -> None:
        etag = strong_etag(response.headers)
        if self._staging.validator is not None and etag not in {None, self._staging.validator}:
            raise MisfitError("the file's ETag changed")
        if total is None and self._expected.size is None:
            raise MisfitError("a piece of a file of unknown size")
        self._check_size(total)
        self._total = total

    def _check_size(self, announced: int | None) -> None:
        size = self._expected.size
        if size is not None and announced is not None and announced != size:
            raise _WrongContentError("size", size, announced)

    def _take(self, piece: bytes | memoryview) -> None:
        size = self._expected.size
        if size is not None and self._staging.position + len(piece) > size:
            raise _WrongContentError("size", size, f"more than {size}")
        if self._pool is not None and len(piece) >= _BEHIND_BYTES and self._pool.has_idle_core():
            if self._behind is None:
                self._behind = BackgroundHasher(self._hash, self._pool.run)
            self._behind.put(piece)
        else:
            self._await_hash()
            self._hash.update(piece)
        with nullcontext() if self._pool is None else self._pool.writing():
            self._staging.write(piece)
        self._watch.moved(len(piece))

    def _await_hash(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.wait()

    def _check_end(self, response: httpx.Response) -> None:
        size = self._total if self._expected.size is None else self._expected.size
        if size is not None and self._staging.position > size:
            raise _WrongContentError("size", size, self._staging.position)
        if size is not None and self._staging.position < size:
            if response.status_code == 200 and has_end(response):
                raise _WrongContentError("size", size, self._staging.position)
            # A server may send less than the range it was asked for.
            raise CutError("the body ended early")
        if size is None and self._digest is None and not has_end(response):
            raise IncompleteTransferError(
                f"{self._source.name}: the server doesn't tell where the body ends, and Planet gives neither "
                "its size nor a digest: whether it is whole can't be known.",
                file=self._source.name,
            )
