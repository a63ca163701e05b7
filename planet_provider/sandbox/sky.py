"""What the sky did to a scene: the sun, the clouds, and the life of its publication."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random


def instant(moment: datetime, *, micros: bool = False) -> str:
    """Write a UTC instant in RFC 3339 as the Data API does."""
    return moment.astimezone(timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ" if micros else "%Y-%m-%dT%H:%M:%SZ"
    )


def sun(moment: datetime, longitude: float, latitude: float) -> tuple[float, float]:
    """Position of the sun: azimuth (clockwise from north) and elevation, in degrees.

    By the mean sun, without the equation of time: within about 4 degrees.
    """
    day = moment.timetuple().tm_yday
    declination = math.radians(-23.44) * math.cos(math.tau * (day + 10) / 365.25)
    hours = moment.hour + moment.minute / 60 + moment.second / 3600 + longitude / 15
    angle, phi = math.radians(15 * (hours - 12)), math.radians(latitude)
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(angle)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(angle)
    east = -math.cos(declination) * math.sin(angle)
    azimuth = math.degrees(math.atan2(east, north)) % 360
    return round(azimuth, 1), round(math.degrees(math.asin(max(-1.0, min(1.0, up)))), 1)


def cloudiness(rng: Random, *, clear: bool = False) -> float:
    """Draw a cloud cover, 0 to 1: most skies are clear, some are wholly overcast.

    :param clear: Draw from the clear skies only (at most 0.1).
    """
    drawn = rng.random()
    if clear:
        return round(0.1 * drawn**2, 2)
    if drawn < 0.06:
        return 1.0
    return round(rng.random() ** (4 if drawn < 0.7 else 0.8), 2)


def usable_data(rng: Random, cloud_cover: float) -> dict[str, int]:
    """Percentages of the usable data mask (UDM2); its six classes add up to 100."""
    cloud = round(cloud_cover * 100)
    rest = 100 - cloud
    amounts = {}
    for name, most in (("shadow", 12), ("light_haze", 15), ("heavy_haze", 6), ("snow_ice", 2)):
        amounts[name] = min(rest, round(most * rng.random() * min(1.0, 2 * cloud_cover)))
        rest -= amounts[name]
    return {
        "clear_confidence_percent": rng.randint(88, 100) if rest else 0,
        "clear_percent": rest,
        "cloud_percent": cloud,
        "heavy_haze_percent": amounts["heavy_haze"],
        "light_haze_percent": amounts["light_haze"],
        "shadow_percent": amounts["shadow"],
        "snow_ice_percent": amounts["snow_ice"],
        "visible_confidence_percent": rng.randint(70, 100),
        "visible_percent": rest + amounts["light_haze"] + amounts["shadow"] + amounts["snow_ice"],
    }


@dataclass(frozen=True)
class Publication:
    """When an item appeared, and what a republishing changed since."""

    published: datetime
    updated: datetime
    stage: str
    updates: dict[str, str]


def publish(rng: Random, acquired: datetime, now: datetime, *, lag_hours: float) -> Publication:
    """Draw the life of an item as it stands at ``now``: a third is republished as finalized later."""
    published = acquired + timedelta(hours=lag_hours)
    republished, first = rng.random() < 0.35, "preview" if rng.random() < 0.3 else "standard"
    updated = published + timedelta(hours=rng.uniform(10, 60))
    if not republished:
        return Publication(published, published, "finalized", {})
    if updated > now:
        return Publication(published, published, first, {})
    changed = [
        "publishing_stage",
        *rng.sample(["ground_control", "quality_category", "cloud_cover"], rng.randint(0, 2)),
    ]
    return Publication(published, updated, "finalized", dict.fromkeys(changed, instant(updated)))
