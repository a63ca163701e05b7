"""Where a file's link leads to, found once and shared by all who read parts of the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from planet_provider.exceptions import LinkExpiredError
from planet_provider.redact import origin
from planet_provider.transfer.download.retry import RetryPolicy, RetryState
from planet_provider.transfer.download.sources import Source

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession


@dataclass(frozen=True)
class ResolvedUrl:
    url: str
    rate_class: str | None

    def __repr__(self) -> str:
        return f"_Place(rate_class={self.rate_class!r})"


class Location:
    """Where a file's link leads to. Only the way there counts for Planet's rate limit; storage's own URL doesn't.

    :param session: Sends the requests.
    :param source: Gives the link.
    :param link_url: The link.
    :param answer: To a request for it.
    :param retry_policy: How often links are renewed.
    """

    def __init__(
        self,
        session: PlanetSession,
        source: Source,
        link_url: str,
        answer: httpx.Response,
        retry_policy: RetryPolicy,
    ) -> None:
        self._session = session
        self._source = source
        self._retry_policy = retry_policy
        self._lock = threading.Lock()
        self._place = self._place_of(link_url, answer)

    @contextmanager
    def open(self, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Ask for some of the file. Where its URL has expired, one thread finds the new one for all.

        :raises LinkExpiredError: Renewed links are not valid either.
        """
        with ExitStack() as opened:
            response = None
            while response is None:
                place = self._place
                try:
                    response = opened.enter_context(
                        self._session.open(place.url, rate_class=place.rate_class, headers=headers)
                    )
                except LinkExpiredError:
                    response = self._found_anew(place, headers, opened)
            yield response

    def _found_anew(
        self, expired: ResolvedUrl, headers: Mapping[str, str], opened: ExitStack
    ) -> httpx.Response | None:
        """Go by the link again.

        :return: ``None`` if another thread has found the new URL meanwhile.
        """
        tries = RetryState(self._source.name, self._retry_policy, 0)
        with self._lock:
            while self._place is expired:
                link = self._source.link()
                try:
                    response = opened.enter_context(
                        self._session.open(link.url, rate_class=self._source.rate_class, headers=headers)
                    )
                except LinkExpiredError:
                    tries.expired()
                    self._source.renew(link)
                else:
                    self._place = self._place_of(link.url, response)
                    return response
        return None

    def _place_of(self, link_url: str, answer: httpx.Response) -> ResolvedUrl:
        url = str(answer.url)
        return ResolvedUrl(url, self._source.rate_class if origin(url) == origin(link_url) else None)
