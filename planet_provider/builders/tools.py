"""The Orders API's tools: one builder each, and a check for those that a user wrote by hand.

A builder returns one entry of an order's ``tools``, e.g. ``{"clip": {"aoi": {...}}}``; Planet applies them
in the order of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from planet_provider.builders import checks
from planet_provider.builders import geometry as geometries
from planet_provider.exceptions import InvalidInputError

#: What :func:`composite` joins into one: everything, or what was taken in one pass.
GROUPINGS = ("order", "strip_id")

#: Formats that files can be had in: cloud-optimised GeoTIFF, and NITF.
FILE_FORMATS = ("COG", "PL_NITF")

#: Ways to compute a pixel while reprojecting; Planet's default is ``near``.
KERNELS = ("near", "bilinear", "cubic", "cubicspline", "lanczos", "average", "mode")

#: Sensors that values can be fitted to.
TARGET_SENSORS = ("Sentinel-2",)

#: Types of a computed band: unsigned or signed integers and floats, with their bits.
PIXEL_TYPES = ("Auto", "8U", "16U", "16S", "32R")

#: Bands that :func:`bandmath` can compute at most. Source: Planet's tools reference.
MAX_BANDS = 15

_PROJECTION = re.compile(r"EPSG:\d+|WGS84", re.ASCII)
_BANDS = tuple(f"b{index}" for index in range(1, MAX_BANDS + 1))

Tool = dict[str, dict[str, Any]]
_Check = Callable[[Any, str], object]


def clip(aoi: object, *, max_vertices: int = geometries.MAX_VERTICES) -> Tool:
    """Cut the imagery to an area.

    :param aoi: A Polygon, a MultiPolygon or a feature reference, in any form that
        :func:`planet_provider.builders.geometry.geometry` takes.
    :param max_vertices: Vertices it may have, closing ones included.
    """
    area = geometries.geometry(aoi, "clip.aoi", max_vertices=max_vertices)
    return _built("clip", {"aoi": area}, max_vertices)


def composite(group_by: str | None = None) -> Tool:
    """Join the items into one image.

    :param group_by: One of :data:`GROUPINGS`; Planet's default is ``order``.
    """
    return _built("composite", {"group_by": group_by})


def coregister(anchor_item: str) -> Tool:
    """Align the items with one of them.

    :param anchor_item: Id of the item that the others are aligned with.
    """
    return _built("coregister", {"anchor_item": anchor_item})


def file_format(file_format: str) -> Tool:
    """Deliver files in another format.

    :param file_format: One of :data:`FILE_FORMATS`, in any capitalisation.
    """
    name = checks.choice(file_format, FILE_FORMATS, "file_format.format", fold_case=True)
    return _built("file_format", {"format": name})


def reproject(projection: str, *, resolution: float | None = None, kernel: str | None = None) -> Tool:
    """Reproject the imagery.

    :param projection: ``EPSG:`` and a number, or ``WGS84``.
    :param resolution: Edge of a pixel in the projection's unit: metres, or degrees where it is geographic.
        Planet's default is the item's own.
    :param kernel: One of :data:`KERNELS`.
    """
    return _built("reproject", {"projection": projection, "resolution": resolution, "kernel": kernel})


def tile(
    tile_size: int,
    *,
    origin_x: float | None = None,
    origin_y: float | None = None,
    pixel_size: float | None = None,
    name_template: str | None = None,
    conformal_x_scaling: bool | None = None,
) -> Tool:
    """Cut the imagery into square tiles.

    :param tile_size: Edge of a tile in pixels.
    :param origin_x: Origin of the tiles in the projection's unit; Planet's default is 0.
    :param origin_y: Likewise.
    :param pixel_size: Edge of a pixel in the projection's unit; Planet's default is the item's own.
    :param name_template: Names of the files, with ``{tilex}`` and ``{tiley}``, which may have a format as in
        ``{tilex:06d}``; Planet's default is ``{tilex}_{tiley}.tif``.
    :param conformal_x_scaling: Whether to scale x so that angles are kept.
    """
    return _built(
        "tile",
        {
            "tile_size": tile_size,
            "origin_x": origin_x,
            "origin_y": origin_y,
            "pixel_size": pixel_size,
            "name_template": name_template,
            "conformal_x_scaling": conformal_x_scaling,
        },
    )


def toar(scale_factor: int | None = None) -> Tool:
    """Turn radiance into reflectance at the top of the atmosphere.

    :param scale_factor: What a reflectance of 1 becomes; Planet's default is 10,000. With more than 65,535
        high reflectances may not fit into 16 bits.
    """
    return _built("toar", {"scale_factor": scale_factor})


def harmonize(target_sensor: str) -> Tool:
    """Fit the values to those of another sensor.

    :param target_sensor: One of :data:`TARGET_SENSORS`, in any capitalisation.
    """
    name = checks.choice(target_sensor, TARGET_SENSORS, "harmonize.target_sensor", fold_case=True)
    return _built("harmonize", {"target_sensor": name})


def bandmath(*bands: str, pixel_type: str = "Auto") -> Tool:
    """Compute new bands from the items' own.

    :param bands: An expression for each new band, 1 to 15 of them, e.g. ``(b4 - b3) / (b4 + b3)``. White space
        around it, as a block in YAML has it, is dropped.
    :param pixel_type: One of :data:`PIXEL_TYPES`, in any capitalisation.
    """
    if len(bands) > MAX_BANDS:
        raise InvalidInputError(
            "bandmath", len(bands), f"are more bands than the {MAX_BANDS} Planet computes."
        )
    name = checks.choice(pixel_type, PIXEL_TYPES, "bandmath.pixel_type", fold_case=True)
    return _built("bandmath", {**_stripped(dict(zip(_BANDS, bands, strict=False))), "pixel_type": name})


def normalized(
    tool: object, field: str, *, max_vertices: int | None = geometries.MAX_VERTICES, basemaps: bool = False
) -> Tool:
    """Return a tool that a user wrote by hand as Planet takes it.

    :param tool: ``{"<name>": {<parameters>}}``; a clip's area may have any form that :func:`clip` takes.
    :param field: Name that errors give it, e.g. ``tools[0]``.
    :param max_vertices: Vertices that a clip's area may have; ``None`` where they were counted before.
    :param basemaps: Whether the order is of basemaps, whose clip may go without an area.
    """
    name, parameters = _single(tool, field)
    if name not in _PARAMETERS:
        return {name: checks.json_value(parameters, f"{field}.{name}")}
    copied = dict(parameters)
    if name == "clip" and "aoi" in copied:
        copied["aoi"] = geometries.geometry(copied["aoi"], f"{field}.clip.aoi", max_vertices=max_vertices)
    if name == "bandmath":
        copied = _stripped(copied)
    _check_parameters(name, copied, f"{field}.{name}", max_vertices, basemaps=basemaps)
    return {name: copied}


def check(
    tool: object, field: str, *, max_vertices: int | None = geometries.MAX_VERTICES, basemaps: bool = False
) -> None:
    """Check a tool that is sent as it is.

    :param tool: ``{"<name>": {<parameters>}}``.
    :param field: Name that errors give it, e.g. ``tools[0]``.
    :param max_vertices: Vertices that a clip's area may have; ``None`` where they were counted before.
    :param basemaps: Whether the order is of basemaps, whose clip may go without an area.
    :raises InvalidInputError: The tool or a parameter is misspelt, missing or malformed.
    """
    name, parameters = _single(tool, field)
    if name in _PARAMETERS:
        _check_parameters(name, parameters, f"{field}.{name}", max_vertices, basemaps=basemaps)
    else:
        checks.json_value(parameters, f"{field}.{name}")


def _single(tool: object, field: str) -> tuple[str, Mapping[str, Any]]:
    given = checks.mapping(tool, field)
    if len(given) != 1:
        remedy = "must name one tool; of several, each is an entry of its own."
        raise InvalidInputError(field, sorted(map(str, given)), remedy)
    [(name, parameters)] = given.items()
    checks.is_known(name, _PARAMETERS, field)
    return name, checks.mapping(parameters, f"{field}.{name}")


def _stripped(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.strip() if name in _BANDS and isinstance(value, str) else value
        for name, value in parameters.items()
    }


def _built(tool: str, parameters: Mapping[str, Any], max_vertices: int = geometries.MAX_VERTICES) -> Tool:
    given = {name: value for name, value in parameters.items() if value is not None}
    _check_parameters(tool, given, tool, max_vertices)
    return {tool: given}


def _check_parameters(
    tool: str, parameters: Mapping[str, Any], path: str, max_vertices: int | None, *, basemaps: bool = False
) -> None:
    if tool == "clip" and basemaps and not parameters:
        return  # it clips to the geometry by which the quads are ordered
    required, optional = _PARAMETERS[tool]
    checks.fields(
        parameters, path, required=tuple(required), optional=tuple(optional), elsewhere=_ALL_PARAMETERS
    )
    if tool == "clip":
        geometries.check_area(parameters["aoi"], f"{path}.aoi", max_vertices=max_vertices)
    for name, check_value in (required | optional).items():
        if name in parameters:
            check_value(parameters[name], f"{path}.{name}")
    if tool == "bandmath":
        _check_contiguous(parameters, path)


def _check_contiguous(parameters: Mapping[str, Any], path: str) -> None:
    given = [band for band in _BANDS if band in parameters]
    if given != list(_BANDS[: len(given)]):
        raise InvalidInputError(path, given, f"must have bands from b1 to b{len(given)}, without a gap.")


def _projection(value: object, path: str) -> object:
    if not isinstance(value, str) or not _PROJECTION.fullmatch(value):
        raise InvalidInputError(path, value, "must be a coordinate system such as EPSG:32611.")
    return value


def _name_template(value: object, path: str) -> object:
    template = checks.text(value, path)
    if "/" in template:
        raise InvalidInputError(path, value, "must be a file's name, without a folder; leave the / out.")
    if missing := [
        name for name in ("tilex", "tiley") if not re.search(rf"\{{{name}(:[^}}]*)?\}}", template)
    ]:
        remedy = f"lacks {{{missing[0]}}}; without it tiles would have the same name."
        raise InvalidInputError(path, value, remedy)
    return template


def _one_of(known: tuple[str, ...]) -> _Check:
    return lambda value, path: checks.choice(value, known, path)


_positive = partial(checks.number, above=0)

#: The required and the optional parameters of each tool. ``merge`` is for basemaps.
_PARAMETERS: dict[str, tuple[dict[str, _Check], dict[str, _Check]]] = {
    "bandmath": (
        {"b1": checks.text},
        {**dict.fromkeys(_BANDS[1:], checks.text), "pixel_type": _one_of(PIXEL_TYPES)},
    ),
    "clip": ({"aoi": checks.mapping}, {}),
    "composite": ({}, {"group_by": _one_of(GROUPINGS)}),
    "coregister": ({"anchor_item": checks.item_id}, {}),
    "file_format": ({"format": _one_of(FILE_FORMATS)}, {}),
    "harmonize": ({"target_sensor": _one_of(TARGET_SENSORS)}, {}),
    "merge": ({}, {}),
    "reproject": ({"projection": _projection}, {"resolution": _positive, "kernel": _one_of(KERNELS)}),
    "tile": (
        {"tile_size": checks.whole_number},
        {
            "origin_x": checks.number,
            "origin_y": checks.number,
            "pixel_size": _positive,
            "name_template": _name_template,
            "conformal_x_scaling": checks.flag,
        },
    ),
    "toar": ({}, {"scale_factor": _positive}),
}
_ALL_PARAMETERS = frozenset(name for tables in _PARAMETERS.values() for table in tables for name in table)

#: The tools known.
NAMES = tuple(_PARAMETERS)
