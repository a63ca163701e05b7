"""Following the next links of a list."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from planet_provider.client.call import Call
from planet_provider.client.http.responses import MALFORMED, not_understood
from planet_provider.exceptions import PagingCycleError, UnexpectedResponseError
from planet_provider.wording import counted

T = TypeVar("T")


#: Seconds that a list's requests may take in all: ten thousand pages of a search take a few hours.
MAX_LIST_SECONDS = 6 * 3600.0

#: Seconds of that for each page that there may be, the queue of the rate limit included.
_PAGE_SECONDS = 60.0


class Pages:
    """Follow next links, past empty pages, and refuse to go round in circles or on without end.

    :param call: The call for the first page.
    :param most: Pages after which the list is taken for endless.
    """

    def __init__(self, call: Call[Any], most: int) -> None:
        self._first = call
        self._most = most
        self._most_seconds = min(MAX_LIST_SECONDS, most * _PAGE_SECONDS)
        self._seen: set[int] = set()
        self._seconds = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count the seconds of a request."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += time.monotonic() - started

    def after(self, call: Call[T], body: Any) -> Call[T] | None:
        """Return the call for the next page, or ``None`` after the last.

        :param call: The call for the present page.
        :param body: Its decoded body.
        :raises PagingCycleError: The next link was already followed.
        :raises UnexpectedResponseError: The body's links cannot be understood, or there are too many pages, or
            they take too long.
        """
        try:
            link = call.next_page(body) if call.next_page is not None else None
        except MALFORMED as error:
            raise not_understood(self._first.label, error) from None
        if link is None:
            return None
        # A hash each: a link may have some thousand characters.
        if hash(link) in self._seen:
            raise PagingCycleError(
                f"{self._first.label}: the next link of page {len(self._seen) + 1} was already followed: "
                "the pages go round in a circle. Try again later; if it stays so, report it to Planet."
            )
        self._seen.add(hash(link))
        if len(self._seen) >= self._most or self._seconds > self._most_seconds:
            raise UnexpectedResponseError(
                f"{self._first.label}: {counted(len(self._seen), 'page')}, which took {self._seconds:.0f} s, and "
                "no end. Ask for less, such as a shorter time; for really so many raise the connection's extra "
                "max_pages."
            )
        return replace(call, method="GET", path=link, params=(), json=None)
