"""The picture of a delivery: where the scenes lie, what they show, how green it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from rasterio.vrt import WarpedVRT

EPSG_4326 = "EPSG:4326"
INK, PAPER, FAINT = "#1b2a33", "#f6f4ee", "#8a979e"
COLOURS = ("#d1495b", "#edae49", "#00798c", "#6a4c93", "#3f7d20", "#c06014")
FIGURE_INCHES = (15.0, 8.6)
MAP_SHARE = 0.56
MAP_BOX = (0.085, 0.10, 0.88, 0.80)
"""Of the map in its part of the figure: left, bottom, width, height."""
MAP_SHAPE = (FIGURE_INCHES[0] * MAP_SHARE * MAP_BOX[2]) / (FIGURE_INCHES[1] * MAP_BOX[3])
"""Width of the map for a height of 1."""
MOST_SCENES = 4
"""Rows of quicklooks; further scenes are on the map only."""
STRETCH_PERCENT = (1.0, 99.0)
"""What becomes black and white in a quicklook, for all scenes alike."""

Array = npt.NDArray[Any]
Extent = tuple[float, float, float, float]
"""West, east, south, north in degrees, as matplotlib takes it."""


@dataclass(frozen=True)
class Scene:
    """A delivered scene.

    :param item: Its item as the search found it (a GeoJSON Feature).
    :param image: Its GeoTIFF: blue, green, red, near infrared.
    :param mask: Its usable data mask.
    :param statistics: What the DAG computed of it.
    """

    item: Mapping[str, Any]
    image: Path
    mask: Path
    statistics: Mapping[str, Any]


@dataclass(frozen=True)
class _Pixels:
    """A scene in longitude and latitude."""

    bands: Array
    clear: Array
    extent: Extent

    @property
    def covered(self) -> Array:
        covered: Array = self.bands.sum(axis=0) > 0
        return covered

    def ndvi(self) -> Array:
        red, near_infrared = self.bands[2], self.bands[3]
        total = np.where(self.clear & self.covered, red + near_infrared, np.nan)
        index: Array = (near_infrared - red) / total
        return index


def draw(path: Path, title: str, aoi: Mapping[str, Any], scenes: Sequence[Scene]) -> None:
    """Write the picture.

    :param path: Where to, ``.png``.
    :param title: Its first line.
    :param aoi: Area of interest, a GeoJSON Polygon.
    :param scenes: At least one.
    """
    shown = scenes[:MOST_SCENES]
    pixels = [_read(scene) for scene in shown]
    low, high = _stretch(pixels)
    pictures = [_picture(each, low, high) for each in pixels]
    style: Any = {
        "font.family": "DejaVu Sans",
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
    }
    style |= {"xtick.color": FAINT, "ytick.color": FAINT, "font.size": 9.0}
    with mpl.rc_context(style):
        figure = Figure(figsize=FIGURE_INCHES, facecolor=PAPER, dpi=130)
        parts: Any = figure.subfigures(1, 2, width_ratios=(MAP_SHARE, 1 - MAP_SHARE))
        left, right = parts
        for each in (left, right):
            each.set_facecolor(PAPER)
        left.suptitle(title, x=0.04, y=0.965, ha="left", fontsize=17, fontweight="bold")
        overview = left.add_axes(MAP_BOX)
        _draw_map(overview, aoi, scenes, list(zip(pixels, pictures, strict=True)))
        _draw_quicklooks(right, aoi, shown, pixels, pictures)
        figure.savefig(path, facecolor=PAPER)


def _read(scene: Scene) -> _Pixels:
    with rasterio.open(scene.image) as source, WarpedVRT(source, crs=EPSG_4326) as image:
        bands = image.read(out_dtype="float32")
        bounds, transform, height, width = image.bounds, image.transform, image.height, image.width
    grid = {"crs": EPSG_4326, "transform": transform, "height": height, "width": width}
    with rasterio.open(scene.mask) as source, WarpedVRT(source, **grid) as mask:
        clear = mask.read(1) == 1
    return _Pixels(bands, clear, (bounds.left, bounds.right, bounds.bottom, bounds.top))


def _stretch(pixels: Sequence[_Pixels]) -> tuple[float, float]:
    seen = np.concatenate([each.bands[:3, each.covered & each.clear].ravel() for each in pixels])
    if not seen.size:
        return 0.0, 3000.0  # wholly overcast; reflectance times 10,000
    low, high = np.percentile(seen, STRETCH_PERCENT)
    return float(low), float(max(high, low + 1))


def _picture(pixels: _Pixels, low: float, high: float) -> Array:
    """Return red, green, blue, opacity, 0 to 1, with a little gamma as eyes like it."""
    scaled = (pixels.bands[:3] - low) / (high - low)
    colours = np.clip(scaled[::-1], 0, 1) ** 0.8
    picture: Array = np.dstack([*colours, pixels.covered.astype("float32")])
    return picture


def _ring(geometry: Mapping[str, Any]) -> Array:
    coordinates = geometry["coordinates"]
    return np.asarray(coordinates[0] if geometry["type"] == "Polygon" else coordinates[0][0])


def _aspect(axes: Axes, latitude: float) -> None:
    axes.set_aspect(1 / math.cos(math.radians(latitude)))


def _draw_map(
    axes: Axes, aoi: Mapping[str, Any], scenes: Sequence[Scene], pictures: Sequence[tuple[_Pixels, Array]]
) -> None:
    axes.set_facecolor("#e7ebe8")
    for pixels, picture in sorted(pictures, key=lambda each: each[0].clear.mean()):  # the clearest on top
        axes.imshow(picture, extent=pixels.extent, interpolation="bilinear", aspect="auto", zorder=2)
    for number, scene in enumerate(scenes):
        colour, ring = COLOURS[number % len(COLOURS)], _ring(scene.item["geometry"])
        axes.add_patch(Polygon(ring, facecolor=colour, alpha=0.10, zorder=1))
        axes.add_patch(
            Polygon(ring, fill=False, edgecolor=colour, linewidth=1.8, zorder=3, label=_label(scene))
        )
    area = _ring(aoi)
    axes.add_patch(Polygon(area, fill=False, edgecolor="white", linewidth=3.2, alpha=0.8, zorder=4))
    axes.add_patch(
        Polygon(
            area,
            fill=False,
            edgecolor=INK,
            linewidth=1.6,
            linestyle=(0, (4, 2)),
            zorder=5,
            label="area of interest",
        )
    )
    corners = np.concatenate([area, *(_ring(scene.item["geometry"]) for scene in scenes)])
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    middle, shrink = (south + north) / 2, math.cos(math.radians((south + north) / 2))
    # The frame keeps its shape: degrees are added where the scenes don't fill it.
    height = 1.1 * max(north - south, (east - west) * shrink / MAP_SHAPE)
    width = height * MAP_SHAPE / shrink
    axes.set_xlim((west + east - width) / 2, (west + east + width) / 2)
    axes.set_ylim(middle - height / 2, middle + height / 2)
    axes.grid(color="white", linewidth=0.8, zorder=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):.2f}° {'W' if value < 0 else 'E'}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.2f}° {'S' if value < 0 else 'N'}")
    axes.tick_params(length=0)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.045), ncols=3, frameon=False, fontsize=8.5)
    _draw_scale(axes)


def _draw_scale(axes: Axes) -> None:
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    kilometre = 1 / (111.32 * math.cos(math.radians((south + north) / 2)))
    length = max(step for step in (1, 2, 5, 10, 20, 50) if step * kilometre < 0.3 * (east - west))
    x, y = west + 0.035 * (east - west), south + 0.035 * (north - south)
    axes.plot([x, x + length * kilometre], [y, y], color=INK, linewidth=3, solid_capstyle="butt", zorder=5)
    axes.text(x, y + 0.012 * (north - south), f"{length} km", fontsize=8.5, zorder=5)


def _label(scene: Scene) -> str:
    return str(scene.item["id"])


def _draw_quicklooks(
    figure: Any,
    aoi: Mapping[str, Any],
    scenes: Sequence[Scene],
    pixels: Sequence[_Pixels],
    pictures: Sequence[Array],
) -> None:
    rows = figure.subplots(
        len(scenes),
        2,
        squeeze=False,
        gridspec_kw={
            "left": 0.02,
            "right": 0.88,
            "top": 0.885,
            "bottom": 0.05,
            "hspace": 0.34,
            "wspace": 0.06,
        },
    )
    west, east, south, north = np.array([each.extent for each in pixels]).T
    whole = (west.min(), east.max(), south.min(), north.max())
    drawn = None
    for number, ((colour_axes, green_axes), scene, each, picture) in enumerate(
        zip(rows, scenes, pixels, pictures, strict=True)
    ):
        colour = COLOURS[number % len(COLOURS)]
        colour_axes.imshow(picture, extent=each.extent, interpolation="bilinear")
        green_axes.set_facecolor("#d8d8d4")
        drawn = green_axes.imshow(each.ndvi(), extent=each.extent, cmap="RdYlGn", vmin=-0.4, vmax=0.9)
        for axes in (colour_axes, green_axes):
            _frame(axes, whole, colour)
        properties = scene.item["properties"]
        about = f"{properties['acquired'][11:16]} UTC, cloud {properties.get('cloud_cover', 0):.0%}"
        colour_axes.set_title(about, loc="left", fontsize=9, fontweight="bold", color=colour)
        mean = scene.statistics.get("mean")
        green_axes.set_title(
            "NDVI" + ("" if mean is None else f"  mean {mean:.2f}"), loc="left", fontsize=9, fontweight="bold"
        )
    bar = figure.colorbar(drawn, cax=figure.add_axes((0.905, 0.25, 0.016, 0.5)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8)


def _frame(axes: Axes, extent: Extent, colour: str) -> None:
    west, east, south, north = extent
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    _aspect(axes, (south + north) / 2)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(colour)
        spine.set_linewidth(1.2)
