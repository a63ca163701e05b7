"""A large search, ours and the official SDK's: pages a second, and the most memory that it takes.

Each runs in a process of its own, against a server in another one that has the pages ready. Nobody is rate
limited: at Planet's documented 10 requests a second all would take the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.search_pages import PAGE_ITEMS, search_pages

#: The largest resident set, in MB, that a search into a file may have, however many items it has.
MOST_MB = 150.0
BOUNDED = ("ours-geojson", "ours-ndjson")

FILTER = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lte": 1.0}}


@dataclass(frozen=True)
class Setting:
    """What a contestant gets.

    :param url: The API's origin.
    :param folder: Where to write.
    """

    url: str
    folder: Path


@dataclass(frozen=True)
class Figures:
    """What it took.

    :param items: Items that came.
    :param seconds: From the first request to the last item, or to the whole file.
    :param peak: The process's largest resident set, in MB.
    :param base: The same before the search, with everything imported.
    """

    items: int
    seconds: float
    peak: float
    base: float


def _ours(collected: Callable[[Any, Path], int]) -> Callable[[Setting], int]:
    def run(setting: Setting) -> int:
        from planet_provider.client import collect
        from planet_provider.client.api import data
        from planet_provider.client.config import DOCUMENTED_RATES, PlanetConfig
        from planet_provider.client.http.session import PlanetSession

        config = PlanetConfig(
            api_key="PLAK-benchmark",
            base_url=setting.url,
            rate_limits=dict.fromkeys(DOCUMENTED_RATES, 1e6),
        )
        with PlanetSession(config) as session:
            pages = session.pages(data.quick_search(["PSScene"], FILTER))
            return collected(collect.items(pages), setting.folder)

    return run


def _ours_file(suffix: str) -> Callable[[Setting], int]:
    def written(items: Any, folder: Path) -> int:
        from planet_provider.export.features import write_items

        return write_items(items, folder / f"found{suffix}").count

    return _ours(written)


def _sdk(collected: Callable[[Any, Path], Any]) -> Callable[[Setting], int]:
    async def search(setting: Setting) -> int:
        import planet.http
        from planet import Auth, DataClient, Session, specs

        planet.http.RATE_LIMIT = 0
        # The SDK fetches this list from Planet before its first search.
        specs.PRODUCT_BUNDLES.cache = {"bundles": {}, "bundle_names": (), "item_types": {"PSScene"}}
        async with Session(auth=Auth.from_key("PLAK-benchmark")) as session:
            client = DataClient(session, base_url=f"{setting.url}/data/v1")
            found = client.search(["PSScene"], FILTER, limit=0)
            return int(await collected(found, setting.folder))

    return lambda setting: asyncio.run(search(setting))


async def _sdk_list(found: Any, _: Path) -> int:
    return len([item async for item in found])


async def _sdk_geojson(found: Any, folder: Path) -> int:
    from planet import collect

    collection = await collect(found)
    with (folder / "found.geojson").open("w") as file:
        file.write(json.dumps(collection))  # json.dump is several times slower
    return len(collection["features"])


async def _sdk_ndjson(found: Any, folder: Path) -> int:
    count = 0
    with (folder / "found.ndjson").open("w") as file:
        async for item in found:
            file.write(json.dumps(item) + "\n")
            count += 1
    return count


CONTESTANTS: dict[str, tuple[str, Callable[[Setting], int]]] = {
    "ours-list": ("ours, into a list", _ours(lambda items, _: len(list(items)))),
    "sdk-list": ("planet SDK, into a list", _sdk(_sdk_list)),
    "ours-geojson": ("ours, into a GeoJSON file", _ours_file(".geojson")),
    "sdk-geojson": ("planet SDK, `collect` and `json.dumps`", _sdk(_sdk_geojson)),
    "ours-ndjson": ("ours, into an NDJSON file", _ours_file(".ndjson")),
    "sdk-ndjson": ("planet SDK, a line an item", _sdk(_sdk_ndjson)),
    "ours-parquet": ("ours, into a GeoParquet file", _ours_file(".parquet")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and print the table; fail where an item is missing, or memory is not bounded."""
    options = _options(arguments)
    print("| client | pages/s | items/s | peak RSS MB | of it before the search |")
    print("|---|---|---|---|---|")
    with search_pages(options.items) as url:
        runs: dict[str, list[Figures]] = {name: [] for name in options.only}
        for _ in range(options.rounds):
            for name in options.only:
                runs[name].append(_measured(name, url))
    wrong: list[str] = []
    for name, figures in runs.items():
        seconds = statistics.median(one.seconds for one in figures)
        items = figures[0].items
        row = [
            CONTESTANTS[name][0],
            f"{items / PAGE_ITEMS / seconds:.1f}",
            f"{items / seconds:,.0f}",
            f"{statistics.median(one.peak for one in figures):.0f}",
            f"{statistics.median(one.base for one in figures):.0f}",
        ]
        print("| " + " | ".join(row) + " |", flush=True)
        wrong += faults(name, figures, options.items)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end", file=sys.stderr)
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


def faults(name: str, figures: Sequence[Figures], items: int) -> list[str]:
    """Return what is wrong with a contestant's figures.

    :param items: Items that the search has.
    """
    found = [f"{name}: {one.items} of {items} items came" for one in figures if one.items != items]
    if name in BOUNDED:
        found += [
            f"{name}: {one.peak:.0f} MB, more than {MOST_MB:.0f}" for one in figures if one.peak > MOST_MB
        ]
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000, help="a multiple of 250 (default: 100,000)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (default: 3)")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    options = parser.parse_args(arguments)
    if options.items < PAGE_ITEMS or options.items % PAGE_ITEMS:
        parser.error(f"--items={options.items}: must be a multiple of {PAGE_ITEMS}")
    return options


def _measured(name: str, url: str) -> Figures:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(name, url, theirs))
    process.start()
    theirs.close()
    try:
        return Figures(*ours.recv())
    finally:
        process.join()


def _run(name: str, url: str, answer: Any) -> None:
    logging.disable(logging.CRITICAL)
    _import(name)
    base = _peak()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        items = CONTESTANTS[name][1](Setting(url, Path(folder)))
        answer.send((items, time.perf_counter() - started, _peak(), base))


def _import(name: str) -> None:
    """Import what a contestant needs: that is not what is measured."""
    if name.startswith("sdk"):
        import planet  # noqa: F401

        return
    import planet_provider.client.http.session
    import planet_provider.export.features  # noqa: F401

    if name == "ours-parquet":
        import shapely.geometry  # noqa: F401


def _peak() -> float:
    """Return the largest resident set so far, in MB. ``ru_maxrss`` would count what started the process, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
