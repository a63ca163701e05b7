"""Items of the other item types: SkySat, RapidEye, Sentinel-2 and Landsat 8."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

from planet_provider.sandbox import sky
from planet_provider.sandbox.footprints import frame, track_azimuth
from planet_provider.sandbox.items import Item

SKYSAT_COLLECT_ASSETS = (
    "ortho_analytic",
    "ortho_analytic_dn",
    "ortho_analytic_sr",
    "ortho_analytic_udm",
    "ortho_analytic_udm2",
    "ortho_panchromatic",
    "ortho_panchromatic_dn",
    "ortho_panchromatic_udm",
    "ortho_panchromatic_udm2",
    "ortho_pansharpened",
    "ortho_pansharpened_udm",
    "ortho_pansharpened_udm2",
    "ortho_visual",
)
SKYSAT_SCENE_ASSETS = (
    "basic_analytic",
    "basic_analytic_rpc",
    "basic_analytic_udm",
    "basic_analytic_udm2",
    *SKYSAT_COLLECT_ASSETS,
)
RAPIDEYE_ASSETS = ("analytic", "analytic_sr", "analytic_xml", "udm", "visual", "visual_xml")
SENTINEL_ASSETS = (
    *(f"analytic_b{band}" for band in ("1", "2", "3", "4", "5", "6", "7", "8", "8a", "9", "10", "11", "12")),
    "metadata_aux",
    "visual",
)
LANDSAT_ASSETS = (*(f"analytic_b{band}" for band in range(1, 12)), "analytic_bqa", "metadata_txt", "visual")

Maker = Callable[
    [Random, datetime, float, float], tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]
]


def make(
    item_type: str,
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
    *,
    now: datetime,
    seed: int,
) -> Item:
    """Make one item of any type but PSScene.

    :param acquired: UTC instant, to the second.
    :param longitude: Of the centre, in degrees.
    :param latitude: Of the centre, in degrees.
    """
    item_id, geometry, own, assets = MAKERS[item_type](rng, acquired, longitude, latitude)
    cloud_cover = sky.cloudiness(rng)
    life = sky.publish(rng, acquired, now, lag_hours=rng.uniform(6, 30))
    sun_azimuth, sun_elevation = sky.sun(acquired, longitude, latitude)
    properties = {
        "acquired": sky.instant(acquired, micros=item_type.startswith("SkySat")),
        "cloud_cover": cloud_cover,
        "item_type": item_type,
        "published": sky.instant(life.published),
        "publishing_stage": life.stage,
        "quality_category": "standard" if rng.random() < 0.93 else "test",
        "sun_azimuth": sun_azimuth,
        "sun_elevation": sun_elevation,
        "updated": sky.instant(life.updated),
        **(sky.usable_data(rng, cloud_cover) if item_type.startswith("SkySat") else {}),
        **own,
    }
    permitted = rng.random() < 0.95
    return Item(
        item_type=item_type,
        id=item_id,
        geometry=geometry,
        properties=dict(sorted(properties.items())),
        assets=assets,
        permissions=tuple(f"assets.{asset_type}:download" for asset_type in assets) if permitted else (),
        updates=life.updates,
        seed=seed,
    )


def mgrs_square(longitude: float, latitude: float) -> str:
    """Label of the 100 km square of the military grid around a point (scale of UTM taken as uniform)."""
    zone = min(60, int((longitude + 180) // 6) + 1)
    easting = 500_000 + (longitude - (zone * 6 - 183)) * math.cos(math.radians(latitude)) * 111_275
    northing = latitude * 110_530 + (10_000_000 if latitude < 0 else 0)
    columns = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[zone % 3]
    column = columns[max(0, min(7, int(easting // 100_000) - 1))]
    row = "ABCDEFGHJKLMNPQRSTUV"[(int(northing // 100_000) + (0 if zone % 2 else 5)) % 20]
    band = "CDEFGHJKLMNPQRSTUVWX"[max(0, min(19, int((latitude + 80) // 8)))]
    return f"{zone:02d}{band}{column}{row}"


def _skysat(rng: Random) -> tuple[int, dict[str, Any]]:
    number = rng.choice((1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 15, 16, 17, 18, 19))
    return number, {
        "gsd": round(rng.uniform(0.58, 0.86), 2),
        "pixel_resolution": 0.5,
        "provider": "skysat",
        "satellite_azimuth": round(rng.uniform(0, 360), 1),
        "satellite_id": f"SSC{number}",
        "view_angle": round(rng.uniform(2, 28), 1),
    }


def _skysat_collect(
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    number, own = _skysat(rng)
    own |= {
        "availability": sky.instant(acquired),
        "ground_control_ratio": round(rng.uniform(0.6, 1.0), 2),
        "strip_id": f"s1{number:02d}_{acquired:%Y%m%dT%H%M%SZ}",
    }
    azimuth = track_azimuth(latitude) + rng.uniform(-0.15, 0.15)
    geometry = frame(longitude, latitude, width=6.2, height=rng.uniform(8, 20), azimuth=azimuth)
    return (
        f"{acquired:%Y%m%d_%H%M%S}_ssc{number}_u{rng.randint(1, 3):04d}",
        geometry,
        own,
        SKYSAT_COLLECT_ASSETS,
    )


def _skysat_scene(
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    number, own = _skysat(rng)
    detector, index = rng.randint(1, 3), rng.randint(1, 60)
    own |= {
        "camera_id": f"d{detector}",
        "ground_control": rng.random() < 0.9,
        "strip_id": f"s1{number:02d}_{acquired:%Y%m%dT%H%M%SZ}",
    }
    geometry = frame(longitude, latitude, width=2.2, height=1.1, azimuth=track_azimuth(latitude))
    item_id = f"{acquired:%Y%m%d_%H%M%S}_ssc{number}d{detector}_{index:04d}"
    return item_id, geometry, own, SKYSAT_SCENE_ASSETS


def _grid(longitude: float, latitude: float, *, rows: int) -> dict[str, Any]:
    zone = min(60, int((longitude + 180) // 6) + 1)
    return {"columns": rows, "epsg_code": (32600 if latitude >= 0 else 32700) + zone, "rows": rows}


def _rapideye(
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    satellite, cell = rng.randint(1, 5), rng.randint(1_000_000, 5_999_999)
    own = {
        **_grid(longitude, latitude, rows=5000),
        "anomalous_pixels": 0,
        "black_fill": round(rng.random() ** 3 * 0.5, 2),
        "catalog_id": str(rng.randint(10_000_000, 39_999_999)),
        "grid_cell": str(cell),
        "ground_control": True,
        "gsd": 6.5,
        "pixel_resolution": 5,
        "provider": "rapideye",
        "satellite_id": f"RapidEye-{satellite}",
        "strip_id": str(rng.randint(10_000_000, 39_999_999)),
        "usable_data": round(rng.uniform(0.5, 1), 2),
        "view_angle": round(rng.uniform(-20, 20), 1),
    }
    item_id = f"{acquired:%Y%m%d_%H%M%S}_{cell}_RapidEye-{satellite}"
    return item_id, frame(longitude, latitude, width=25, height=25, azimuth=math.pi), own, RAPIDEYE_ASSETS


def _sentinel(
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    letter, orbit, square = rng.choice("AB"), rng.randint(1, 143), mgrs_square(longitude, latitude)
    stamp = f"{acquired:%Y%m%dT%H%M%S}"
    own = {
        **_grid(longitude, latitude, rows=10980),
        "abs_orbit_number": rng.randint(1_000, 40_000),
        "black_fill": round(rng.random() ** 3 * 0.6, 2),
        "data_type": "L1C",
        "granule_id": f"L1C_T{square}_A{rng.randint(1_000, 40_000):06d}_{stamp}",
        "gsd": 10,
        "mgrs_grid_id": square,
        "pixel_resolution": 10,
        "product_id": f"S2{letter}_MSIL1C_{stamp}_N0500_R{orbit:03d}_T{square}_{stamp}",
        "provider": "sentinel-2",
        "rel_orbit_number": orbit,
        "satellite_id": f"Sentinel-2{letter}",
        "usable_data": round(rng.uniform(0.4, 1), 2),
        "view_angle": 0,
    }
    geometry = frame(longitude, latitude, width=109.8, height=109.8, azimuth=math.pi)
    return str(own["product_id"]), geometry, own, SENTINEL_ASSETS


def _landsat(
    rng: Random,
    acquired: datetime,
    longitude: float,
    latitude: float,
) -> tuple[str, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    path, row = rng.randint(1, 233), max(1, min(122, round(60 - latitude * 0.7)))
    item_id = f"LC8{path:03d}{row:03d}{acquired:%Y%j}LGN00"
    own = {
        **_grid(longitude, latitude, rows=7700),
        "anomalous_pixels": 0,
        "black_fill": round(rng.uniform(0.25, 0.4), 2),
        "data_type": "L1T",
        "gsd": 30,
        "instrument": "OLI_TIRS",
        "pixel_resolution": 30,
        "product_id": item_id,
        "provider": "landsat",
        "satellite_id": "Landsat8",
        "usable_data": round(rng.uniform(0.3, 0.75), 2),
        "view_angle": 0,
        "wrs_path": path,
        "wrs_row": row,
    }
    azimuth = track_azimuth(latitude)
    return item_id, frame(longitude, latitude, width=185, height=180, azimuth=azimuth), own, LANDSAT_ASSETS


MAKERS: dict[str, Maker] = {
    "SkySatCollect": _skysat_collect,
    "SkySatScene": _skysat_scene,
    "REOrthoTile": _rapideye,
    "Sentinel2L1C": _sentinel,
    "Landsat8L1G": _landsat,
}
