"""Searches: quick and saved ones, and the pages of their results."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from planet_provider.sandbox.catalogue import Item
from planet_provider.sandbox.clock import rfc3339
from planet_provider.sandbox.errors import ApiError
from planet_provider.sandbox.signing import decode_json, encode_json

# Runs whose results are kept for their further pages; the oldest goes first.
_RUNS_KEPT = 256


@dataclass
class Search:
    """A search of a user's.

    :param request: Filter, item types, name and so on.
    :param quick: Whether it is a quick search rather than a saved one.
    """

    user_id: int
    request: Mapping[str, Any]
    created: datetime
    updated: datetime
    quick: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    last_executed: datetime | None = None

    def document(self, base_url: str) -> dict[str, Any]:
        """Return the search as the Data API shows it."""
        own = f"{base_url}/data/v1/searches/{self.id}"
        optional = {"geometry": self.request["geometry"]} if "geometry" in self.request else {}
        return {
            "__daily_email_enabled": bool(self.request.get("__daily_email_enabled", False)),
            "_links": {"_self": own, "results": f"{own}/results"},
            "created": rfc3339(self.created),
            "filter": self.request["filter"],
            "id": self.id,
            "item_types": list(self.request["item_types"]),
            "last_executed": rfc3339(self.last_executed) if self.last_executed else None,
            "name": self.request.get("name") or self.id,
            "search_type": "quick" if self.quick else "saved",
            "updated": rfc3339(self.updated),
            **optional,
        }


@dataclass(frozen=True)
class Cursor:
    """Where a page of results starts.

    :param run: Which results.
    :param offset: Index of its first item.
    :param number: Number of the page, from 1.
    """

    run: str
    offset: int = 0
    number: int = 1

    def token(self) -> str:
        """Return the value of ``_page``."""
        return encode_json([self.run, self.offset, self.number])

    @classmethod
    def from_token(cls, token: str) -> Cursor:
        """Return the cursor of a ``_page``.

        :raises ValueError: No such token was ever given out.
        """
        run, offset, number = decode_json(token)
        if not (isinstance(run, str) and isinstance(offset, int) and isinstance(number, int) and offset >= 0):
            raise ValueError(f"{token!r} is no page")
        return cls(run, offset, number)


class SearchDesk:
    """Searches by id, and the results of the latest runs. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every search."""
        with self._lock:
            self._searches: dict[str, Search] = {}
            self._runs: OrderedDict[str, Sequence[Item]] = OrderedDict()

    def add(self, search: Search) -> Search:
        """Keep a search."""
        with self._lock:
            self._searches[search.id] = search
        return search

    def get(self, search_id: str, user_id: int) -> Search:
        """Return a search.

        :raises ApiError: 404.
        """
        # A UUID may be written with or without hyphens.
        search = self._searches.get(search_id.replace("-", ""))
        if search is None or search.user_id != user_id:
            raise ApiError(404, {"message": f"Search {search_id} does not exist", "errors": []})
        return search

    def of(self, user_id: int) -> list[Search]:
        """Return a user's searches, oldest first."""
        with self._lock:
            return [search for search in self._searches.values() if search.user_id == user_id]

    def delete(self, search: Search) -> None:
        """Forget a search."""
        with self._lock:
            self._searches.pop(search.id, None)

    def keep(self, items: Sequence[Item]) -> str:
        """Keep the results of a run for its further pages; return the run's id."""
        run = uuid.uuid4().hex
        with self._lock:
            self._runs[run] = items
            while len(self._runs) > _RUNS_KEPT:
                self._runs.popitem(last=False)
        return run

    def results(self, run: str) -> Sequence[Item]:
        """Return the results of a run.

        :raises ApiError: 404: they are kept no longer.
        """
        try:
            return self._runs[run]
        except KeyError:
            raise ApiError(404, {"message": "This page does not exist any more", "errors": []}) from None
