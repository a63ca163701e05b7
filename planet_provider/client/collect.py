"""Gathering what a list's or a search's pages hold.

::

    pages = session.pages(data.quick_search(["PSScene"], wanted))
    for item in collect.items(pages): ...                      # one at a time
    found = list(collect.items(pages, limit=1000))             # a list
    collection = collect.feature_collection(collect.items(pages))

Into a file, with bounded memory: :func:`planet_provider.export.features.write_items`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from planet_provider.builders import checks
from planet_provider.client.parse import JSONObject

#: File name suffixes of the formats that items are written in.
GEOJSON = ".geojson"
NDJSON = ".ndjson"

# Made once, because json.dumps makes one for each item; what comes from JSON has no circles.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def items(pages: Iterable[list[JSONObject]], limit: int | None = None) -> Iterator[JSONObject]:
    """Yield the items of all pages, each once: a page may repeat what was published while paging.

    :param pages: As :meth:`planet_provider.client.http.session.PlanetSession.pages` yields them.
    :param limit: Stop after as many; no further page is asked for. By default all, never a silent cut.
    :raises InvalidInputError: The limit is no whole number greater than 0.
    """
    most = checks.limit(limit)
    # Only ids are kept: some 10 MB for 100,000 items.
    seen: defaultdict[str, set[str]] = defaultdict(set)

    def fresh() -> Iterator[JSONObject]:
        for item in chain.from_iterable(pages):
            item_id, of_type = item["id"], seen[item["properties"]["item_type"]]
            if item_id not in of_type:
                of_type.add(item_id)
                yield item

    return islice(fresh(), most)


def rows(pages: Iterable[list[JSONObject]], limit: int | None = None) -> Iterator[JSONObject]:
    """Yield the rows of all pages of a list, of orders or of saved searches.

    :param pages: As :meth:`planet_provider.client.http.session.PlanetSession.pages` yields them.
    :param limit: Stop after as many; no further page is asked for. By default all, never a silent cut.
    :raises InvalidInputError: The limit is no whole number greater than 0.
    """
    return islice(chain.from_iterable(pages), checks.limit(limit))


def feature_collection(features: Iterable[JSONObject]) -> JSONObject:
    """Return a GeoJSON FeatureCollection. In memory: a large search goes into a file.

    :param features: As :func:`items` yields them.
    """
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
        sink(separator + _encoded(feature))
        separator = b",\n" if as_collection else b"\n"
        yield feature
    sink(b"\n]}\n" if as_collection else separator)


def _encoded(feature: JSONObject) -> bytes:
    try:
        return _encode(feature).encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which JSON can hold as an escape and UTF-8 can't.
        return json.dumps(feature, separators=(",", ":")).encode()
