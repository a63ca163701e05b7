"""The ground of the simulated world: one smooth random field over the globe.

It is a function of place and seed alone, so overlapping scenes agree, whatever their grids.
"""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

# Reflectance of water, bare soil and vegetation, and what the atmosphere adds at its top; typical values
# of spectral libraries at each band's centre.
SPECTRA: dict[str, tuple[float, float, float, float]] = {
    "coastal_blue": (0.045, 0.090, 0.030, 0.090),
    "blue": (0.050, 0.110, 0.035, 0.065),
    "green_i": (0.052, 0.140, 0.060, 0.045),
    "green": (0.050, 0.170, 0.080, 0.040),
    "yellow": (0.040, 0.200, 0.060, 0.030),
    "red": (0.030, 0.220, 0.040, 0.025),
    "rededge": (0.020, 0.250, 0.140, 0.020),
    "rededge_740": (0.015, 0.270, 0.330, 0.015),
    "nir": (0.012, 0.290, 0.450, 0.010),
    "water_vapour": (0.010, 0.120, 0.180, 0.005),
    "cirrus": (0.001, 0.002, 0.002, 0.001),
    "swir_1610": (0.005, 0.350, 0.220, 0.003),
    "swir_2200": (0.004, 0.300, 0.110, 0.002),
    "thermal": (0.240, 0.300, 0.270, 0.000),
    "pan": (0.040, 0.180, 0.120, 0.040),
}

WATER_LEVEL = 0.42
"""Height of the field, 0 to 1, below which there is water: about a quarter of the world."""


def number(*parts: object) -> int:
    """Derive a 32-bit seed from anything that prints, the same in every process."""
    return zlib.crc32("/".join(map(str, parts)).encode())


def fractal(
    seed: int,
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    *,
    cells: int,
    octaves: int,
) -> Array:
    """Sum octaves of value noise; the result lies in 0 to 1, mostly around 0.5.

    :param longitude: Degrees; the field has no seam at the antimeridian.
    :param latitude: Degrees.
    :param cells: Lattice cells in a degree, in the coarsest octave; each octave doubles them.
    """
    total: Any = np.zeros(np.shape(longitude), np.float32)
    weight, weights = 1.0, 0.0
    for octave in range(octaves):
        total += np.float32(weight) * _noise(number(seed, octave), longitude, latitude, cells << octave)
        weights += weight
        weight /= 2
    return np.asarray(total / np.float32(weights), np.float32)


def ground(
    seed: int,
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    *,
    day_of_year: int,
) -> tuple[Array, Array, Array]:
    """Describe the ground at points.

    :return: Share of water, share of vegetation on the land, and a brightness around 1; all per point.
    """
    height = fractal(number(seed, "height"), longitude, latitude, cells=4, octaves=6)
    moisture = fractal(number(seed, "moisture"), longitude, latitude, cells=8, octaves=3)
    parcels = _lattice(
        number(seed, "parcels"),
        np.floor(longitude * 180).astype(np.int64),
        np.floor(latitude * 220).astype(np.int64),
        180 * 360,
    )
    grain = fractal(number(seed, "grain"), longitude, latitude, cells=600, octaves=2)
    water = np.clip((np.float32(WATER_LEVEL) - height) * 60 + 0.5, 0, 1)
    season = math.cos(math.tau * (day_of_year - 195) / 365.25)
    phase = np.clip(latitude / 40, -1, 1).astype(np.float32) * np.float32(0.12 * season)
    vegetation = np.clip((moisture - 0.42) * 2.6 + 0.35 * parcels + phase, 0.02, 0.97)
    return water, vegetation, 0.85 + 0.3 * grain


def reflectance(band: str, water: Array, vegetation: Array, brightness: Array, *, top: bool) -> Array:
    """Reflectance of the ground in one band, 0 to 1.

    :param top: At the top of the atmosphere rather than at the surface.
    """
    wet, soil, plants, air = (np.float32(value) for value in SPECTRA[band])
    land = (soil + (plants - soil) * vegetation) * brightness
    seen = land + (wet - land) * water
    return np.asarray(seen * np.float32(0.93) + air if top else seen, np.float32)


def _noise(
    seed: int, longitude: npt.NDArray[np.float64], latitude: npt.NDArray[np.float64], cells: int
) -> Array:
    x, y = longitude * cells, latitude * cells
    left, low = np.floor(x), np.floor(y)
    u, v = (x - left).astype(np.float32), (y - low).astype(np.float32)
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    # Only the few lattice nodes under the points are hashed, then gathered.
    columns, rows = left.astype(np.int64), low.astype(np.int64)
    west, south = int(columns.min()), int(rows.min())
    across, up = int(columns.max()) - west + 2, int(rows.max()) - south + 2
    nodes = _lattice(
        seed,
        np.arange(west, west + across)[None, :],
        np.arange(south, south + up)[:, None],
        360 * cells,
    ).ravel()
    at = (rows - south) * across + (columns - west)
    low_edge = nodes[at] + (nodes[at + 1] - nodes[at]) * u
    at += across
    high_edge = nodes[at] + (nodes[at + 1] - nodes[at]) * u
    return np.asarray(low_edge + (high_edge - low_edge) * v, np.float32)


def _lattice(seed: int, column: npt.NDArray[np.int64], row: npt.NDArray[np.int64], period: int) -> Array:
    mixed = (column % period).astype(np.uint32) * np.uint32(0x9E3779B1)
    mixed = mixed ^ (row.astype(np.uint32) * np.uint32(0x85EBCA77)) ^ np.uint32(seed)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    mixed = (mixed ^ (mixed >> np.uint32(15))) >> np.uint32(8)
    return np.asarray(mixed.astype(np.float32) / np.float32(1 << 24), np.float32)
