"""Watching Planet's catalogue in the triggerer: new imagery starts a DAG."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from planet_provider.builders import checks, filters
from planet_provider.builders import geometry as geometries
from planet_provider.client.api import data
from planet_provider.client.config import PlanetConfig
from planet_provider.exceptions import ConfigurationError, InvalidInputError, PlanetError
from planet_provider.hooks import DEFAULT_CONN_ID
from planet_provider.hooks.planet import PlanetHook
from planet_provider.redact import redact_text
from planet_provider.triggers.imagery_state import ImageryState, moment, stamp
from planet_provider.triggers.session import bounded_pages, open_session
from planet_provider.wording import counted

# Not the trigger's own: a watch belongs to no task, and has no task's log.
log = logging.getLogger(__name__)

#: Items that an event may hold: 2,000 ids are some 50 kB in the metadata database.
MAX_EVENT_ITEMS = 2000

#: Seconds until an event is sure to be in the metadata database: the triggerer hands on what was yielded about
#: every second. What was told of is kept only then, so a triggerer that is killed before tells of it again.
SETTLE_SECONDS = 10.0

#: First wait after a look that failed; doubled each time, up to the interval, or to the longest if that is more.
FIRST_BACKOFF_SECONDS = 15.0
LONGEST_BACKOFF_SECONDS = 120.0

#: Wait where only somebody can fix it, e.g. a refused credential; the interval if that is more.
REFUSED_SECONDS = 900.0

#: One look needs no long retries: the next look comes anyway.
_LOOK_ATTEMPTS = 2
_LOOK_RETRY_SECONDS = 30.0

#: Days that no item is older than: the first satellite flew in 1957.
_CENTURY_DAYS = 36_525

#: Small pages, so that none holds up the event loop while it is parsed.
_PAGE_SIZE = 100


class PlanetImageryTrigger(BaseEventTrigger):
    """Tell of items as Planet publishes them, for an :class:`~airflow.sdk.AssetWatcher`.

    Looks for items that were published after the latest it told of, and yields an event for each batch of one
    item type. Its payload ``{"item_type", "item_ids", "published_from", "published_to", "count"}`` is a batch
    for ``PlanetCreateOrderOperator.partial().expand(items=...)``; Airflow puts it into the asset event's
    ``extra["payload"]``. It never ends: errors are waited out, and logged once for each outage.

    On Airflow 3.3 and newer, what was told of is kept in the asset's state store, and survives a restart.
    Each item is told of at least once; an event of which it isn't sure that it arrived is repeated as it was,
    so that an order of it is found again. Before 3.3 every start of the trigger, in a restarted triggerer
    too, begins at ``published_since``, or else at that moment.

    Another ``item_types``, ``search_filter``, ``geometry``, ``published_since`` or ``planet_conn_id`` makes
    another watch, which starts over; the other parameters don't.

    Constructing it checks nothing, since an error there would end a whole triggerer. Parameters are checked
    when Airflow serializes the DAG, and an error is the DAG's import error.

    :param item_types: e.g. ``["PSScene"]``.
    :param search_filter: Filter of the Data API, as :mod:`planet_provider.builders.filters` builds it.
    :param geometry: Area of interest, as :func:`planet_provider.builders.geometry.geometry` takes it. A file is
        read where the DAG is parsed.
    :param planet_conn_id: Airflow connection of type ``planet``.
    :param poke_interval: Seconds between two looks; > 0. Each is one request at least.
    :param published_since: Begin with what was published at this time or later: an aware datetime, or RFC 3339
        text with an offset. Default: when the watch begins, by the triggerer's clock.
    :param max_items: Items in an event, at most; 1 to 2,000. Planet takes 500 in an order.
    :param overlap: Seconds that each look goes back behind the latest item it told of; >= 0. What the
        search comes to know of, or what matches, later than that is missed.
    :param max_age_days: Leave out items acquired more days than this before the look; > 0. Default: all. Archives
        are reprocessed, and years of items then come as new.
    :param unknown: Arguments that this version doesn't know. A DAG is refused with them; a triggerer ignores
        them, as the DAG may have been serialized by a newer version.
    """

    def __init__(
        self,
        *,
        item_types: Sequence[str] | str,
        search_filter: Mapping[str, Any] | str | None = None,
        geometry: Any = None,
        planet_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: float = 600.0,
        published_since: datetime | str | None = None,
        max_items: int = checks.MAX_ORDER_ITEMS,
        overlap: float = 3600.0,
        max_age_days: float | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.item_types = item_types
        self.search_filter = search_filter
        self.geometry = geometry
        self.planet_conn_id = planet_conn_id
        self.poke_interval = poke_interval
        self.published_since = published_since
        self.max_items = max_items
        self.overlap = overlap
        self.max_age_days = max_age_days
        self._unknown = sorted(unknown)
        self._odd: set[str] = set()
        self._state: ImageryState | None = None
        self._unsaved = False
        self._failures = 0
        self._refused = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and the checked arguments to make this trigger again.

        Objects are JSON text with sorted keys: equal triggers are equal text, which no version of Airflow wraps.

        :raises InvalidInputError: A parameter is malformed; the message names it.
        """
        if self._unknown:
            raise InvalidInputError(self._unknown[0], "…", "PlanetImageryTrigger has no such parameter.")
        return self._serialized()

    def _serialized(self) -> tuple[str, dict[str, Any]]:
        kind = type(self)
        return f"{kind.__module__}.{kind.__qualname__}", self._subject() | {
            "poke_interval": checks.seconds(self.poke_interval, "poke_interval"),
            "max_items": self._most(),
            "overlap": self._overlap().total_seconds(),
            "max_age_days": None if (age := self._age()) is None else age / timedelta(days=1),
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each batch of new items, for ever."""
        while True:
            failed = not await self._attempt()
            state = self._state
            if failed or state is None:
                await asyncio.sleep(self._backoff())
            elif not state.pending:
                await asyncio.sleep(self.poke_interval * random.uniform(0.9, 1.0))
            else:
                for batch in state.pending:
                    log.info(
                        "%s, published %s to %s.",
                        counted(batch["count"], f"new {batch['item_type']} item"),
                        batch["published_from"],
                        batch["published_to"],
                    )
                    yield TriggerEvent(dict(batch))  # type: ignore[no-untyped-call]
                if self._stores():
                    await asyncio.sleep(SETTLE_SECONDS)
                state.told(self._overlap())
                self._unsaved = True

    async def _attempt(self) -> bool:
        """Look once, unless there is something to tell of yet.

        :return: Whether that worked, and is kept.
        """
        try:
            if self._state is None:
                self._state = await self._load()
            await self._save()
            if not self._state.pending:
                self._state.pending = await self._look(self._state)
                self._unsaved = bool(self._state.pending)
                await self._save()
        except Exception as error:
            # Whatever it is: a trigger that ends is started again at once, and fails again at once.
            self._failed(error)
            return False
        self._answered()
        return True

    async def _look(self, state: ImageryState) -> list[dict[str, Any]]:
        """Search for what was not told of yet, the earliest published first.

        :return: Batches, of ``max_items`` items together at most.
        """
        most = self._most()
        known = state.known()
        next_update: dict[str, dict[str, datetime]] = {}
        count = 0
        config = await self._config()
        call = data.watched_search(
            checks.item_types(self.item_types),
            sort="published asc",
            page_size=_PAGE_SIZE,
            **filters.criteria(
                self.search_filter,
                self.geometry,
                None if (age := self._age()) is None else datetime.now(timezone.utc) - age,
                published_start=state.begin(self._overlap()),
                max_vertices=config.max_vertices,
            ),
        )
        async with (
            await open_session(config) as session,
            aclosing(bounded_pages(cast("AsyncGenerator[list[Any], None]", session.pages(call)))) as pages,
        ):
            async for page in pages:
                for item_type, item_id, at in filter(None, map(self._understood, page)):
                    if (item_type, item_id) not in known and count < most:
                        known.add((item_type, item_id))
                        next_update.setdefault(item_type, {})[item_id] = at
                        count += 1
                state.server_time = session.server_time
                if count >= most:
                    break
        return [_batch(item_type, items) for item_type, items in next_update.items()]

    def _understood(self, item: Any) -> tuple[str, str, datetime] | None:
        """Return an item's type, id and time of publication; ``None`` if it has none."""
        try:
            properties, item_id = item["properties"], item["id"]
            found = checks.item_type(properties["item_type"]), checks.item_id(item_id)
            return *found, moment(properties["published"])
        except (PlanetError, KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            item_id = redact_text(str(item.get("id") if isinstance(item, dict) else item))[:100]
            if item_id not in self._odd:
                self._odd.add(item_id)
                log.warning(
                    "%s skips the item %s, because the answer about it can't be understood: %s: %s",
                    self._name,
                    item_id,
                    type(error).__name__,
                    redact_text(str(error))[:200],
                )
            return None

    async def _config(self) -> PlanetConfig:
        # Read for each look: a credential that was refused may have been replaced.
        config = await PlanetHook(self.planet_conn_id).async_config()
        return replace(
            config,
            max_attempts=min(config.max_attempts, _LOOK_ATTEMPTS),
            max_retry_seconds=min(config.max_retry_seconds, _LOOK_RETRY_SECONDS),
        )

    def _subject(self) -> dict[str, Any]:
        """Return what is watched; another subject is another watch."""
        wanted, area = self.search_filter, self.geometry
        since = self.published_since
        return {
            "item_types": sorted(checks.item_types(self.item_types)),
            "search_filter": None
            if wanted is None
            else _text(filters.search_filter(wanted, "search_filter", max_vertices=None)),
            "geometry": None if area is None else _text(geometries.geometry(area, max_vertices=None)),
            "planet_conn_id": checks.text(self.planet_conn_id, "planet_conn_id"),
            "published_since": None if since is None else checks.utc_datetime(since, "published_since"),
        }

    def _most(self) -> int:
        if checks.whole_number(self.max_items, "max_items") > MAX_EVENT_ITEMS:
            raise InvalidInputError("max_items", self.max_items, f"must be from 1 to {MAX_EVENT_ITEMS}.")
        return self.max_items

    def _overlap(self) -> timedelta:
        return timedelta(seconds=checks.seconds(self.overlap, "overlap", or_none=True))

    def _age(self) -> timedelta | None:
        if self.max_age_days is None:
            return None
        return timedelta(days=min(checks.number(self.max_age_days, "max_age_days", above=0), _CENTURY_DAYS))

    def _stores(self) -> list[Any]:
        """Return where to keep what was told of; Airflow has such places from 3.3 on."""
        store = getattr(self, "asset_state_store", None)
        if store is None:
            return []
        # Equal triggers of several assets may be one trigger, and without a subscript the store is that of one.
        several = [*getattr(store, "_by_name", {}).values(), *getattr(store, "_by_uri", {}).values()]
        return several if len(several) > 1 else [store]

    @property
    def _name(self) -> str:
        return f"The watch of {self.item_types} by {self.planet_conn_id}"

    @property
    def _key(self) -> str:
        """The state's name: several watches may belong to one asset."""
        return f"planet_imagery_{hashlib.sha256(_text(self._subject()).encode()).hexdigest()[:16]}"

    async def _load(self) -> ImageryState:
        """Go on where the watch was, or begin it.

        :raises ConfigurationError: What is kept can't be understood.
        """
        self._serialized()  # checks all parameters
        if self._unknown:
            log.warning("%s ignores parameters of a newer version: %s.", self._name, ", ".join(self._unknown))
        key = self._key
        kept = [value for store in self._stores() if (value := await store.aget(key)) is not None]
        try:
            states = [ImageryState.from_json(value) for value in kept]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(
                f"The asset's state store holds under {key} what isn't understood ({error!r}): delete that key, "
                "and the watch starts over, at published_since or at that moment."
            ) from None
        if states:
            state = min(states, key=lambda one: one.watermark)
            log.info("%s goes on with what was published after %s.", self._name, stamp(state.watermark))
            return state
        since = self.published_since
        begin = datetime.now(timezone.utc) if since is None else moment(since)
        log.info("%s begins with what is published from %s on.", self._name, stamp(begin))
        self._unsaved = True
        return ImageryState(since=begin, watermark=begin)

    async def _save(self) -> None:
        if not self._unsaved or self._state is None:
            return
        for store in self._stores():
            await store.aset(self._key, self._state.to_json())
        self._unsaved = False

    def _backoff(self) -> float:
        if self._refused:
            return self._at_least(REFUSED_SECONDS)
        growing = FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 20)
        return min(growing, self._at_least(LONGEST_BACKOFF_SECONDS)) * random.uniform(0.8, 1.0)

    def _at_least(self, seconds: float) -> float:
        """Return the interval, or this where that is shorter."""
        try:
            return max(checks.seconds(self.poke_interval, "poke_interval"), seconds)
        except InvalidInputError:  # which may be what is waited out
            return seconds

    def _failed(self, error: Exception) -> None:
        """Say it once for each outage, and once more where it turns out that waiting won't fix it."""
        self._failures += 1
        if isinstance(error, PlanetError) and not error.retryable:
            if self._refused:
                return
            self._refused = True
            log.error(
                "%s can't look for new imagery, and waiting won't fix it; it tries again every %.0f s: %s",
                self._name,
                self._at_least(REFUSED_SECONDS),
                error,
            )
        elif self._failures == 1:
            log.warning(
                "%s can't look for new imagery now; it tries again, less and less often: %s",
                self._name,
                error,
                exc_info=None if isinstance(error, PlanetError) else error,
            )

    def _answered(self) -> None:
        if self._failures:
            log.info("%s can look for new imagery again, at attempt %d.", self._name, self._failures + 1)
        self._failures, self._refused = 0, False


def _batch(item_type: str, items: Mapping[str, datetime]) -> dict[str, Any]:
    return {
        "item_type": item_type,
        "item_ids": list(items),
        "published_from": stamp(min(items.values())),
        "published_to": stamp(max(items.values())),
        "count": len(items),
    }


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
