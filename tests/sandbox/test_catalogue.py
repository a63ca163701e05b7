"""The seeded catalogue: what is in it, and that it is always the same."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone

import pytest
from shapely.geometry import box, shape

from planet_provider.sandbox.assets import ASSETS
from planet_provider.sandbox.catalogue import (
    DAYS,
    DAYS_AHEAD,
    ITEM_TYPES,
    Catalogue,
)
from planet_provider.sandbox.filters import FilterError, parse_instant

NOW = datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc)
EVERYTHING = {"type": "AndFilter", "config": []}
SAN_FRANCISCO = box(-122.52, 37.69, -122.35, 37.81)

DIGEST = """
import hashlib, json
from datetime import datetime, timezone
from planet_provider.sandbox.catalogue import Catalogue
catalogue = Catalogue(seed=7, items=500, now=datetime(2026, 3, 10, 15, 30, tzinfo=timezone.utc))
features = [item.feature("http://host") for item in catalogue]
print(hashlib.sha256(json.dumps(features, sort_keys=True).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue(seed=1, now=NOW)


def test_it_holds_as_many_items_as_asked_and_all_item_types(catalogue: Catalogue) -> None:
    found = catalogue.search(ITEM_TYPES, EVERYTHING)
    assert len(found) == len(catalogue) == 2400
    counts = Counter(item.item_type for item in found)
    assert counts.keys() == ITEM_TYPES.keys()
    assert counts["PSScene"] > 1500
    assert min(counts.values()) > 80
    assert len({(item.item_type, item.id) for item in found}) == 2400


@pytest.mark.parametrize("hour", [0, 12, 23])
def test_san_francisco_is_covered_every_day(hour: int) -> None:
    now = NOW.replace(hour=hour, minute=5)
    days = defaultdict(list)
    for item in Catalogue(seed=3, items=400, now=now).search(["PSScene"], EVERYTHING):
        if (
            item.shape.intersects(SAN_FRANCISCO)
            and item.properties["cloud_cover"] <= 0.1
            and item.properties["quality_category"] == "standard"
            and {"ortho_analytic_4b_sr", "ortho_analytic_8b_sr", "ortho_udm2"} <= set(item.assets)
            and len(item.permissions) == len(item.assets)
        ):
            days[parse_instant(item.properties["acquired"]).date()].append(item)
    for back in range(1, DAYS + 1):
        day = (now - timedelta(days=back)).date()
        assert len(days[day]) >= 3, day
        assert any(item.shape.contains(SAN_FRANCISCO) for item in days[day]), day


@pytest.mark.ci
def test_two_processes_agree() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    here = [item.feature("http://host") for item in Catalogue(seed=7, items=500, now=NOW)]
    digests.add(hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest())
    assert len(digests) == 1


def test_seeds_differ() -> None:
    one, other = (
        {item.id for item in Catalogue(seed=seed, items=400, now=NOW) if item.item_type == "PSScene"}
        for seed in (1, 2)
    )
    assert not one & other


def test_the_next_day_keeps_the_scenes_of_the_days_before(catalogue: Catalogue) -> None:
    later = Catalogue(seed=1, now=NOW + timedelta(days=1))
    near = {"type": "Polygon", "coordinates": [list(SAN_FRANCISCO.exterior.coords)]}
    since = (NOW - timedelta(days=60)).strftime("%Y-%m-%dT00:00:00Z")
    recent = {"type": "DateRangeFilter", "field_name": "acquired", "config": {"gte": since}}
    before = {item.id: item for item in catalogue.search(["PSScene"], recent, near)}
    after = {item.id: item for item in later.search(["PSScene"], recent, near)}
    daily = [item_id for item_id, item in before.items() if item.shape.contains(SAN_FRANCISCO)]
    assert len(daily) >= 50
    shared = [item_id for item_id in daily if item_id in after]
    assert len(shared) >= 0.9 * len(daily)
    for item_id in shared:
        assert after[item_id].geometry == before[item_id].geometry
        assert after[item_id].properties["cloud_cover"] == before[item_id].properties["cloud_cover"]


def test_imagery_goes_on_being_published(catalogue: Catalogue) -> None:
    def known(moment: datetime) -> set[str]:
        return {
            item.id for item in catalogue.at(moment).search(["PSScene"], EVERYTHING, SAN_FRANCISCO_GEOJSON)
        }

    now, day, end = known(NOW), known(NOW + timedelta(days=1)), known(NOW + timedelta(days=DAYS_AHEAD))
    assert now < day < end
    assert len(day - now) >= 3
    (fresh, *_) = day - now
    assert catalogue.get("PSScene", fresh) is None
    assert catalogue.at(NOW + timedelta(days=1)).get("PSScene", fresh) is not None
    assert len(catalogue) == 2400


SAN_FRANCISCO_GEOJSON = {"type": "Polygon", "coordinates": [list(map(list, SAN_FRANCISCO.exterior.coords))]}


def test_it_holds_what_goes_wrong_in_life(catalogue: Catalogue) -> None:
    scenes = catalogue.search(["PSScene"], EVERYTHING)
    assert sum(not item.permissions for item in scenes) > 20
    assert sum(item.properties["quality_category"] == "test" for item in scenes) > 20
    assert sum(item.properties["cloud_cover"] == 1 for item in scenes) > 20
    assert {item.properties["publishing_stage"] for item in scenes} == {"preview", "standard", "finalized"}
    assert sum("ortho_analytic_8b_sr" not in item.assets for item in scenes) > 20
    lags = [
        parse_instant(item.properties["published"]) - parse_instant(item.properties["acquired"])
        for item in scenes
    ]
    assert sum(lag > timedelta(days=1) for lag in lags) > 20
    assert min(lags) > timedelta(0)
    assert sum(bool(item.updates) for item in scenes) > 100
    crossing = [item for item in scenes if item.geometry["type"] == "MultiPolygon"]
    assert crossing
    for item in crossing:
        west, _, east, _ = item.shape.bounds
        assert (west, east) == (-180, 180)
        assert item.shape.area < 1


def test_items_are_consistent(catalogue: Catalogue) -> None:
    for item in catalogue:
        properties = item.properties
        footprint = shape(item.geometry)
        assert footprint.is_valid
        assert -180 <= footprint.bounds[0] <= footprint.bounds[2] <= 180
        assert -90 < footprint.bounds[1] < footprint.bounds[3] < 90
        acquired, published, updated = (
            parse_instant(properties[name]) for name in ("acquired", "published", "updated")
        )
        assert acquired < published <= updated
        assert 0 <= properties["cloud_cover"] <= 1
        assert properties["item_type"] == item.item_type
        assert set(item.assets) <= ASSETS[item.item_type].keys()
        assert set(item.assets) <= set(ITEM_TYPES[item.item_type]["supported_asset_types"])
        assert all(item.may_download(asset_type) == bool(item.permissions) for asset_type in item.assets)
        if "clear_percent" in properties:
            classes = ("clear", "cloud", "heavy_haze", "light_haze", "shadow", "snow_ice")
            assert sum(properties[f"{name}_percent"] for name in classes) == 100
            assert properties["cloud_percent"] == round(100 * properties["cloud_cover"])
        if item.item_type in {"PSScene", "SkySatCollect", "SkySatScene", "REOrthoTile"}:
            assert item.id.startswith(f"{acquired:%Y%m%d_%H%M%S}_")


def test_daytime_scenes_are_lit(catalogue: Catalogue) -> None:
    elevations = [item.properties["sun_elevation"] for item in catalogue if abs(item.shape.centroid.y) < 40]
    assert min(elevations) > 5
    assert max(elevations) <= 90


def test_strips_are_continuous(catalogue: Catalogue) -> None:
    strips = defaultdict(list)
    for item in catalogue:
        if item.item_type == "PSScene" and item.geometry["type"] == "Polygon":
            strips[item.properties["strip_id"], item.properties["satellite_id"]].append(item)
    pairs = [sorted(frames, key=lambda item: item.id) for frames in strips.values() if len(frames) > 1]
    assert len(pairs) > 100
    for frames in pairs:
        for first, second in itertools.pairwise(frames):
            gap = parse_instant(second.properties["acquired"]) - parse_instant(first.properties["acquired"])
            assert timedelta(seconds=0.5) < gap < timedelta(seconds=5)
            shared = first.shape.intersection(second.shape).area / first.shape.area
            assert 0.02 < shared < 0.35


def test_feature_has_the_shape_of_the_data_api(catalogue: Catalogue) -> None:
    item = next(iter(catalogue))
    feature = json.loads(json.dumps(item.feature("http://127.0.0.1:1")))
    assert feature.keys() == {"_links", "_permissions", "assets", "geometry", "id", "properties", "type"}
    own = f"http://127.0.0.1:1/data/v1/item-types/{item.item_type}/items/{item.id}"
    assert feature["_links"] == {"_self": own, "assets": f"{own}/assets/", "thumbnail": f"{own}/thumb"}
    assert feature["geometry"] == item.geometry
    assert feature["type"] == "Feature"


def test_search_takes_item_types_filter_and_geometry_together(catalogue: Catalogue) -> None:
    cloudless = {"type": "RangeFilter", "field_name": "cloud_cover", "config": {"lt": 0.05}}
    found = catalogue.search(["PSScene", "SkySatScene"], cloudless, SAN_FRANCISCO_GEOJSON)
    expected = {
        (item.item_type, item.id)
        for item in catalogue.search(ITEM_TYPES, EVERYTHING)
        if item.item_type in {"PSScene", "SkySatScene"}
        and item.properties["cloud_cover"] < 0.05
        and shape(item.geometry).intersects(SAN_FRANCISCO)
    }
    assert {(item.item_type, item.id) for item in found} == expected
    assert expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": 399, "now": NOW}, "items=399 is too few"),
        ({"items": 500, "now": datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue(seed=1, **arguments)  # type: ignore[arg-type]


def test_a_bad_geometry_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(FilterError, match="geometry"):
        catalogue.search(["PSScene"], EVERYTHING, {"type": "Circle"})
