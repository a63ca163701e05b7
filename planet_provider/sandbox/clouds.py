"""Clouds, haze, shadow and snow of a scene, as the usable data mask tells them apart."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import shapely

from planet_provider.sandbox.assets import UDM2_BANDS
from planet_provider.sandbox.footprints import unwrap_longitudes
from planet_provider.sandbox.terrain import Array, fractal, number

if TYPE_CHECKING:
    from planet_provider.sandbox.items import Item

CLEAR, SNOW, SHADOW, LIGHT_HAZE, HEAVY_HAZE, CLOUD = range(6)
"""Classes of a pixel, in the order of the first six bands of a UDM2."""

# From the thickest part of the cloud field down; what is left is clear.
_LAYERS = (
    (CLOUD, "cloud_percent"),
    (HEAVY_HAZE, "heavy_haze_percent"),
    (LIGHT_HAZE, "light_haze_percent"),
    (SHADOW, "shadow_percent"),
    (SNOW, "snow_ice_percent"),
)
_SAMPLES = 64


def classify(
    item: Item,
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Tell the class of points; over the whole footprint the shares are those of the item's metadata."""
    thickness = _thickness(item, longitude, latitude)
    classes: npt.NDArray[np.uint8] = np.full(thickness.shape, CLEAR, np.uint8)
    # From the lowest threshold up, so that the thicker layers overwrite the thinner.
    for (layer, _), threshold in reversed(list(zip(_LAYERS, _thresholds(item), strict=True))):
        classes[thickness > threshold] = layer
    return classes


def veil(classes: npt.NDArray[np.uint8], surface: Array) -> Array:
    """Cover a reflectance with what is in front of it."""
    weight = np.array([0.0, 0.9, 0.0, 0.25, 0.6, 0.95], np.float32)[classes]
    shade = np.array([1.0, 1.0, 0.55, 1.0, 1.0, 1.0], np.float32)[classes]
    return np.asarray(surface * shade * (1 - weight) + np.float32(0.68) * weight, np.float32)


def udm2(classes: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Write classes as the eight bands of a UDM2; outside of the image only the fill bit is set."""
    mask = np.zeros((len(UDM2_BANDS), *classes.shape), np.uint8)
    for layer in range(6):
        mask[layer] = (classes == layer) & valid
    mask[6] = np.array([96, 80, 72, 65, 70, 92], np.uint8)[classes] * valid
    mask[7] = udm1(classes, valid)
    return mask


def udm1(classes: npt.NDArray[np.uint8], valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Write classes as the first usable data mask: bit 0 outside of the image, bit 1 cloud."""
    return np.where(valid, np.where(classes == CLOUD, 2, 0), 1).astype(np.uint8)


def percentages(mask: npt.NDArray[Any]) -> dict[str, int]:
    """Take the UDM2 metadata from a UDM2's pixels, for an image that a tool has cut."""
    valid = int(np.count_nonzero(~(mask[7] & 1).astype(bool)))
    if not valid:
        return {}
    names = ("clear", "snow_ice", "shadow", "light_haze", "heavy_haze", "cloud")
    return {
        f"{name}_percent": round(100 * int(band.sum()) / valid)
        for name, band in zip(names, mask[:6], strict=True)
    }


def _thickness(item: Item, longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64]) -> Array:
    # One field per strip: the frames of a strip show the same clouds.
    sky = number(item.seed, "sky", item.properties["acquired"][:10], item.properties.get("strip_id", item.id))
    return fractal(sky, longitude, latitude, cells=9, octaves=6)


@lru_cache(maxsize=4096)
def _thresholds(item: Item) -> tuple[float, ...]:
    footprint = unwrap_longitudes(item.shape)
    west, south, east, north = footprint.bounds
    longitude, latitude = np.meshgrid(np.linspace(west, east, _SAMPLES), np.linspace(south, north, _SAMPLES))
    inside = shapely.contains_xy(footprint, longitude.ravel(), latitude.ravel()).reshape(longitude.shape)
    sample = np.sort(_thickness(item, longitude, latitude)[inside])
    properties = {"cloud_percent": round(100 * item.properties["cloud_cover"]), **item.properties}
    covered, thresholds = 0, []
    for _, name in _LAYERS:
        covered += int(properties.get(name, 0))
        below = round(len(sample) * (100 - covered) / 100) - 1
        thresholds.append(float(sample[below]) if covered and below >= 0 else (-1.0 if covered else 2.0))
    return tuple(thresholds)
