"""Areas from GeoPandas: what it knows of their coordinate system is not passed over."""

from __future__ import annotations

from typing import Any

import geopandas
import pytest
from pyproj import CRS
from shapely.geometry import box, mapping

from planet_provider.builders import filters, tools
from planet_provider.builders.geometry import geometry
from planet_provider.exceptions import InvalidInputError

#: Could be degrees, and is metres.
SHAPE = box(10, 20, 30, 40)
NAMELESS = CRS.from_proj4("+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96")


@pytest.mark.parametrize("crs", [None, 4326, 4979, "OGC:CRS84"])
@pytest.mark.parametrize(
    "make", [geopandas.GeoSeries, lambda shapes, crs: geopandas.GeoDataFrame(geometry=shapes, crs=crs)]
)
def test_degrees_are_taken(make: Any, crs: Any) -> None:
    area = geometry(make([SHAPE], crs=crs))
    assert area["type"] == "Polygon"
    assert sorted(map(tuple, area["coordinates"][0])) == sorted(mapping(SHAPE)["coordinates"][0])


@pytest.mark.parametrize(
    ("crs", "said"),
    [(32633, "EPSG:32633"), (3857, "EPSG:3857"), (4269, "EPSG:4269"), (NAMELESS, "a projection")],
)
def test_others_are_refused(crs: Any, said: str) -> None:
    frame = geopandas.GeoSeries([SHAPE], crs=crs)
    with pytest.raises(
        InvalidInputError, match=rf"geometry='{said}': is its coordinate system, not EPSG:4326"
    ):
        filters.geometry_filter(frame)
    with pytest.raises(InvalidInputError, match=rf"clip\.aoi='{said}'"):
        tools.clip(frame)
    if crs != NAMELESS:
        assert geometry(frame.to_crs(4326))["type"] == "Polygon"
