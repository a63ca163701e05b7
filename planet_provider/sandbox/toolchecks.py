"""Checks of the tools in an order request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely.geometry.base import BaseGeometry

from planet_provider.sandbox import bandmath, warp
from planet_provider.sandbox.filtervalues import FilterError, parse_geometry

HARMONIZE_TARGETS = ("Sentinel-2",)
FILE_FORMATS = ("COG",)
GROUPINGS = ("order", "strip_id")

_TILE_FIELD = re.compile(r"\{tile[xy](:0?\d{1,2}d)?\}")


class ProductError(Exception):
    """An order that cannot be processed.

    :param message: The reason, for ``last_message``.
    :param hints: One line for each item or tool at fault, for ``error_hints``.
    """

    def __init__(self, message: str, hints: Sequence[str] = ()) -> None:
        super().__init__(message, tuple(hints))
        self.message = message
        self.hints = tuple(hints)

    def __str__(self) -> str:
        return "; ".join((self.message, *self.hints))


def as_mapping(name: str, parameters: Any) -> Mapping[str, Any]:
    """Bring a tool's parameters into the form of an object; ``file_format`` may be a bare name."""
    if name == "file_format" and isinstance(parameters, str):
        return {"format": parameters}
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ProductError(f"{name}: parameters must be an object, got {parameters!r}")
    return parameters


def band_names(parameters: Mapping[str, Any]) -> list[str]:
    """List the output bands of a band math tool, ``b1`` first."""
    given = [
        name for name in (f"b{index}" for index in range(1, bandmath.MAX_BANDS + 1)) if name in parameters
    ]
    if given != [f"b{index}" for index in range(1, len(given) + 1)] or not given:
        raise ProductError(f"bandmath: give b1, b2, ... without a gap, got {given}")
    return given


def clip_area(parameters: Mapping[str, Any]) -> BaseGeometry:
    """Read the area of a clip tool, lon/lat."""
    aoi = parameters.get("aoi")
    if not isinstance(aoi, Mapping) or aoi.get("type") not in {"Polygon", "MultiPolygon"}:
        raise ProductError(f"clip: aoi must be a GeoJSON Polygon or MultiPolygon, got {str(aoi)[:100]}")
    try:
        return parse_geometry(aoi, "tools.clip.aoi")
    except FilterError as error:
        raise ProductError(f"clip: {error}") from error


def read_crs(projection: object) -> CRS:
    """Read the projection of a reproject tool."""
    try:
        return CRS.from_user_input(projection)
    except CRSError as error:
        raise ProductError(f"reproject: {projection!r} is not a projection, use EPSG:<code>") from error


def _check_reproject(parameters: Mapping[str, Any]) -> None:
    read_crs(parameters.get("projection"))
    kernel, resolution = parameters.get("kernel", "near"), parameters.get("resolution")
    if kernel not in warp.KERNELS:
        raise ProductError(f"reproject: kernel {kernel!r} is not one of {sorted(warp.KERNELS)}")
    if resolution is not None and not _positive(resolution):
        raise ProductError(f"reproject: resolution must be a positive number, got {resolution!r}")


def _check_tile(parameters: Mapping[str, Any]) -> None:
    edge = parameters.get("tile_size")
    if not isinstance(edge, int) or isinstance(edge, bool) or not 1 <= edge <= warp.MAX_EDGE:
        raise ProductError(f"tile: tile_size must be 1 to {warp.MAX_EDGE} pixels, got {edge!r}")
    size = parameters.get("pixel_size")
    if size is not None and not _positive(size):
        raise ProductError(f"tile: pixel_size must be a positive number, got {size!r}")
    template = str(parameters.get("name_template") or "")
    if set("{}/\\") & set(_TILE_FIELD.sub("", template)):
        raise ProductError(
            f"tile: name_template may hold {{tilex}} and {{tiley:06d}} alone, got {template!r}"
        )


def _check_file_format(parameters: Mapping[str, Any]) -> None:
    if parameters.get("format") not in FILE_FORMATS:
        raise ProductError(
            f"file_format: the sandbox writes {FILE_FORMATS}, not {parameters.get('format')!r}"
        )


def _check_toar(parameters: Mapping[str, Any]) -> None:
    scale = parameters.get("scale_factor")
    if scale is not None and not _positive(scale):
        raise ProductError(f"toar: scale_factor must be a positive number, got {scale!r}")


def _check_harmonize(parameters: Mapping[str, Any]) -> None:
    if parameters.get("target_sensor") not in HARMONIZE_TARGETS:
        raise ProductError(
            f"harmonize: target_sensor must be one of {HARMONIZE_TARGETS}, "
            f"got {parameters.get('target_sensor')!r}",
        )


def _check_coregister(parameters: Mapping[str, Any]) -> None:
    if not isinstance(parameters.get("anchor_item"), str):
        raise ProductError("coregister: anchor_item must be the id of an item of the order")


def _check_composite(parameters: Mapping[str, Any]) -> None:
    if parameters.get("group_by", "order") not in GROUPINGS:
        raise ProductError(
            f"composite: group_by must be one of {GROUPINGS}, got {parameters.get('group_by')!r}"
        )


def _check_bandmath(parameters: Mapping[str, Any]) -> None:
    band_names(parameters)
    pixel_type = parameters.get("pixel_type") or "Auto"
    if pixel_type not in bandmath.PIXEL_TYPES:
        raise ProductError(
            f"bandmath: pixel_type must be one of {sorted(bandmath.PIXEL_TYPES)}, got {pixel_type!r}"
        )


def _check_merge(parameters: Mapping[str, Any]) -> None:
    if parameters:
        raise ProductError(f"merge: has no parameters, got {sorted(parameters)}")


def _check_clip(parameters: Mapping[str, Any]) -> None:
    clip_area(parameters)


def _positive(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e9


CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {
    "bandmath": _check_bandmath,
    "clip": _check_clip,
    "composite": _check_composite,
    "coregister": _check_coregister,
    "file_format": _check_file_format,
    "harmonize": _check_harmonize,
    "merge": _check_merge,
    "reproject": _check_reproject,
    "tile": _check_tile,
    "toar": _check_toar,
}
