"""A seeded catalogue of imagery: what the sandbox's Data API knows.

The scenes of the dense areas are drawn from the seed and their day of acquisition, not from the order of
creation: the catalogues of two days share the scenes of the days that both cover.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from random import Random
from typing import Any

from planet_provider.sandbox import filters, planetscope, sensors
from planet_provider.sandbox.filtervalues import parse_instant
from planet_provider.sandbox.items import Item

__all__ = ["AOIS", "DAYS", "ITEM_TYPES", "Catalogue", "Item"]

DAYS = 90
"""Days before ``now`` that the dense areas cover, each of them."""

DAYS_AHEAD = 5
"""Days after ``now`` whose scenes are there already, to be published as the sandbox's clock gets to them."""

SAN_FRANCISCO = (-122.435, 37.75)

AOIS: dict[str, tuple[float, float]] = {
    "san-francisco": SAN_FRANCISCO,
    "central-valley": (-120.05, 36.72),
    "mato-grosso": (-55.52, -12.55),
    "rondonia": (-62.95, -9.95),
    "flevoland": (5.55, 52.45),
    "nile-delta": (31.0, 30.85),
    "nairobi": (36.82, -1.29),
    "bengaluru": (77.6, 12.97),
    "singapore": (103.82, 1.35),
    "sydney": (151.15, -33.87),
    "taveuni": (179.97, -16.85),
}
"""Areas with dense coverage: longitude and latitude of the centre, in degrees."""

ITEM_TYPES: dict[str, dict[str, Any]] = {
    "PSScene": {
        "display_name": "PlanetScope Scene",
        "display_description": "Frames of the PlanetScope constellation, 3 m",
        "supported_asset_types": list(planetscope.EIGHT_BAND_ASSETS),
    },
    "SkySatCollect": {
        "display_name": "SkySat Collect",
        "display_description": "Orthorectified composites of SkySat scenes, 0.5 m",
        "supported_asset_types": list(sensors.SKYSAT_COLLECT_ASSETS),
    },
    "SkySatScene": {
        "display_name": "SkySat Scene",
        "display_description": "Single frames of the SkySat constellation, 0.5 m",
        "supported_asset_types": list(sensors.SKYSAT_SCENE_ASSETS),
    },
    "REOrthoTile": {
        "display_name": "RapidEye Ortho Tile",
        "display_description": "Orthorectified tiles of RapidEye, 5 m, 2009 to 2020",
        "supported_asset_types": list(sensors.RAPIDEYE_ASSETS),
    },
    "Sentinel2L1C": {
        "display_name": "Sentinel-2 Tile",
        "display_description": "Copernicus Sentinel-2 level 1C, 10 to 60 m",
        "supported_asset_types": list(sensors.SENTINEL_ASSETS),
    },
    "Landsat8L1G": {
        "display_name": "Landsat 8 Scene",
        "display_description": "Landsat 8 level 1, 30 m",
        "supported_asset_types": list(sensors.LANDSAT_ASSETS),
    },
}

# Share of the items beyond San Francisco's.
_SHARES = {
    "dense": 0.41,
    "SkySatCollect": 0.055,
    "SkySatScene": 0.055,
    "REOrthoTile": 0.045,
    "Sentinel2L1C": 0.07,
    "Landsat8L1G": 0.06,
}
_FLIGHTS = {
    "SkySatCollect": (date(2016, 1, 1), None),
    "SkySatScene": (date(2016, 1, 1), None),
    "REOrthoTile": (date(2009, 2, 1), date(2020, 3, 31)),
    "Sentinel2L1C": (date(2015, 12, 1), None),
    "Landsat8L1G": (date(2013, 4, 11), date(2021, 12, 31)),
    "PSScene": (date(2017, 1, 1), None),
}


