"""Following the next links of a list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from planet_provider.client.call import Call
from planet_provider.client.responses import not_understood
from planet_provider.exceptions import PagingCycleError

T = TypeVar("T")


class Pages:
    """Follow next links, past empty pages, and refuse to go round in circles.

    :param call: The call for the first page.
    """

    def __init__(self, call: Call[Any]) -> None:
        self._first = call
        self._seen: set[str] = set()

    def after(self, call: Call[T], body: Any) -> Call[T] | None:
        """Return the call for the next page, or ``None`` after the last.

        :param call: The call for the present page.
        :param body: Its decoded body.
        :raises PagingCycleError: The next link was already followed.
        :raises UnexpectedResponseError: The body's links cannot be understood.
        """
        try:
            link = call.next_page(body) if call.next_page is not None else None
        except (KeyError, TypeError, ValueError) as error:
            raise not_understood(self._first.label, error) from None
        if link is None:
            return None
        if link in self._seen:
            raise PagingCycleError(
                f"{self._first.label}: the next link of page {len(self._seen) + 1} was already followed: "
                "the pages go round in a circle. Try again later; if it stays so, report it to Planet."
            )
        self._seen.add(link)
        return replace(call, method="GET", path=link, params=(), json=None)
