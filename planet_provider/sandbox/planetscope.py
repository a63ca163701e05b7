"""PSScene items: strips of frames that a Dove takes along its track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from planet_provider.sandbox import sky
from planet_provider.sandbox.footprints import (
    GROUND_SPEED,
    frame,
    move,
    track_azimuth,
)
from planet_provider.sandbox.items import Item

BASIC_ASSETS = ("basic_analytic_4b", "basic_analytic_4b_rpc", "basic_analytic_4b_xml", "basic_udm2")
FOUR_BAND_ASSETS = (
    *BASIC_ASSETS,
    "ortho_analytic_4b",
    "ortho_analytic_4b_sr",
    "ortho_analytic_4b_xml",
    "ortho_udm2",
    "ortho_visual",
)
EIGHT_BAND_ASSETS = tuple(
    sorted(
        (
            *FOUR_BAND_ASSETS,
            "basic_analytic_8b",
            "basic_analytic_8b_xml",
            "ortho_analytic_8b",
            "ortho_analytic_8b_sr",
            "ortho_analytic_8b_xml",
        ),
    ),
)


@dataclass(frozen=True)
class Generation:
    """One generation of Dove: frame in km (across, along) and ground sample distance in metres."""

    instrument: str
    satellites: tuple[str, ...]
    width: float
    height: float
    gsd: float
    assets: tuple[str, ...]


CLASSIC = Generation("PS2", ("0e20", "0f22", "1003", "101c", "1040"), 24.0, 8.0, 3.7, FOUR_BAND_ASSETS)
DOVE_R = Generation("PS2.SD", ("1058", "1061", "105e", "106a"), 24.0, 16.0, 3.6, FOUR_BAND_ASSETS)
SUPER_DOVE = Generation(
    "PSB.SD",
    ("2212", "2262", "227a", "2402", "2430", "2442", "2457", "2498", "24b4", "24dc"),
    32.5,
    19.6,
    3.8,
    EIGHT_BAND_ASSETS,
)

OVERLAP = 0.1
"""Share of a frame that the next of its strip covers again."""


@dataclass(frozen=True)
class Pass:
    """One overflight of a place.

    :param longitude: Of the place, in degrees; frames are laid symmetrically around it.
    :param latitude: Of the place, in degrees.
    :param acquired: When the satellite is over the place.
    :param frames: Frames of the strip.
    :param sure: How many of the frames, from the first, are clear, complete, permitted and quickly
        published; the others are drawn from everything that happens.
    """

    longitude: float
    latitude: float
    acquired: datetime
    frames: int = 1
    sure: int = 0


def strip(rng: Random, overflight: Pass, *, now: datetime, seed: int) -> Iterator[Item]:
    """Yield the frames of one overflight, north to south, with one strip id."""
    generation = _generation(rng, overflight)
    satellite, strip_id = rng.choice(generation.satellites), str(rng.randint(5_000_000, 8_999_999))
    azimuth = track_azimuth(overflight.latitude)
    step = generation.height * (1 - OVERLAP)
    for index in range(overflight.frames):
        along = (index - (overflight.frames - 1) / 2) * step
        longitude, latitude = move(
            overflight.longitude,
            overflight.latitude,
            along=along,
            across=0.0,
            azimuth=azimuth,
        )
        place = replace(
            overflight,
            longitude=(longitude + 180) % 360 - 180,
            latitude=latitude,
            acquired=overflight.acquired + timedelta(seconds=along / GROUND_SPEED),
            sure=overflight.sure - index,
        )
        yield _scene(rng, place, generation, satellite, strip_id, now=now, seed=seed)


def _generation(rng: Random, overflight: Pass) -> Generation:
    if overflight.sure or overflight.acquired.year >= 2022:
        # The last Dove-Rs left orbit in 2022.
        return SUPER_DOVE
    if overflight.acquired.year >= 2020:
        return rng.choice((DOVE_R, SUPER_DOVE))
    return CLASSIC


def _scene(
    rng: Random,
    place: Pass,
    generation: Generation,
    satellite: str,
    strip_id: str,
    *,
    now: datetime,
    seed: int,
) -> Item:
    sure, at = place.sure > 0, place.acquired
    cloud_cover = sky.cloudiness(rng, clear=sure)
    lag = rng.uniform(1.0, 4.5) if sure or rng.random() < 0.85 else rng.uniform(24, 200)
    life = sky.publish(rng, at, now, lag_hours=lag)
    ground_control = sure or rng.random() < 0.92
    sun_azimuth, sun_elevation = sky.sun(at, place.longitude, place.latitude)
    assets = generation.assets
    if not sure and rng.random() < 0.06:
        # Surface reflectance may come hours after the rest, or never.
        assets = tuple(asset_type for asset_type in assets if not asset_type.endswith("_sr"))
    permitted = sure or rng.random() < 0.93
    properties = {
        "acquired": sky.instant(at, micros=True),
        "anomalous_pixels": 0 if sure else round(max(0.0, rng.gauss(-0.02, 0.02)), 2),
        **sky.usable_data(rng, cloud_cover),
        "cloud_cover": cloud_cover,
        "ground_control": ground_control,
        "gsd": round(generation.gsd + rng.uniform(-0.2, 0.3), 1),
        "instrument": generation.instrument,
        "item_type": "PSScene",
        "pixel_resolution": 3,
        "provider": "planetscope",
        "published": sky.instant(life.published),
        "publishing_stage": life.stage,
        "quality_category": "standard" if ground_control and (sure or rng.random() < 0.95) else "test",
        "satellite_azimuth": round(rng.choice((98.0, 278.0)) + rng.uniform(-6, 6), 1),
        "satellite_id": satellite,
        "strip_id": strip_id,
        "sun_azimuth": sun_azimuth,
        "sun_elevation": sun_elevation,
        "updated": sky.instant(life.updated),
        "view_angle": round(rng.uniform(0, 6), 1),
    }
    return Item(
        item_type="PSScene",
        id=f"{at:%Y%m%d_%H%M%S}_{at.microsecond // 10_000:02d}_{satellite}",
        geometry=frame(
            place.longitude,
            place.latitude,
            width=generation.width,
            height=generation.height,
            azimuth=track_azimuth(place.latitude),
        ),
        properties=dict(sorted(properties.items())),
        assets=assets,
        permissions=tuple(f"assets.{asset_type}:download" for asset_type in assets) if permitted else (),
        updates=life.updates,
        seed=seed,
    )