class Catalogue:
    """A seeded, immutable catalogue.

    :param seed: The same seed gives the same catalogue, in every process.
    :param items: Items published by ``now``; at least 400, since San Francisco alone has four a day.
    :param now: UTC instant of the catalogue; it shows what was published by then.
    :raises ValueError: Fewer than 400 items, or a naive ``now``.
    """

    def __init__(self, *, seed: int, items: int = 2400, now: datetime) -> None:
        if items < 4 * DAYS + 40:
            raise ValueError(f"items={items} is too few: give at least {4 * DAYS + 40}")
        if now.utcoffset() is None:
            raise ValueError(f"now={now!r} has no time zone: give an aware datetime")
        self.now = now.astimezone(timezone.utc)
        self._seed = seed
        self._items: dict[tuple[str, str], Item] = {}
        self._published: dict[tuple[str, str], datetime] = {}
        self._populate(items)

    @property
    def item_types(self) -> dict[str, dict[str, Any]]:
        """Item types by id, with their display names and supported asset types."""
        return ITEM_TYPES

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items published by ``now``."""
        return (item for key, item in self._items.items() if self._published[key] <= self.now)

    def __len__(self) -> int:
        """Count the items published by ``now``."""
        return sum(published <= self.now for published in self._published.values())

    def at(self, moment: datetime) -> Catalogue:
        """Return the same catalogue as it is at another instant: scenes go on being published.

        :param moment: UTC instant; nothing is acquired later than five days after the first ``now``.
        """
        view = copy.copy(self)
        view.now = moment
        return view

    def get(self, item_type: str, item_id: str) -> Item | None:
        """Return one item, if it is published by ``now``."""
        key = (item_type, item_id)
        item = self._items.get(key)
        return item if item is not None and self._published[key] <= self.now else None

    def search(
        self,
        item_types: Collection[str],
        search_filter: Mapping[str, Any],
        geometry: Mapping[str, Any] | None = None,
    ) -> list[Item]:
        """List the items published by ``now`` that pass a filter, in no particular order.

        :param item_types: Item types to look at.
        :param search_filter: Filter of the Data API.
        :param geometry: GeoJSON geometry that footprints must also intersect.
        :raises FilterError: The filter or the geometry is malformed.
        """
        matches = filters.compile(search_filter)
        near = filters.compile_geometry(geometry) if geometry is not None else None
        wanted = frozenset(item_types)
        return [
            item
            for key, item in self._items.items()
            if key[0] in wanted
            and self._published[key] <= self.now
            and (near is None or near(item))
            and matches(item)
        ]

    def _populate(self, items: int) -> None:
        today = self.now.date()
        for offset in range(-DAYS_AHEAD, DAYS + 1):
            self._add(self._san_francisco(today - timedelta(days=offset)))
        room = items - len(self)
        quota = {kind: int(share * room) for kind, share in _SHARES.items()}
        self._fill(self._dense(today), len(self) + quota.pop("dense"))
        for item_type, count in quota.items():
            self._fill(self._scattered(item_type), len(self) + count)
        self._fill(self._scattered("PSScene"), items)

    def _fill(self, source: Iterator[Item], until: int) -> None:
        missing = until - len(self)
        while missing > 0 and (item := next(source, None)) is not None:
            before = len(self._items)
            published = self._add([item])
            missing -= published if len(self._items) > before else 0

    def _add(self, items: Collection[Item] | Iterator[Item]) -> int:
        published = 0
        for item in items:
            key = (item.item_type, item.id)
            if key not in self._items:
                self._items[key] = item
                self._published[key] = parse_instant(item.properties["published"])
                published += self._published[key] <= self.now
        return published

    def _rng(self, *parts: object) -> Random:
        return Random("/".join(map(str, (self._seed, *parts))))

    def _san_francisco(self, day: date) -> Iterator[Item]:
        rng = self._rng("san-francisco", day)
        # One frame over all of it, two that share it, and one left to chance.
        for frames, sure, jitter in ((1, 1, 1.0), (2, 2, 2.0), (1, 0, 6.0)):
            yield from self._strip(rng, SAN_FRANCISCO, day, frames=frames, sure=sure, jitter=jitter)

    def _dense(self, today: date) -> Iterator[Item]:
        for offset in range(-DAYS_AHEAD, DAYS + 1):
            day = today - timedelta(days=offset)
            for name, centre in AOIS.items():
                rng = self._rng(name, day)
                if name != "san-francisco" and rng.random() < 0.9:
                    yield from self._strip(
                        rng, centre, day, frames=1, sure=int(rng.random() < 0.6), jitter=5.0
                    )

    def _strip(
        self,
        rng: Random,
        centre: tuple[float, float],
        day: date,
        *,
        frames: int,
        sure: int,
        jitter: float,
    ) -> Iterator[Item]:
        longitude, latitude = centre
        shift = jitter / 111.0
        overflight = planetscope.Pass(
            longitude=longitude + rng.uniform(-shift, shift),
            latitude=latitude + rng.uniform(-shift, shift),
            acquired=_mid_morning(rng, day, longitude),
            frames=frames,
            sure=sure,
        )
        return planetscope.strip(rng, overflight, now=self.now, seed=self._seed)

    def _scattered(self, item_type: str) -> Iterator[Item]:
        first, last = _FLIGHTS[item_type]
        # A fixed far end keeps the draw the same from day to day; later scenes wait for their day.
        end = last or date(self.now.year, 1, 1)
        for number in range(100_000):
            rng = self._rng(item_type, number)
            day = first + timedelta(days=int(rng.random() * (end - first).days))
            if last is None and rng.random() < 0.3:
                day = self.now.date() - timedelta(days=rng.randint(8, DAYS))
            if rng.random() < 0.3:
                longitude, latitude = rng.choice(tuple(AOIS.values()))
                longitude, latitude = longitude + rng.gauss(0, 0.04), latitude + rng.gauss(0, 0.04)
            else:
                longitude, latitude = (
                    rng.uniform(-180, 180),
                    math.degrees(math.asin(rng.uniform(-0.93, 0.97))),
                )
            acquired = _mid_morning(rng, day, longitude)
            if item_type == "PSScene":
                overflight = planetscope.Pass(longitude, latitude, acquired, frames=rng.choice((1, 1, 2, 3)))
                yield from planetscope.strip(rng, overflight, now=self.now, seed=self._seed)
            else:
                yield sensors.make(
                    item_type,
                    rng,
                    acquired.replace(microsecond=acquired.microsecond // 1000 * 1000),
                    (longitude + 180) % 360 - 180,
                    latitude,
                    now=self.now,
                    seed=self._seed,
                )


def _mid_morning(rng: Random, day: date, longitude: float) -> datetime:
    """An instant of the UTC day at about ten o'clock of local solar time."""
    hour = (rng.uniform(9.7, 10.7) - longitude / 15) % 24
    seconds = min(86_390.0, max(10.0, hour * 3600))
    return datetime.combine(day, time(), timezone.utc) + timedelta(microseconds=int(seconds * 1e6))
