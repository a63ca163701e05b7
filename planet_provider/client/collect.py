"""Gathering the items of a search's pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from planet_provider.client.parse import JSONObject

#: File name suffixes of the formats that items are written in.
GEOJSON = ".geojson"
NDJSON = ".ndjson"


def items(pages: Iterable[list[JSONObject]], limit: int | None = None) -> Iterator[JSONObject]:
    """Yield the items of all pages, each once: a page may repeat what was published while paging.

    :param pages: As :meth:`planet_provider.client.session.PlanetSession.pages` yields them.
    :param limit: Stop after as many; no further page is asked for.
    """
    seen: set[tuple[str, str]] = set()

    def fresh() -> Iterator[JSONObject]:
        for item in chain.from_iterable(pages):
            key = (str(item["properties"]["item_type"]), str(item["id"]))
            if key not in seen:
                seen.add(key)
                yield item

    return islice(fresh(), limit)


def feature_collection(features: Iterable[JSONObject]) -> JSONObject:
    """Return a GeoJSON FeatureCollection."""
    return {"type": "FeatureCollection", "features": list(features)}


def write(
    features: Iterable[JSONObject], sink: Callable[[bytes], object], suffix: str
) -> Iterator[JSONObject]:
    """Write items as they come, with bounded memory, and hand each one on.

    :param sink: Takes the bytes.
    :param suffix: :data:`GEOJSON` (one FeatureCollection) or :data:`NDJSON` (one Feature a line).
    """
    as_collection = suffix == GEOJSON
    if as_collection:
        sink(b'{"type": "FeatureCollection", "features": [\n')
    separator = b""
    for feature in features:
        sink(separator + json.dumps(feature, ensure_ascii=False, separators=(",", ":")).encode())
        separator = b",\n" if as_collection else b"\n"
        yield feature
    sink(b"\n]}\n" if as_collection else separator)
