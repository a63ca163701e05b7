"""Saved searches by name: made once, brought up to date, never doubled by a repetition.

Planet keeps any number of saved searches of one name, and gives each an id. Here a name stands for one search:
the oldest that has it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from planet_provider.builders import checks
from planet_provider.client.api import data
from planet_provider.client.call import Call
from planet_provider.client.parse import JSONObject
from planet_provider.coordination.locks import open_locks
from planet_provider.exceptions import (
    NotFoundError,
    PlanetError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from planet_provider.client.http.session import PlanetSession

log = logging.getLogger(__name__)

#: Longest wait, in seconds, for another task that saves a search of the same name.
LOCK_TIMEOUT_SECONDS = 120.0

#: Pages of an account's saved searches: 100,000 of them. A list without end must not hold the lock for ever.
_MOST_PAGES = 400

Action = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True)
class SavedSearch:
    """A saved search that is as it was asked for.

    :param search: As Planet describes it.
    :param action: What that took.
    """

    search: JSONObject
    action: Action

    @property
    def id(self) -> str:
        """Planet's id of it."""
        return str(self.search["id"])


def find_searches(session: PlanetSession, name: str) -> list[JSONObject]:
    """Return the saved searches of a name, the oldest first."""
    call = data.list_searches(search_type="saved", sort="created asc")
    listed = chain.from_iterable(session.pages(call, most=_MOST_PAGES))
    return [search for search in listed if search.get("name") == name]


def save_search(
    session: PlanetSession,
    name: str,
    item_types: Iterable[str],
    search_filter: Mapping[str, Any],
    *,
    geometry: Mapping[str, Any] | None = None,
    enable_email: bool = False,
) -> SavedSearch:
    """Save a search under a name, or bring the one of that name up to date.

    A repetition finds what the first time made, also where its answer was lost. Tasks that save the same name
    at the same time take turns, by a lock where the rate limit's state is kept.

    :param name: The search's name.
    :param item_types: At least one, e.g. ``["PSScene"]``.
    :param search_filter: As :mod:`planet_provider.builders.filters` builds it.
    :param geometry: Area of interest beside the filter, GeoJSON or feature reference.
    :param enable_email: Have Planet mail new results daily.
    :raises LockTimeoutError: Somebody else saved a search of that name all the time.
    """
    wanted = _Wanted(
        checks.text(name, "name"),
        checks.item_types(item_types),
        checks.mapping(search_filter, "search_filter"),
        geometry,
        checks.flag(enable_email, "enable_email"),
    )
    config = session.config
    locks = open_locks(config.coordination_store, config.coordination_fallback)
    key = hashlib.sha256(f"{config.base_url} {config.account} {name}".encode()).hexdigest()
    with locks.hold(f"planet-search-{key}", LOCK_TIMEOUT_SECONDS):
        for search in _present(session, wanted.name):
            if wanted.agrees(search):
                return SavedSearch(search, "unchanged")
            try:
                return SavedSearch(session.send(wanted.update(str(search["id"]))), "updated")
            except NotFoundError:
                log.info("Saved search %s has gone meanwhile.", search["id"])
        return SavedSearch(_created(session, wanted), "created")


@dataclass(frozen=True)
class _Wanted:
    name: str
    item_types: list[str]
    search_filter: Mapping[str, Any]
    geometry: Mapping[str, Any] | None
    enable_email: bool

    def create(self) -> Call[JSONObject]:
        return data.create_search(
            self.name,
            self.item_types,
            self.search_filter,
            geometry=self.geometry,
            enable_email=self.enable_email,
        )

    def update(self, search_id: str) -> Call[JSONObject]:
        return data.update_search(
            search_id,
            self.name,
            self.item_types,
            self.search_filter,
            geometry=self.geometry,
            enable_email=self.enable_email,
        )

    def agrees(self, search: Mapping[str, Any]) -> bool:
        """Tell whether Planet's search is this one. Where Planet writes it otherwise, it is updated: no harm."""
        return (
            search.get("item_types") == self.item_types
            and search.get("filter") == checks.plain(self.search_filter)
            and search.get("geometry") == (None if self.geometry is None else checks.plain(self.geometry))
            and bool(search.get("__daily_email_enabled", False)) == self.enable_email
        )


def _present(session: PlanetSession, name: str) -> Iterator[JSONObject]:
    found = find_searches(session, name)
    if len(found) > 1:
        others = ", ".join(str(search["id"]) for search in found[1:])
        log.warning(
            "%d saved searches are named %r; the oldest is used. Delete or rename the others: %s",
            *(len(found), name, others),
        )
    yield from found


def _created(session: PlanetSession, wanted: _Wanted) -> JSONObject:
    try:
        return session.send(wanted.create())
    except (TransportError, ServerError) as error:
        # It may have been saved all the same; a search of that name was not there before.
        made = _made(session, wanted.name)
        if made is None:
            raise
        log.info("The search was saved, although: %s", error)
        return made


def _made(session: PlanetSession, name: str) -> JSONObject | None:
    try:
        return next(iter(find_searches(session, name)), None)
    except PlanetError as error:
        log.warning("The saved searches can't be listed: %s", error)
        return None
